from shardd.structures.ranked cimport Ranked

cdef void ranked_free_last(Ranked* t) noexcept nogil        # the last leaf of one that is only freed from now on
cdef size_t ranked_bytes(Ranked* t) noexcept nogil          # without the pairs
cdef int ranked_check(Ranked* t) except -1
