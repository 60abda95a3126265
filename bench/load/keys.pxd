from libc.stdint cimport int64_t, uint64_t

cdef class Keys:
    cdef uint64_t state                     # of the random numbers
    cdef readonly int64_t keys              # numbers are 0 to keys - 1
    cdef readonly str kind                  # uniform, zipfian, hot, sequential
    cdef int how
    cdef int64_t at, step                   # sequential: the next one, and how far the one after it is
    cdef int64_t hot                        # hot set: keys 0 to hot - 1
    cdef double hot_access                  # and their share of all draws
    cdef double theta, area_first, area_last, sure     # zipfian; see keys.py
    cdef int64_t spread                     # zipfian: rank -> number is rank * spread % keys
    cdef int64_t draw(self) noexcept
    cdef int64_t rank(self) noexcept
    cdef uint64_t bits(self) noexcept       # 64 random ones
    cdef int64_t below(self, int64_t n) noexcept
    cdef double fraction(self) noexcept
