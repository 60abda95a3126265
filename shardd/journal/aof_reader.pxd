from libc.stdint cimport uint8_t
from shardd.wire.request cimport Arg

cpdef enum Found:
    COMMANDS = 1            # there are some in the reader's arrays
    END = 2                 # the file ended behind a whole unit
    TRUNCATED = 3           # it ended within a unit
    DAMAGED = 4             # what comes is no command

# One command of the batch: args[first : first + argc]. MULTI and EXEC are not among them.
ctypedef struct Effect:
    int first
    int argc
    bint in_unit            # it is one of several between MULTI and EXEC

cdef class AofReader:
    cdef readonly int fd
    cdef readonly Py_ssize_t total          # bytes of the file
    cdef readonly Py_ssize_t valid          # offset in the file behind the last whole unit that was handed out
    cdef readonly bint in_multi             # where it is truncated: within a transaction
    cdef readonly str reason                # where it is damaged: what is wrong
    cdef uint8_t* buf
    cdef Py_ssize_t cap, start, end         # buf[start:end] is what was read and not handed out yet,
    cdef Py_ssize_t offset                  # and where buf[0] is in the file
    cdef bint at_eof
    cdef Arg* args
    cdef int args_len, args_cap
    cdef Effect* effects
    cdef int count, effects_cap
    cdef int argc                           # words of the command that was found last
    cdef Py_ssize_t scanned                 # in the buffer, how far the last scan came
    cdef int read_more(self) except -1
    cdef int next(self) except -1
    cdef int scan(self) except -1
    cdef bint is_word(self, const char* word, Py_ssize_t n) noexcept
    cdef int push(self, bint unit) except -1
    cdef Py_ssize_t annotation(self, uint8_t* p, Py_ssize_t n) noexcept
    cdef Py_ssize_t header(self, uint8_t* p, Py_ssize_t n, uint8_t mark, long long* value) noexcept
    cdef Py_ssize_t command(self, uint8_t* p, Py_ssize_t n) except -2
