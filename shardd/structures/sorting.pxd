from libc.stdint cimport uint8_t, uint64_t, int64_t
from shardd.base.native cimport bytep

# A text, or (p is NULL) the integer n, whose text is its decimal form.
ctypedef struct Text:
    const uint8_t* p
    int64_t n

# An item on its way to its place: the number it is sorted by, and which of the texts it is.
ctypedef struct Weighed:
    uint64_t key
    uint64_t at

# Memory for short texts, given back all at once.
ctypedef struct Scratch:
    void* block             # the newest; its first word is the one before
    size_t used, size       # bytes of it

ctypedef struct Sorting:
    Weighed* items          # in order, once sorted: as far as they were wanted
    Weighed* spare          # room for as many
    int64_t n
    Text* texts
    Scratch* scratch
    int64_t first, end      # the places that are wanted; what stands elsewhere need not be in order
    bint descending

cdef bytep scratch_take(Scratch* s, size_t n) noexcept nogil            # NULL without memory
cdef void scratch_free(Scratch* s) noexcept nogil
cdef bint text_spell(Text* t, Scratch* s) noexcept nogil                # give an integer its text; False: no memory

cdef uint64_t number_key(double value) noexcept nogil                   # not of NaN
# Both are stable; False: no memory.
cdef bint sort_numbers(Sorting* s) noexcept nogil       # by key, and those of the same key by text
cdef bint sort_texts(Sorting* s) noexcept nogil         # by text
