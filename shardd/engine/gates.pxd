from libc.stdint cimport uint32_t
from shardd.engine.delivery cimport Delivery

cdef class Gates(Delivery):
    cdef public int paused              # CLIENT PAUSE: 0, PAUSE_WRITE or PAUSE_ALL of net.pause
    cdef readonly dict postponed        # id -> client whose next command waits for its end
    cdef readonly bint shut             # something below refuses commands
    cdef bint is_loading                # -LOADING to what does not say that it runs meanwhile
    cdef bytes denied                   # the error of writes and of PING while the disk fails, None: it does not
    cdef bytes refusal(self, uint32_t flags, uint32_t queued, bint is_ping)
