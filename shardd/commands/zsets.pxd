from libc.stdint cimport int64_t
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry
from shardd.wire.request cimport Arg

# What ZMPOP and BZMPOP share. argv: from numkeys on; from the first key on. See zsets.py.
cdef int64_t zmpop_options(Context ctx, Arg* argv, int argc, bint* highest, int64_t* count) except -1
cdef int zmpop_first(Context ctx, Arg* argv, int64_t numkeys, bint highest, int64_t count) except -1

cdef int register_zsets(Registry registry) except -1
