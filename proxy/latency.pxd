from libc.stdint cimport int64_t, uint64_t
from proxy.replies cimport ReplyQueue
from shardd.structures.histogram cimport Histogram

cdef enum:
    SAMPLES_MAX = 256

# One sampled command, from the wake-up that brought it on. Times are monotonic, in us.
ctypedef struct Sample:
    uint64_t at             # its place in the link's ring; afterwards its seq in the client's queue
    uint64_t upto           # bytes that its client must have taken; 0 while that is not known
    int64_t came_us         # the wake-up that brought it
    int64_t written_us      # its bytes went to the engine; 0: not yet
    int64_t answered_us     # the wake-up that brought the reply's first bytes; 0: not yet

ctypedef Sample* SampleP

# The sampled commands of one link that the engine has not answered.
cdef class Trace:
    cdef Latency latency
    cdef Sample ring[SAMPLES_MAX]
    cdef uint64_t head, tail, unwritten     # head <= unwritten <= tail
    cdef uint64_t add(self, uint64_t at, int64_t came_us) noexcept
    cdef int written(self) noexcept
    cdef int begun(self, int64_t now_us) noexcept
    cdef int answered(self, ReplyQueue queue, uint64_t seq, int64_t now_us) except -1
    cdef uint64_t pop(self) noexcept
    cdef uint64_t clear(self) noexcept

# All samples of a process, and what came of them.
cdef class Latency:
    cdef readonly Histogram queue, engine, network, total
    cdef readonly int every                 # one command in so many is sampled; 0: none
    cdef uint64_t due                       # the count of commands from which on the next one is
    cdef uint64_t random
    cdef readonly uint64_t dropped          # samples without an end
    cdef Sample unfinished[SAMPLES_MAX]     # answered, and not with their clients yet
    cdef list clients                       # the queue of each of them
    cdef int unsent                         # how many there are
    cdef int next_due(self, uint64_t commands) noexcept
    cdef int finish(self) except -1
    cdef int record(self, SampleP sample, int64_t now_us) noexcept
