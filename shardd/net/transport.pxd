from libc.stdint cimport uint8_t, uint32_t, int64_t, uint64_t

# What the reactor drives. A session derives from it and stays sans-IO: bytes in by data(), out by transport.write().
cdef class Protocol:
    cdef readonly Transport transport
    cdef int made(self) except -1                                           # the connection stands
    cdef Py_ssize_t data(self, uint8_t* p, Py_ssize_t n) except -1          # returns how many bytes are done with
    cdef int eof(self) except -1                                            # no more comes: 0 close, 1 stay for output
    cdef bint ahead(self, uint8_t* p, Py_ssize_t n, int step) noexcept      # prefetch what data(p, n) will touch
    cdef int drained(self) except -1                                        # the queue of unsent bytes is empty again
    cdef int lost(self, object reason) except -1                            # called once, after the last data()

# A protocol for plain Python: hands all of it to the methods of one object.
cdef class PlainProtocol(Protocol):
    cdef readonly object handler

cdef class Transport:
    cdef readonly int fd                    # -1 once it is lost
    cdef readonly Protocol protocol         # None once it is lost
    cdef readonly Hub reactor
    cdef readonly str peer, local           # "127.0.0.1:4711", or the socket's path and ":0"
    cdef readonly bint is_unix, closing, reading_paused
    cdef readonly int64_t created_ms, active_ms     # monotonic; active: last bytes in
    cdef readonly uint64_t bytes_in, bytes_out
    cdef uint8_t* inbuf                     # bytes that data() left over
    cdef readonly Py_ssize_t in_len, in_cap
    cdef public Py_ssize_t in_want          # data() may set it: how many bytes must be left over to go on
    cdef uint8_t* outbuf                    # bytes the kernel did not take yet: outbuf[out_pos : out_pos + out_len]
    cdef readonly Py_ssize_t out_cap
    cdef Py_ssize_t out_pos
    cdef readonly Py_ssize_t out_len
    cdef bint connecting, close_when_drained, feeding, resume_queued, ended
    cdef uint32_t events                    # what epoll watches for us
    cdef object reason                      # why it closes
    cdef int write(self, const void* p, Py_ssize_t n) except -1     # sends at once what goes, keeps the rest
    cpdef int close(self, object reason=*) except -1                # now; lost() follows before the next poll ends
    cpdef int close_after_flush(self) except -1                     # when the queue is empty; reads no more
    cpdef int pause_reading(self) except -1
    cpdef int resume_reading(self) except -1                        # what is left in inbuf is fed by the next poll
    cdef int on_event(self, uint32_t events) except -1
    cdef int on_readable(self) except -1
    cdef Py_ssize_t read_to(self, uint8_t* to, Py_ssize_t room) except -1
    cdef int feed_read(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int on_writable(self) except -1
    cdef int on_connected(self) except -1
    cdef int on_eof(self) except -1
    cdef int feed(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int keep(self, uint8_t* p, Py_ssize_t n) except -1
    cdef int in_room(self) except -1
    cdef int out_room(self, Py_ssize_t n) except -1
    cdef int watch(self, uint32_t events) except -1
    cdef int arm(self, uint32_t events) except -1
    cdef int fail(self) except -1
    cdef int fail_by_socket(self) except -1
    cdef int free_buffers(self) noexcept

# What a connection sees of the reactor, which derives from it.
cdef class Hub:
    cdef int ep, wake_fd
    cdef uint8_t* shared                    # the read buffer of every connection that has little or nothing left over
    cdef list doomed                        # closed: lost() still to be called
    cdef list resumed                       # resume_reading() was called: feed again
    cdef bint polling, woken
    cdef readonly int64_t now_ms            # monotonic, read once per poll
    cdef readonly uint64_t reads, writes    # calls of recv and send for connections
    cdef readonly uint64_t queues_grown, queues_freed   # of unsent bytes
    cdef readonly Py_ssize_t buffer_bytes   # inbuf and outbuf of all connections
    cdef int wake_up(self) except -1        # make sure that a poll follows soon

cdef uint32_t edges(uint32_t events) noexcept
cdef Transport new_transport(Hub reactor, int fd, bint is_unix)
