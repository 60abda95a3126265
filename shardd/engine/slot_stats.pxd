from libc.stdint cimport uint32_t, uint64_t
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Command, Registry
from shardd.wire.request cimport Arg

ctypedef struct SlotUse:
    uint64_t ticks, bytes_in, bytes_out

# A slot in the order of its metric; heap: the worst of those chosen so far is at the top.
ctypedef struct Ranked:
    uint64_t rank
    uint32_t slot

cdef class SlotStats:
    cdef readonly bint enabled
    cdef SlotUse* use               # of each slot; NULL until it was enabled once
    cdef inline void add(self, unsigned int slot, uint64_t ticks, uint64_t bytes_in, uint64_t bytes_out) noexcept:
        cdef SlotUse* one = self.use + slot
        one.ticks += ticks
        one.bytes_in += bytes_in
        one.bytes_out += bytes_out
    cdef int count(self, Command* c, object row, bint internal, Arg* argv, int argc, uint64_t spent, uint64_t bytes_in,
                   uint64_t bytes_out) except -1
    cdef uint64_t figure(self, int metric, uint32_t slot, uint32_t keys) noexcept
    cdef int tell(self, Context ctx, uint32_t slot, uint32_t keys) except -1

cdef int register_slot_stats(Registry registry) except -1
