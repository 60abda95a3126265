# What the load generator asks of the kernel beyond what the reactor does (shardd.net.sys), and of C.
from posix.time cimport timespec

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
        short revents
    int POLLIN
    int ppoll(pollfd* fds, unsigned long n, const timespec* timeout, const void* sigmask)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)

cdef inline Py_ssize_t apart(const void* p, const void* start) noexcept nogil:
    # p - start in bytes; as numbers, since a checked build refuses to subtract pointers
    return <Py_ssize_t>p - <Py_ssize_t>start
