from libc.stdint cimport uint8_t, uint32_t, int64_t, uint64_t

# What the reactor drives. A session derives from it and stays sans-IO: bytes in by data(), bytes out by transport.write().
cdef class Protocol:
    cdef readonly Transport transport
    cdef int made(self) except -1                                           # the connection stands
    cdef Py_ssize_t data(self, uint8_t* p, Py_ssize_t n) except -1          # returns how many bytes are done with
    cdef int drained(self) except -1                                        # the queue of unsent bytes is empty again
    cdef int lost(self, object reason) except -1                            # called once, after the last data()

cdef class Transport:
    cdef readonly int fd
    cdef readonly Protocol protocol
    cdef readonly Reactor reactor
    cdef readonly str peer, local           # "127.0.0.1:4711", or the socket's path and ":0"
    cdef readonly bint is_unix, closing, reading_paused
    cdef readonly int64_t created_ms, active_ms     # monotonic; active: last bytes in
    cdef readonly uint64_t bytes_in, bytes_out
    cdef uint8_t* inbuf                     # bytes that data() left over
    cdef readonly Py_ssize_t in_len, in_cap
    cdef public Py_ssize_t in_want          # data() may set it: room to make before the next read
    cdef uint8_t* outbuf                    # bytes the kernel did not take yet: outbuf[out_pos : out_pos + out_len]
    cdef Py_ssize_t out_pos, out_cap
    cdef readonly Py_ssize_t out_len
    cdef bint connecting, close_when_drained, feeding, resume_queued
    cdef uint32_t events                    # what epoll watches for us
    cdef int write(self, const void* p, Py_ssize_t n) except -1     # sends at once what goes, keeps the rest
    cpdef int close(self, object reason=*) except -1                # now; protocol.lost() follows before the next poll ends
    cpdef int close_after_flush(self) except -1                     # when the queue is empty; reads no more
    cpdef int pause_reading(self) except -1
    cpdef int resume_reading(self) except -1                        # and feeds what is left in inbuf, from the next poll on
    cdef int on_readable(self) except -1
    cdef int on_writable(self) except -1
    cdef int feed(self, uint8_t* p, Py_ssize_t n) except -1

cdef class Reactor:
    cdef int ep
    cdef uint8_t* shared                    # the read buffer of every connection that has nothing left over
    cdef readonly Py_ssize_t shared_size
    cdef list by_fd                         # fd -> Transport or Listener
    cdef list doomed                        # closed in this poll: lost() still to be called
    cdef list resumed                       # resume_reading() was called: feed again
    cdef readonly int64_t now_ms            # monotonic, read once per poll
    cdef public object before_poll          # called with no arguments at the start of each poll, or None
    cdef readonly uint64_t polls, events_total
