from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.keyspace.database cimport Key
from shardd.structures.listpack cimport LpValue
from shardd.structures.ranked cimport Way

# How zset_update changes a score: the options of ZADD.
cdef enum ZaddOption:
    ZADD_NX = 1
    ZADD_XX = 2
    ZADD_GT = 4
    ZADD_LT = 8
    ZADD_INCR = 16

cdef enum ZaddOutcome:
    ZADD_REFUSED = 0        # by an option; nothing was done
    ZADD_ADDED = 1
    ZADD_CHANGED = 2
    ZADD_SAME = 3           # it has this score already
    ZADD_NAN = 4            # the sum is not a number; nothing was done

# A walk over elements by rank, in either direction; good until the set changes. zwalk_start, then zwalk_next.
ctypedef struct ZWalk:
    bytep body
    bint packed
    bint backwards
    bint begun
    LpValue member          # the element: bytes, good until the set changes, or (p is NULL) an integer
    double score
    bytep p                 # of a listpack: the element's member; NULL: there is none
    Way way                 # of the other form
    bint more

cdef int64_t zset_length(bytep e) noexcept                                              # 0 for NULL
cdef bint zset_score(bytep e, const uint8_t* member, Py_ssize_t n, double* score) except -1     # NULL has none
cdef int64_t zset_rank(bytep e, const uint8_t* member, Py_ssize_t n, double* score) except -2   # -1: absent
cdef int64_t zset_below(bytep e, double score, bint inclusive) except -1                # elements of a lower score
cdef int64_t zset_before(bytep e, const uint8_t* text, Py_ssize_t n, bint inclusive) noexcept   # by member alone
cdef int zwalk_start(ZWalk* w, bytep e, int64_t rank, bint backwards) except -1
cdef bint zwalk_next(ZWalk* w) except -1                        # False: there is no further one
cdef int zwalk_text(ZWalk* w, const uint8_t** text, Py_ssize_t* n, uint8_t* digits) except -1
cdef int reply_element(Context ctx, LpValue* member, double score, bint with_score) except -1
cdef int reply_walk(Context ctx, bytep e, int64_t rank, int64_t count, bint backwards, bint with_scores) except -1

cdef bytep zset_entry_large(Context ctx, const uint8_t* key, Py_ssize_t n)      # the same, large
cdef bytep zset_entry_new(Context ctx, const uint8_t* key, Py_ssize_t n)        # empty, in no database; MemoryError
# The sorted set of a key, a new one (count: of so many members, the first of so many bytes) where e is NULL.
cdef bytep zset_open(Context ctx, Key* k, bytep e, int64_t count, Py_ssize_t n)
# After a change, or an attempt: deletes an empty one and tells it; else `touched` where something changed.
cdef int zset_close(Context ctx, Key* k, bytep e, bint changed) except -1
cdef int zset_update(Context ctx, bytep e, const uint8_t* member, Py_ssize_t n, double* score, int options) except -1
cdef int zset_put(Context ctx, bytep e, const uint8_t* member, Py_ssize_t n, double score) except -1
cdef bint zset_remove(bytep e, const uint8_t* member, Py_ssize_t n) except -1           # whether it was there
cdef int zset_remove_range(bytep e, int64_t rank, int64_t count) except -1
# Puts a result that is in no database in the place of the command's first key, whatever that is, or deletes that where
# the result is empty; replies with its length. It is gone, or the database's, then.
cdef int zset_store(Context ctx, bytep result, bytes event) except -1
cdef int zset_pack(Context ctx, bytep e) except -1              # a listpack again, where the thresholds allow it
# Takes `count` elements, not more than there are, from one end, and replies with them, each in an array of its own or
# not. Tells "zpopmin" or "zpopmax"; the caller calls zset_close.
cdef int zset_pop(Context ctx, Key* k, bytep e, int64_t count, bint highest, bint nested) except -1
cdef list zset_items(bytep e)                                   # (member, score) in order

cdef int register_zset_forms() except -1
