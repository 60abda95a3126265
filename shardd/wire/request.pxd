from libc.stdint cimport uint8_t, uint32_t, int64_t

# One argument: a slice of the fed buffer. Valid only until the buffer is fed again.
ctypedef struct Arg:
    uint8_t* p
    Py_ssize_t n

# One whole request: args[first : first + argc], and the bytes it was made of.
ctypedef struct Request:
    uint8_t* raw
    Py_ssize_t raw_n
    int argc
    int first
    bint inline_form        # came as an inline command: raw is not RESP

# A connection's progress through a request that is not whole yet. All zero is the start state. Offsets count
# from the first byte of that request, so that the buffer may move between calls.
ctypedef struct InputState:
    Py_ssize_t* offsets     # pairs (offset, length) of the arguments seen so far
    int offsets_cap         # in pairs
    int argc                # as announced by the multibulk header; 0: header not read yet
    int seen                # arguments that are whole
    Py_ssize_t pos          # where to go on
    Py_ssize_t bulk         # announced length of the argument in progress; negative: header not read yet, and
                            # -1 - bulk of its bytes are known to hold no CR
    Py_ssize_t want         # how many bytes of this request must be in the buffer before it can go on; a hint
    bint restricted         # not authenticated: at most 10 arguments of 16,384 bytes

ctypedef Arg* ArgP
ctypedef Request* RequestP
ctypedef InputState* StateP

cdef void input_state_clear(InputState* state) noexcept     # back to the start of a request; keeps `restricted`

cdef class RequestParser:
    cdef Arg* args
    cdef Request* requests
    cdef int count              # whole requests found by the last parse
    cdef bytes error            # one of base.errors, of the last parse; None: nothing was wrong
    cdef readonly Py_ssize_t bulk_max    # proto-max-bulk-len, bytes
    cdef int args_len, args_cap, requests_cap
    cdef list inline_store      # keeps unquoted inline arguments alive until the next parse
    cdef Py_ssize_t parse(self, InputState* state, uint8_t* p, Py_ssize_t n, int requests_max) except -1
    cdef Py_ssize_t fast(self, uint8_t* p, Py_ssize_t n, int requests_max) noexcept
    cdef Py_ssize_t careful(self, InputState* state, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t header(self, InputState* state, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t bulk_header(self, InputState* state, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t inline_request(self, InputState* state, uint8_t* p, Py_ssize_t n) except -1
    cdef int split(self, uint8_t* p, Py_ssize_t n) except -1
    cdef Py_ssize_t unquote(self, uint8_t* p, Py_ssize_t at, Py_ssize_t n) except -1
    cdef int push(self, uint8_t* raw, Py_ssize_t raw_n, int argc, bint inline_form) except -1
    cdef int room(self, int args, int requests) except -1
    cdef int shrink(self) except -1

# A parser with a buffer of its own, for those who are no Protocol: tests, tools.
cdef class RequestFeed:
    cdef RequestParser parser
    cdef InputState state
    cdef bytearray buffer
