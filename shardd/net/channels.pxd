from shardd.net.client cimport Client
from shardd.wire.reply cimport Reply

cpdef enum Room:
    CHANNEL = 0
    PATTERN = 1
    SHARD_CHANNEL = 2

cdef class Channels:
    cdef readonly tuple rooms               # by Room: dict of name -> dict of its clients, in order of arrival
    cdef list waiting                       # clients with messages on their way; some may have none any more
    cdef Reply scratch                      # where a message is encoded
    cdef public Py_ssize_t unsent_bytes_max # client-output-buffer-limit's hard limit for subscribers, 0: none
    cdef public object over_limit           # callable(client, bytes), for whom it passes
    cdef bint enter(self, Client client, int room, bytes name) except -1
    cdef bint leave(self, Client client, int room, bytes name) except -1
    cpdef int leave_all(self, Client client) except -1
    cdef int confirm(self, Reply out, Client client, int room, bytes word, bytes name) except -1
    cdef int tell_left(self, Client client, int room, bytes word, bytes name) except -1
    cdef int listed(self, Client client, int room) noexcept
    cpdef int publish(self, bytes channel, bytes message, bint sharded=*) except -1
    cdef int deliver(self, dict clients, bytes word, bytes pattern, bytes channel, bytes message) except -1
    cdef bytes encoded(self, int resp, bytes word, bytes pattern, bytes channel, bytes message)
    cdef int send(self, Client client, bytes data) except -1
    cdef bytes take(self, Client client)
