from libc.stdint cimport uint8_t, uint64_t
from shardd.engine.stats cimport Stats
from shardd.journal.stream cimport Stream
from shardd.net.channels cimport Channels
from shardd.net.client cimport Client
from shardd.wire.reply cimport Reply

cdef class Delivery:
    cdef readonly Stats stats
    cdef readonly Reply reply
    cdef readonly Channels channels
    cdef Stream journal
    cdef object server
    cdef int foreseen_n                 # keys that sessions have hashed ahead for this turn's commands
    cdef uint64_t turn                  # counts the turns
    cdef Py_ssize_t mark                # where the running client's replies begin: all before are of those in `due`
    cdef list due                       # clients whose replies are in the buffer, in its order, and
    cdef Py_ssize_t* due_ends           # where each one's end
    cdef int due_cap
    cdef int hand_in(self, Client client) except -1
    cdef int forget(self) except -1
    cpdef int send_all(self) except -1
    cdef int send_messages(self) except -1
    cdef int put_messages(self, Client client) except -1
    cdef int send(self, Client client, const uint8_t* p, Py_ssize_t n) except -1
