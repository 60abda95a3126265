from libc.stdint cimport int64_t, uint64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry
from shardd.engine.words cimport Words
from shardd.keyspace.database cimport Key
from shardd.wire.request cimport Arg

# Values that are in no database, by key; NULL: the key is known to be absent.
cdef class Guests:
    cdef readonly list keys
    cdef dict texts             # what SORT is told: see engine.patterns
    cdef bytep* entries
    cdef int cap
    cdef int place_of(self, bytes key) except -2
    cdef int put(self, bytes key) except -1
    cdef int build(self, Context ctx, const Arg* key, const Arg* kind, const Arg* piece) except -1
    cdef int expire_fields(self, Context ctx, Key* k, Words w) except -1
    cdef int go_in(self, Context ctx, int place) except -1
    cdef int enter(self, Context ctx) except -1
    cdef int leave(self, Context ctx, int count) except -1
    cdef bytep take(self, bytes key)

cdef Guests guests_of(Context ctx)
cdef int only_internal(Context ctx, Arg* argv, int argc) except -1
cdef object guest_row(str name, int arity, str flags, str key_specs)
cdef int register_guests(Registry registry) except -1
