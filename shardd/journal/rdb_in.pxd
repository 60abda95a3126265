from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep, load16, load32, load64
from shardd.keyspace.entry cimport View

cdef enum RdbHold:
    HOLD_KEY = 0
    HOLD_FIELD = 1
    HOLD_VALUE = 2

# What is read of an RDB file or of a DUMP payload. A part that was read and copied stays where it is in the buffer
# until the next call.
cdef class RdbSource:
    cdef const uint8_t* p           # the next byte
    cdef const uint8_t* end         # behind the last byte that is here
    cdef const uint8_t* begin       # the first byte that is here
    cdef const uint8_t* summed      # the checksum is of all bytes before this one
    cdef uint64_t crc
    cdef bint sums                  # whether a checksum is made
    cdef int64_t base               # where `begin` is in the source
    cdef int64_t outside            # bytes of the source behind `end`
    cdef readonly int64_t total     # bytes of the source
    cdef bytep buffer               # of a file; NULL for memory
    cdef Py_ssize_t room
    cdef int fd
    cdef object data                # the bytes object that is read, kept alive
    cdef bytep unpacked             # what the last compressed string was
    cdef Py_ssize_t unpacked_room
    cdef bytep held[3]
    cdef Py_ssize_t held_room[3]

    cdef int over(self, const uint8_t* p, Py_ssize_t n) except -1
    cdef int fail(self, str text) except -1
    cdef int fill(self, Py_ssize_t n) except -1
    cdef int sum_up(self) noexcept
    cdef uint64_t checksum(self) noexcept
    cdef int skip(self, uint64_t n) except -1
    cdef uint64_t length(self, bint* encoded) except? 0
    cdef int64_t count(self, int each) except -1
    cdef int string(self, View* v) except -1
    cdef int skip_string(self) except -1
    cdef int hold(self, View* v, int where) except -1

    cdef inline int64_t left(self) noexcept:
        # bytes not yet read
        return (self.end - self.p) + self.outside

    cdef inline int64_t tell(self) noexcept:
        # where the next byte is in the source
        return self.base + (self.p - self.begin)

    cdef inline int need(self, Py_ssize_t n) except -1:
        # have so many bytes here, in a row
        if self.end - self.p < n:
            return self.fill(n)
        return 0

    cdef inline int u8(self) except -1:
        self.need(1)
        self.p += 1
        return (self.p - 1)[0]

    cdef inline int u32(self, uint32_t* value) except -1:
        self.need(4)
        value[0] = load32(self.p)
        self.p += 4
        return 0

    cdef inline int u64(self, uint64_t* value) except -1:
        self.need(8)
        value[0] = load64(self.p)
        self.p += 8
        return 0
