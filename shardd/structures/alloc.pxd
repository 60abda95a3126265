from libc.stdint cimport uint8_t, uint32_t

cdef size_t SMALL_MAX                                   # bytes; above it, blocks are libc's

# All return NULL where the memory cannot be had, and change nothing then. `n` of release and resize is the size that
# was asked for.
cdef void* allocate(size_t n) noexcept nogil
cdef void* allocate_lines(size_t n) noexcept nogil      # zeroed, on a 64-byte boundary; n is a multiple of 64
cdef void release_lines(void* p, size_t n) noexcept nogil
cdef void discard_lines(void* p, size_t start, size_t end) noexcept nogil   # the bytes there will not be read again
cdef void release(void* p, size_t n) noexcept nogil
cdef void* resize(void* p, size_t old, size_t n) noexcept nogil
cdef size_t real_size(size_t n) noexcept nogil          # what a small request really takes
cdef size_t block_bytes(void* p, size_t n) noexcept nogil       # what the block p of n bytes takes, as it is counted
cdef size_t lines_bytes(void* p, size_t n) noexcept nogil       # the same of what allocate_lines gave
cdef size_t used_bytes() noexcept nogil
