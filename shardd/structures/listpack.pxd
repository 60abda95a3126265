from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep, load32

# An element: bytes at p, or (p is NULL) the integer.
ctypedef struct LpValue:
    const uint8_t* p
    Py_ssize_t n
    int64_t number

# An element about to be written: all but the string itself, which stands between the two.
ctypedef struct LpEncoded:
    uint8_t head[9]             # encoding, and length or integer
    int head_n
    uint8_t back[5]
    int back_n
    Py_ssize_t data_n           # bytes of the string

# What is looked for in many elements.
ctypedef struct LpNeedle:
    const uint8_t* p
    Py_ssize_t n
    int64_t number
    bint is_number

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
cdef bytep lp_first(bytep lp) noexcept nogil                            # these five: NULL where there is none
cdef bytep lp_last(bytep lp) noexcept nogil
cdef bytep lp_next(bytep lp, bytep p) noexcept nogil
cdef bytep lp_prev(bytep lp, bytep p) noexcept nogil
cdef bytep lp_seek(bytep lp, int64_t index) noexcept nogil              # negative: from the end
cdef void lp_get(const uint8_t* p, LpValue* v) noexcept nogil
cdef Py_ssize_t lp_text(const uint8_t* p, uint8_t* digits, const uint8_t** text) noexcept nogil  # digits: room for 24
cdef bytep lp_find(bytep lp, bytep p, const uint8_t* text, Py_ssize_t n, int skip) noexcept nogil
cdef bytep lp_insert(bytep lp, bytep p, int where, const uint8_t* text, Py_ssize_t n, bytep* at) noexcept nogil
cdef bytep lp_append(bytep lp, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bytep lp_insert_pair(bytep lp, bytep p, const uint8_t* first, Py_ssize_t n, const uint8_t* second,
                          Py_ssize_t m) noexcept nogil
cdef bytep lp_move_pair(bytep lp, bytep p, bytep to, const uint8_t* second, Py_ssize_t m) noexcept nogil
cdef bytep lp_append_pair(bytep lp, const uint8_t* first, Py_ssize_t n, const uint8_t* second,
                          Py_ssize_t m) noexcept nogil
cdef bytep lp_delete(bytep lp, bytep p, uint32_t count, bytep* at) noexcept nogil
cdef Py_ssize_t lp_entry_bytes(const uint8_t* text, Py_ssize_t n) noexcept nogil        # what an element would take
# Elements by themselves, wherever they lie: for who keeps them without the listpack's frame (structures/packed).
cdef Py_ssize_t lp_encode(LpEncoded* e, const uint8_t* text, Py_ssize_t n) noexcept nogil   # bytes of the whole element
cdef bytep lp_write(bytep p, LpEncoded* e, const uint8_t* text) noexcept nogil              # behind what it wrote
cdef void lp_needle(LpNeedle* needle, const uint8_t* text, Py_ssize_t n) noexcept nogil
cdef bint lp_matches(const uint8_t* p, LpNeedle* needle) noexcept nogil

cdef inline int lp_back_bytes(Py_ssize_t size) noexcept nogil:
    # of the backlen of an element whose other fields take `size`
    if size <= 127:
        return 1
    if size < 16383:
        return 2
    if size < 2097151:
        return 3
    return 4 if size < 268435455 else 5

cdef inline Py_ssize_t lp_element_body(const uint8_t* p) noexcept nogil:
    # bytes of an element without its backlen; 0 where there is no such encoding
    cdef uint8_t mark = p[0]
    if mark < 128:
        return 1
    if mark < 192:
        return 1 + (mark & 63)
    if mark < 224:
        return 2
    if mark < 240:
        return 2 + (((mark & 15) << 8) | p[1])
    if mark == 240:
        return 5 + <Py_ssize_t> load32(p + 1)
    if mark == 241:
        return 3
    if mark == 242:
        return 4
    if mark == 243:
        return 5
    return 9 if mark == 244 else 0

cdef inline bytep lp_skip(const uint8_t* p) noexcept nogil:
    # behind the element at p
    cdef Py_ssize_t size = lp_element_body(p)
    return <bytep> p + size + lp_back_bytes(size)

cdef inline bytep lp_before(const uint8_t* p) noexcept nogil:
    # the element that ends at p
    cdef Py_ssize_t size = 0
    cdef int shift = 0
    while True:
        p -= 1
        size |= <Py_ssize_t> (p[0] & 127) << shift
        if not p[0] & 128:
            return <bytep> p - size
        shift += 7

cdef bint lp_valid(const uint8_t* lp, size_t size) noexcept nogil       # whether these bytes are a listpack

# The same as the keyspace wants it of a body (ValueOps).
cdef size_t lp_body_bytes(void* body) noexcept
cdef void* lp_body_copy(void* body) noexcept
cdef bint lp_body_free(void* body, int64_t elements) noexcept
