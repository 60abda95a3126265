from libc.stdint cimport int64_t, uint64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_out cimport RdbOut

# How a value is written; found out before its first byte.
ctypedef struct RdbForm:
    int type                # RdbType; -1: nothing is left of it, all fields of the hash are due
    uint64_t count          # elements that are written, of a hash with fields that expire
    int64_t first           # its earliest expiry

cdef void rdb_form(bytep e, int64_t now_ms, RdbForm* form) noexcept nogil
cdef void rdb_value(RdbOut* o, bytep e, RdbForm* form, int64_t now_ms) noexcept nogil   # form.type is not -1
cdef bint rdb_needs_field_ttl(RdbForm* form) noexcept nogil         # whether version 10 has no such thing
