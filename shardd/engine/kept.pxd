from libc.stdint cimport uint8_t
from shardd.commands.registry cimport Command
from shardd.wire.request cimport Arg

# A request that outlives the buffer it came in; its arguments and their bytes follow it in the same block.
ctypedef struct Request:
    Request* next
    Command* command
    int argc
    Py_ssize_t raw_bytes        # on the wire

ctypedef struct Chunk:
    Chunk* next
    size_t size, used           # bytes, this header included

cdef class Kept:
    cdef Request* first
    cdef Request* last
    cdef Chunk* chunks          # the newest first; requests are put into that one
    cdef bint turned            # the oldest first: they are being run
    cdef readonly int count
    cdef readonly Py_ssize_t arg_bytes      # of the arguments
    cdef readonly Py_ssize_t block_bytes    # of all chunks
    cdef readonly unsigned int flags        # of all commands together
    cdef uint8_t* room(self, size_t size) noexcept
    cdef int add(self, Command* command, Arg* argv, int argc, Py_ssize_t raw_bytes) except -1
    cdef Request* follow(self, Request* request) noexcept
    cdef bint is_in(self, Chunk* chunk, Request* request) noexcept
    cdef int clear(self) noexcept

cdef Arg* kept_args(Request* request) noexcept
