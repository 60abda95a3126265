# The system calls of the reactor. None of them releases the interpreter's lock: each returns at once, and giving the
# lock away and taking it back costs more than the call does beyond entering the kernel.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t

cdef extern from "<unistd.h>" nogil:
    ssize_t sys_read "read" (int fd, void* to, size_t n)
    ssize_t sys_write "write" (int fd, const void* p, size_t n)
    int sys_close "close" (int fd)

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        void* ptr
        int fd
        uint32_t u32
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags)
    int epoll_ctl(int ep, int op, int fd, epoll_event* event)
    int epoll_wait(int ep, epoll_event* events, int events_max, int timeout_ms)
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP, EPOLLET
    int EPOLL_CTL_ADD, EPOLL_CTL_MOD, EPOLL_CTL_DEL, EPOLL_CLOEXEC

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int initial, int flags)
    int EFD_NONBLOCK, EFD_CLOEXEC

cdef extern from "<sys/timerfd.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    struct itimerspec:
        timespec it_interval
        timespec it_value
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec* new, itimerspec* old)
    int TFD_NONBLOCK, TFD_CLOEXEC

cdef extern from "<time.h>" nogil:
    int CLOCK_MONOTONIC

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        uint16_t sa_family
    struct sockaddr_storage:
        uint16_t ss_family
    int accept4(int fd, sockaddr* peer, socklen_t* n, int flags)
    ssize_t send(int fd, const void* p, size_t n, int flags)
    ssize_t recv(int fd, void* to, size_t n, int flags)
    int getsockname(int fd, sockaddr* name, socklen_t* n)
    int getpeername(int fd, sockaddr* name, socklen_t* n)
    int getsockopt(int fd, int level, int option, void* value, socklen_t* n)
    int setsockopt(int fd, int level, int option, const void* value, socklen_t n)
    int SOCK_NONBLOCK, SOCK_CLOEXEC, MSG_NOSIGNAL, MSG_TRUNC, MSG_DONTWAIT
    int SOL_SOCKET, SO_ERROR, SO_KEEPALIVE
    int AF_UNIX, AF_INET, AF_INET6

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr
    int IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_CONGESTION

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* address, char* to, socklen_t n)
    uint16_t ntohs(uint16_t port)
