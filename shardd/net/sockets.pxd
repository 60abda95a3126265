cdef object os_error(int code)                                  # an OSError, or its subclass, for an errno
cdef str address_of(int fd, bint peer)                          # "1.2.3.4:5", "[::1]:5", "/path:0"; "?:0" if unknown
cdef int set_loopback(int fd) except -1                         # a TCP connection within this host
cdef int set_tcp(int fd, int keepalive_s) except -1             # TCP_NODELAY, and keepalive where keepalive_s > 0
cdef int socket_error(int fd) noexcept                          # SO_ERROR
