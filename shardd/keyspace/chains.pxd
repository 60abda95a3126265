from libc.stdint cimport uint64_t
from shardd.structures.table cimport Table

# Chains of buckets by how many entries they hold; the last place is for all that are longer.
ctypedef struct Chains:
    uint64_t tables, slots, entries, overflow
    uint64_t[64] of_length

cdef void count_chains(Table* t, Chains* found) noexcept nogil
