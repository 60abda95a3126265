from libc.stdint cimport uint64_t
from shardd.journal.threads cimport pthread_cond_t, pthread_mutex_t, pthread_t

# One thing for the thread to do.
ctypedef struct Job:
    Job* next
    int fd
    bint sync, close
    uint64_t offset         # how far in the journal the file goes
    int planned_errno       # for tests: what the fdatasync ends with instead, 0: nothing

# What the loop and the thread share; `lock` is held for all of it.
ctypedef struct Shared:
    pthread_mutex_t lock
    pthread_cond_t changed
    Job* first
    Job* last
    int syncs               # fdatasyncs of the current file that are waiting or under way
    int jobs                # all that is
    int error               # errno of the last fdatasync, 0: it went well
    uint64_t synced         # the journal is on disk up to here
    bint held               # for tests: fdatasyncs wait
    bint stopping

cdef class Syncer:
    cdef Shared* shared
    cdef pthread_t thread
    cdef bint running
    cdef public int planned_errno
    cdef int put(self, int fd, uint64_t offset, bint sync, bint close) except -1
    cdef bint is_syncing(self) noexcept
    cdef int error_of(self) noexcept
