from libc.stdint cimport uint8_t, int64_t
from shardd.commands.context cimport Context
from shardd.wire.request cimport Arg

cdef bint arg_is(const Arg* arg, const char* word, Py_ssize_t n) noexcept nogil     # word: lower case
cdef bint arg_int64(const Arg* arg, int64_t* value) noexcept nogil
cdef bytes arg_bytes(const Arg* arg)
cdef bint expiry_unix_ms(Context ctx, const Arg* arg, int64_t unit_ms, bint relative, str command,
                         int64_t* when) except -1
