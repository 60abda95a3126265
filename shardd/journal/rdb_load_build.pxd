from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_packed cimport Items
from shardd.keyspace.entry cimport View

cdef enum:
    BUILD_ROOM = 96             # more than a field, a value and an expiry take in a listpack besides their bytes

# The limits that decide about the form of a collection, as the options of these names set them.
cdef class Thresholds:
    cdef public int64_t hash_max_entries, hash_max_value        # hash-max-listpack-*
    cdef public int64_t zset_max_entries, zset_max_value        # zset-max-listpack-*
    cdef public int64_t set_max_intset, set_max_entries, set_max_value     # set-max-intset-entries, set-max-listpack-*
    cdef public int list_max_size, list_depth   # list-max-listpack-size, list-compress-depth

# A collection that is being made. All zero, but for the type, is the start.
ctypedef struct Build:
    uint32_t type, encoding
    void* body                  # NULL: there is none yet
    int64_t count               # elements so far: of a hash fields, of a sorted set members
    int64_t max_entries, max_value      # what a packed one may hold
    int width                   # elements of a listpack for one of those
    uint32_t* seen              # of a listpack: where its elements are, by their hash; 0: free
    uint32_t seen_mask
    size_t last_at              # of a small sorted set: where its last member is
    double last_score
    int64_t longest             # of a sorted set: bytes of its longest member, and of all
    int64_t bytes

# A value under way: what was made of it so far, and where its next elements are. value_open begins it.
cdef struct Value
ctypedef bint (*Take)(RdbSource s, Value* u) except -1      # one element more; False: that was the last one
cdef struct Value:
    Build b
    Take take                   # NULL: there is no more to take
    int64_t left                # elements or nodes that are still in the source
    uint64_t earliest           # the expiry of a field to which those of others are relative
    View block                  # what was read in one piece: good, for the source is asked for nothing meanwhile
    Items items                 # its elements that are still to be taken

cdef inline bint value_more(Value* u) noexcept nogil:
    # go on to the next one in the source; False: that was the last one
    if u.left == 0:
        return False
    u.left -= 1
    return True

cdef inline bytep build_lp(Build* b) noexcept nogil:
    # the listpack, or the intset
    return <bytep> b.body

cdef int build_begin(Build* b, uint32_t encoding, void* body) except -1     # take an empty body; NULL: MemoryError
cdef int build_table(Build* b, int64_t count) except -1                     # take an empty table for so many pairs
cdef int build_become(Build* b, uint32_t encoding, void* body) except -1    # take another one of the same content
cdef int build_keep(Build* b, bytep lp) except -1                           # a listpack's new address
cdef bint build_seen(Build* b, View* v) except -1                           # before it is added to a listpack
cdef bint build_adopt(Build* b, View* block, int64_t count) except -1       # take a sound listpack as it is
cdef bint is_shortest(const uint8_t* p) noexcept nogil                      # of a listpack's element
