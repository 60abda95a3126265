# What the load generator asks of the kernel beyond what the reactor does (shardd.net.sys).
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
