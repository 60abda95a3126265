from libc.stdint cimport uint8_t, uint16_t, int64_t, uint64_t

from bench.load.keys cimport Keys

# A part of a command whose length may change from one to the next.
ctypedef struct Piece:
    int kind                # script.py: _TEXT, _DIGITS, _HEADER, _DATA
    int source              # _DIGITS: where the number comes from; _HEADER: how often the argument has the data
    Py_ssize_t at, n        # _TEXT: bytes in the pool; _HEADER: n is what the argument has besides its data

# A place in a command of fixed length where 12 digits go.
ctypedef struct Hole:
    Py_ssize_t at
    int source

ctypedef struct Command:
    uint8_t* whole          # fixed length: all bytes, with zeros in the holes; otherwise NULL
    Py_ssize_t n            # its length; the longest there can be where whole is NULL
    Hole* holes
    int holes_n
    Piece* pieces
    int pieces_n
    uint8_t* key            # the first key with zeros for its number, NULL where there is none
    Py_ssize_t key_n, key_hole      # key_hole: where its number goes, -1 where it has none
    uint64_t until          # of the random numbers, those below choose this command or one before it
    int slot                # of a key without a number; -1: it depends on the number or there is no key

cdef class Script:
    cdef readonly int count
    cdef Command* commands
    cdef bytes pool, data
    cdef uint8_t* pool_p
    cdef uint8_t* data_p
    cdef readonly Py_ssize_t data_min, data_max
    cdef Keys keys
    cdef int64_t serial, serial_step
    cdef readonly Py_ssize_t longest        # bytes of the longest command
    cdef readonly bint fixed                # there is one command, and all that changes in it are digits
    cdef Py_ssize_t lay(self, Command* c, dict command, Py_ssize_t offset) except -1
    cdef int lay_key(self, Command* c, tuple key) except -1
    cdef int fix(self, Command* c) except -1
    cdef int choose(self) noexcept
    cdef int64_t number(self, int command) noexcept             # for its key; 0 where it has none
    cdef int slot_of(self, int command, int64_t number) noexcept        # -1: it has no key
    cdef Py_ssize_t emit(self, uint8_t* p, int command, int64_t number) noexcept    # the bytes; how many
    cdef void patch(self, uint8_t* p, int command, int64_t number) noexcept     # fixed length: the digits alone
    cdef int64_t source_of(self, int source, int64_t number, int64_t* shared) noexcept
    cdef Py_ssize_t emit_pieces(self, uint8_t* p, Command* c, int64_t number) noexcept

cdef void put_digits(uint8_t* p, int64_t number) noexcept nogil      # 12 digits, with leading zeros
