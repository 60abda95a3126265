from libc.stdint cimport uint64_t
from shardd.wire.request cimport Arg

cdef class Stats:
    cdef public uint64_t commands, bytes_in, bytes_out, connections, rejected_connections
    cdef public uint64_t query_limit_closes, output_limit_closes, error_replies
    cdef public uint64_t peak_memory
    cdef public dict errors             # error prefix -> count
    cdef public double slow_ticks       # slowlog-log-slower-than, in ticks: a command above it is logged
    cdef public object slowlog
    cdef object recent                  # base.rates.Rates of commands, bytes in, bytes out
    cpdef int count_error(self, bytes text) except -1
    cdef int note_slow(self, object client, Arg* argv, int argc, uint64_t ticks) except -1
