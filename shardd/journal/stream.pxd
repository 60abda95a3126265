from libc.stdint cimport uint8_t, uint64_t
from shardd.keyspace.events cimport EffectSink
from shardd.wire.reply cimport Reply
from shardd.wire.request cimport Arg

# A reader that takes the effects where they lie. Others get a copy (stream.Reader).
cdef class StreamReader:
    cdef int take(self, const uint8_t* p, Py_ssize_t n) except -1

cdef class Stream(EffectSink):
    cdef readonly bint active           # somebody reads: effects are worth encoding
    cdef readonly uint64_t effects      # how many so far, counted while active
    cdef readonly uint64_t offset       # bytes handed out so far
    cdef list readers
    cdef Reply buffer                   # RESP of the effects since the last flush
    cdef Reply spare                    # takes its place while it is handed out
    cdef int db                         # database that the stream has SELECTed, -1: none yet
    cdef Py_ssize_t unit_start          # where the unit begins in the buffer
    cdef int unit_effects               # how many effects it has so far
    cdef int reserve(self, Py_ssize_t items, Py_ssize_t size) except -1
    cdef int select(self, int db) except -1
    cdef int append(self, int db, Arg* argv, int argc) except -1
    cdef int append_words(self, int db, tuple words) except -1
