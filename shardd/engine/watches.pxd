from libc.stdint cimport uint32_t
from shardd.keyspace.database cimport Database, Key, KeyObserver, Keyspace
from shardd.net.client cimport Client

# One client watches one key.
cdef class Watch:
    cdef Client client
    cdef int db
    cdef uint32_t slot
    cdef bytes key
    cdef bint expired           # the key was due when it was watched, and has not been deleted since

cdef class Watches(KeyObserver):
    cdef Keyspace keyspace
    cdef list tables            # by database: key -> {client: Watch}
    cdef dict by_client         # client -> [Watch]
    cdef int watch(self, Client client, int db, Key* k) except -1
    cdef int drop(self, Client client) except -1
    cdef bint has_expired(self, Client client) except -1
    cdef int spoil(self, Client client) except -1
    cdef int exchange(self, Database db, Database to) except -1
    cdef int slots_gone(self, const unsigned char* owned) except -1
