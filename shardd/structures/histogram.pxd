cimport cython
from libc.stdint cimport int64_t, uint64_t

cdef extern from *:
    int leading_zeros "__builtin_clzll" (uint64_t) noexcept nogil

# The counters of one histogram; see the essay in histogram.py.
ctypedef struct Tally:
    uint64_t* counts        # one per bucket
    int shift               # bits of a value that its bucket keeps, less one: 7 for two digits, 10 for three
    int length              # buckets
    int64_t highest         # what is above counts as this
    uint64_t count          # values
    uint64_t total          # their sum
    int64_t min, max        # of what was recorded, exactly; meaningless while count is 0

cdef bint tally_init(Tally* t, int digits, int64_t highest) noexcept nogil      # False: no memory
cdef void tally_free(Tally* t) noexcept nogil
cdef void tally_reset(Tally* t) noexcept nogil

cdef inline int tally_index(Tally* t, int64_t value) noexcept nogil:
    cdef int level = 63 - leading_zeros(<uint64_t>value | ((<uint64_t>2 << t.shift) - 1)) - t.shift
    return (level << t.shift) + <int>(value >> level)

# The sum of very large values wraps, as a checked build must let it.
@cython.overflowcheck(False)
cdef inline void tally_record_n(Tally* t, int64_t value, uint64_t n) noexcept nogil:
    if value > t.highest:
        value = t.highest
    if value < 0:
        value = 0
    t.counts[tally_index(t, value)] += n
    t.count += n
    t.total += <uint64_t>value * n
    if value < t.min:
        t.min = value
    if value > t.max:
        t.max = value

cdef inline void tally_record(Tally* t, int64_t value) noexcept nogil:
    tally_record_n(t, value, 1)

cdef class Histogram:
    cdef Tally t
    cdef readonly int digits
    cdef inline void record(self, int64_t value) noexcept:
        tally_record_n(&self.t, value, 1)
    cdef inline void record_n(self, int64_t value, uint64_t n) noexcept:
        tally_record_n(&self.t, value, n)

cdef Histogram histogram_of(Tally* t, int digits)        # a copy, for plain callers
