from libc.stdint cimport int64_t, uint8_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.keyspace.entry cimport View
from shardd.wire.request cimport Arg

cdef enum FieldExpiry:
    FIELD_STAYS = -1            # a field without expiry
    FIELD_KEEPS_EXPIRY = -2     # hash_put: as it has it
    FIELD_ABSENT = -2           # hash_expiry: there is no such field

# The command's hash, rid of what is due. False: the key has another type, the error is replied. NULL: there is none.
cdef bint hash_to_read(Context ctx, bytep* e) except -1
cdef bint hash_to_write(Context ctx, bytep* e) except -1
cdef bytep hash_open(Context ctx, bytep e)              # for a change; a new one where NULL. hash_close must follow
cdef int hash_close(Context ctx, bytep e, bint changed) except -1

cdef int64_t hash_length(bytep e) noexcept              # 0 for NULL; of a large one, with what is due
cdef int64_t hash_visible(Context ctx, bytep e) noexcept        # without
cdef bint hash_find(Context ctx, bytep e, const Arg* field, View* value) noexcept       # NULL has none
cdef int64_t hash_expiry(Context ctx, bytep e, const Arg* field) noexcept
cdef bint hash_put(Context ctx, bytep e, const Arg* field, const uint8_t* value, Py_ssize_t n, int64_t expiry) except -1
cdef int hash_expire(Context ctx, bytep e, const Arg* field, int64_t expiry) except -1  # of a field that is there
cdef bint hash_remove(Context ctx, bytep e, const Arg* field) except -1         # whether it was there
cdef int hash_reply(Context ctx, bytep e, bint fields, bint values) except -1   # all, without a head
cdef list hash_items(Context ctx, bytep e)              # (field, value, expiry) of all that are not due
cdef tuple hash_random(Context ctx, bytep e)            # one of those; there must be one

cdef int register_hash_forms() except -1
