from libc.stdint cimport int64_t, uint64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry
from shardd.wire.request cimport Arg

# A command that is put together here. What it points to must outlive it; `kept` is for what nobody else holds.
cdef class Words:
    cdef Arg* argv
    cdef int argc, cap
    cdef list kept
    cdef int add(self, const void* p, Py_ssize_t n) except -1
    cdef int add_bytes(self, bytes word) except -1
    cdef Arg rest               # what stood behind the array that add_piece has read
    cdef int add_piece(self, const Arg* piece, bint swapped) except -1

# Values that are in no database, by key; NULL: the key is known to be absent.
cdef class Guests:
    cdef readonly list keys
    cdef bytep* entries
    cdef int cap
    cdef int place_of(self, bytes key) except -2
    cdef int put(self, bytes key) except -1
    cdef int build(self, Context ctx, const Arg* key, const Arg* kind, const Arg* piece) except -1
    cdef int go_in(self, Context ctx, int place) except -1
    cdef int enter(self, Context ctx) except -1
    cdef int leave(self, Context ctx, int count) except -1
    cdef bytep take(self, bytes key)

cdef int register_guests(Registry registry) except -1
