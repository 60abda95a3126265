cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void*)
    int malloc_trim(size_t)

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void**, size_t, size_t)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void*, size_t, int)
    int MADV_DONTNEED
    int MADV_HUGEPAGE
