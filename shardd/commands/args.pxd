from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.wire.request cimport Arg

cdef bint arg_is(const Arg* arg, const char* word, Py_ssize_t n) noexcept nogil     # word: lower case
cdef bint arg_int64(const Arg* arg, int64_t* value) noexcept nogil
cdef bint of_type(Context ctx, bytep e, uint32_t type) except -1    # False: it is not, and the error is replied
cdef bytes arg_bytes(const Arg* arg)
cdef bint expiry_unix_ms(Context ctx, const Arg* arg, int64_t unit_ms, bint relative, str command,
                         int64_t* when) except -1
