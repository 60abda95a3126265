from libc.stdint cimport uint8_t
from shardd.commands.registry cimport Registry
from shardd.keyspace.events cimport EventSink
from shardd.net.channels cimport Channels

cdef class EventPublisher(EventSink):
    cdef Channels channels
    cdef public unsigned int mask           # the classes that notify-keyspace-events asks for

cdef int register_pubsub(Registry registry) except -1
