from shardd.base.native cimport bytep
from shardd.commands.registry cimport Registry
from shardd.keyspace.entry cimport View
from shardd.wire.request cimport Arg

cdef int register_hashes(Registry registry) except -1
cdef bint hash_value(bytep e, Arg* field, View* value) noexcept     # what HGET sees: `value` is good until the hash changes
