from libc.stdint cimport uint64_t
from shardd.structures.table cimport EntryVisitor, Table

cdef uint64_t table_drain(Table* t, uint64_t start, uint64_t chains, EntryVisitor condemn, void* context) noexcept
