from libc.stdint cimport uint64_t

ctypedef struct SlotUse:
    uint64_t ticks, bytes_in, bytes_out

cdef class SlotStats:
    cdef readonly bint enabled
    cdef SlotUse* use               # of each slot; NULL until it was enabled once
    cdef inline void add(self, unsigned int slot, uint64_t ticks, uint64_t bytes_in, uint64_t bytes_out) noexcept:
        cdef SlotUse* one = self.use + slot
        one.ticks += ticks
        one.bytes_in += bytes_in
        one.bytes_out += bytes_out
