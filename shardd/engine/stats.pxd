from libc.stdint cimport int64_t, uint64_t
from shardd.commands.registry cimport Command
from shardd.wire.request cimport Arg

cdef class Stats:
    cdef public uint64_t commands, bytes_in, bytes_out, connections, rejected_connections
    cdef public uint64_t query_limit_closes, output_limit_closes, error_replies
    cdef public uint64_t peak_memory
    cdef public uint64_t expire_us      # time that cron spent on expiry
    cdef public uint64_t expire_capped  # how often its time was over before its work
    cdef int64_t exceeded_since_ms      # since when more memory is in use than maxmemory; monotonic, 0: it is not
    cdef int64_t exceeded_ms            # how long that was so, before
    cdef public dict errors             # error prefix -> count
    cdef readonly double slow_ticks     # a command above it goes to note_slow: for the slow log, the monitor, or both
    cdef double slowlog_ticks           # slowlog-log-slower-than, in ticks
    cdef public object slowlog
    cdef readonly object latency        # engine.latency.LatencyMonitor
    cdef public bint tracking           # latency-tracking: a histogram of each command's calls
    cdef uint64_t ns_scale              # nanoseconds of a tick, times 2**20
    cdef object recent                  # base.rates.Rates of commands, bytes in, bytes out
    cpdef int count_error(self, bytes text) except -1
    cdef int note_slow(self, object client, Command* c, Arg* argv, int argc, uint64_t ticks) except -1
    cdef inline uint64_t ns(self, uint64_t ticks) noexcept:
        return ticks * self.ns_scale >> 20
