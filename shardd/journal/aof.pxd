from libc.stdint cimport int64_t, uint8_t, uint64_t
from shardd.journal.stream cimport StreamReader
from shardd.journal.syncer cimport Syncer

cpdef enum Policy:              # appendfsync
    SYNC_NO = 0
    SYNC_EVERYSEC = 1
    SYNC_ALWAYS = 2

cdef class AofWriter(StreamReader):
    cdef readonly Syncer syncer
    cdef readonly int fd                    # the increment that is written to, -1: none
    cdef public int policy                  # a Policy
    cdef public bint no_sync_with_child     # no-appendfsync-on-rewrite
    cdef public bint child_active           # a child saves or rewrites
    cdef public bint timestamps             # aof-timestamp-enabled
    cdef public object log                  # base.log.Log
    cdef public object latency              # engine.latency.LatencyMonitor
    cdef public object on_status            # called when a write fails, or succeeds again
    cdef public object die                  # ends the process: callable(exit code)
    cdef public unsigned int flush_sleep_us # DEBUG AOF-FLUSH-SLEEP: a rest before each write
    cdef public list planned                # for tests: outcomes of the next writes (journal.aof.AofWriter.write_some)
    cdef public int planned_truncate        # for tests: the errno of the next ftruncate, 0: as usual
    cdef readonly bint failed               # the last write failed,
    cdef readonly int error                 # with this errno
    cdef readonly uint64_t size             # bytes of the increment that hold whole units
    cdef readonly uint64_t synced_size      # so much of it was given to a sync
    cdef public uint64_t total_size         # of all files that would be loaded
    cdef readonly uint64_t taken            # the journal's offset behind what came in,
    cdef readonly uint64_t written          # behind what is in the file,
    cdef uint64_t synced_here               # and behind what this thread has synced
    cdef public uint64_t delayed_syncs      # writes that did not wait for a sync any longer
    cdef uint8_t* pending                   # what is not in the file yet
    cdef readonly Py_ssize_t pending_len
    cdef Py_ssize_t pending_cap
    cdef readonly int64_t postponed_ms      # monotonic, since when writes wait for a sync; 0: they do not
    cdef int64_t synced_ms                  # monotonic, when the last sync began
    cdef int64_t stamped_s                  # unix time of the last annotation
    cdef int64_t logged_s                   # monotonic, of the last log line about an error
    cdef int keep(self, const uint8_t* p, Py_ssize_t n) except -1
    cdef int stamp(self) except -1
    cdef bint must_wait(self, int64_t now_ms) except -1
    cdef Py_ssize_t write_some(self, const uint8_t* p, Py_ssize_t n) except -100000
    cdef Py_ssize_t write_out(self, const uint8_t* p, Py_ssize_t n) except -1
    cdef int write_failed(self, Py_ssize_t done, Py_ssize_t n, int error) except -1
    cdef int write_pending(self) except -1
    cdef int sync_if_due(self, int64_t now_ms) except -1
    cdef int sync_now(self) except -1
    cdef int note(self, str event, int64_t started_us) except -1
