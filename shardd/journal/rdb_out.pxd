from libc.stdint cimport uint8_t, uint64_t, int64_t
from shardd.base.native cimport bytep

# Where the bytes of an RDB go: a file, or memory that grows.
ctypedef struct RdbOut:
    bytep buf
    size_t used, cap
    int fd                  # -1: memory
    int error               # the first errno; nothing is written from then on. 0: none
    bint compress           # rdbcompression
    bint checksum           # rdbchecksum
    uint64_t crc            # of what has left the buffer
    uint64_t written        # bytes that have left the buffer
    uint64_t sync_step      # bytes after which the file is synced; 0: never
    uint64_t started, synced        # bytes of which writing to the disk was begun, and which are there
    bytep scratch           # what is compressed, or about to be
    size_t scratch_cap

# All but rdb_open note an error in the sink and do nothing from then on; ask for it when it matters.
cdef bint rdb_open(RdbOut* o, int fd, uint64_t sync_step) noexcept nogil    # False: no memory; fd -1: to memory
cdef void rdb_close(RdbOut* o) noexcept nogil                               # frees the buffers; the fd is the caller's
cdef void rdb_flush(RdbOut* o) noexcept nogil
cdef bytep rdb_space(RdbOut* o, size_t n) noexcept nogil        # room for n <= RDB_SMALL bytes, to be added to `used`
cdef void rdb_write(RdbOut* o, const void* p, size_t n) noexcept nogil
cdef bytep rdb_scratch(RdbOut* o, size_t n) noexcept nogil      # n bytes for the caller; NULL: no memory
cdef void rdb_byte(RdbOut* o, int value) noexcept nogil
cdef void rdb_fixed64(RdbOut* o, uint64_t value) noexcept nogil         # eight bytes, little-endian
cdef void rdb_length(RdbOut* o, uint64_t n) noexcept nogil
cdef void rdb_number(RdbOut* o, int64_t value) noexcept nogil           # a string that is this number
cdef void rdb_string(RdbOut* o, const uint8_t* p, size_t n) noexcept nogil      # as short as Redis would have it
cdef void rdb_blob(RdbOut* o, const uint8_t* p, size_t n) noexcept nogil        # a string that is no number
cdef uint64_t rdb_crc(RdbOut* o) noexcept nogil                 # of all of them

cdef enum:
    RDB_SMALL = 64          # bytes
