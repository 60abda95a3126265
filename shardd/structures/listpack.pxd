from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep

# An element: bytes at p, or (p is NULL) the integer.
ctypedef struct LpValue:
    const uint8_t* p
    Py_ssize_t n
    int64_t number

cdef enum LpWhere:
    LP_BEFORE = 0
    LP_AFTER = 1
    LP_REPLACE = 2

# Whoever changes a listpack gets its new address, and the old one is gone; NULL: no memory (or above 1 GiB), unchanged.
cdef bytep lp_new() noexcept nogil
cdef void lp_free(bytep lp) noexcept nogil
cdef bytep lp_copy(bytep lp) noexcept nogil
cdef size_t lp_bytes(const uint8_t* lp) noexcept nogil                  # of the listpack itself
cdef size_t lp_memory(bytep lp) noexcept nogil                          # as used_memory counts it
cdef uint32_t lp_length(const uint8_t* lp) noexcept nogil
cdef bytep lp_first(bytep lp) noexcept nogil                            # these five: NULL where there is no such element
cdef bytep lp_last(bytep lp) noexcept nogil
cdef bytep lp_next(bytep lp, bytep p) noexcept nogil
cdef bytep lp_prev(bytep lp, bytep p) noexcept nogil
cdef bytep lp_seek(bytep lp, int64_t index) noexcept nogil              # negative: from the end
cdef void lp_get(const uint8_t* p, LpValue* v) noexcept nogil
cdef Py_ssize_t lp_text(const uint8_t* p, uint8_t* digits, const uint8_t** text) noexcept nogil  # digits: room for 24
cdef bint lp_equals(const uint8_t* p, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bytep lp_find(bytep lp, bytep p, const uint8_t* text, Py_ssize_t n, int skip) noexcept nogil
cdef bytep lp_insert(bytep lp, bytep p, int where, const uint8_t* text, Py_ssize_t n, bytep* at) noexcept nogil
cdef bytep lp_append(bytep lp, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bytep lp_insert_pair(bytep lp, bytep p, const uint8_t* first, Py_ssize_t n, const uint8_t* second, Py_ssize_t m) noexcept nogil
cdef bytep lp_move_pair(bytep lp, bytep p, bytep to, const uint8_t* second, Py_ssize_t m) noexcept nogil
cdef bytep lp_append_pair(bytep lp, const uint8_t* first, Py_ssize_t n, const uint8_t* second, Py_ssize_t m) noexcept nogil
cdef bytep lp_prepend(bytep lp, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bytep lp_delete(bytep lp, bytep p, uint32_t count, bytep* at) noexcept nogil
cdef Py_ssize_t lp_entry_bytes(const uint8_t* text, Py_ssize_t n) noexcept nogil        # what an element would take
cdef bint lp_valid(const uint8_t* lp, size_t size) noexcept nogil       # whether these bytes are a listpack

# The same as the keyspace wants it of a body (ValueOps).
cdef size_t lp_body_bytes(void* body) noexcept
cdef void* lp_body_copy(void* body) noexcept
cdef bint lp_body_free(void* body, int64_t elements) noexcept
