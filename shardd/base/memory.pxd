# Growing the buffers of connections and parsers: what is not the data, and so is not counted in used_memory.
from libc.stdlib cimport realloc

cdef inline void* regrow(void* p, size_t n) except NULL:
    # `p`, which may be NULL, with room for n bytes (1 or more); MemoryError, and `p` is as it was then
    cdef void* grown = realloc(p, n)
    if grown is NULL:
        raise MemoryError
    return grown
