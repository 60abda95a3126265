cdef extern from "<stdlib.h>" nogil:
    long double strtold(const char*, char**)

cdef extern from "<errno.h>" nogil:
    int* errno_place "__errno_location" ()      # errno itself cannot be assigned to in pure mode
    int ERANGE

cdef extern from "<math.h>" nogil:
    bint isnan_ld "isnan" (long double)
    bint isinf_ld "isinf" (long double)

cdef extern from "<stdio.h>" nogil:
    int snprintf_ld "snprintf" (char*, size_t, const char*, long double)
