from libc.stdint cimport uint8_t

# Bytes written to `out`; 0 where they would be more than `room`, which for decompress means that the input is no LZF.
cdef size_t lzf_compress(const uint8_t* p, size_t n, uint8_t* out, size_t room) noexcept nogil
cdef size_t lzf_decompress(const uint8_t* p, size_t n, uint8_t* out, size_t room) noexcept nogil
