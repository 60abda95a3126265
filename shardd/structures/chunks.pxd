cdef size_t CHUNK                                   # bytes of a chunk, which lies on such a boundary
cdef void* map_chunk() noexcept nogil               # zeroed; NULL where the system has none
cdef void unmap_chunk(void* start) noexcept nogil
