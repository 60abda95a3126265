from libc.stdint cimport int16_t
from proxy.latency cimport Latency
from proxy.link cimport Link, Switch, Upstream
from proxy.replies cimport Outbox
from shardd.net.reactor cimport Reactor

# One engine, whatever connections there are to it.
cdef class Engine(Upstream):
    cdef readonly Link resp2, resp3         # the lane that all clients share, by the version of the protocol
    cdef list lanes                         # the other lanes' links, None where none was needed yet
    cdef readonly list private, idle
    cdef readonly set lent
    cdef Link spare(self, int resp, int lane)
    cdef int put(self, Link link) except -1

# All engines, and what their links share.
cdef class Backends(Switch):
    cdef readonly list engines              # Engine by position in the topology
    cdef readonly dict by_id
    cdef int16_t owners[16384]              # by slot: position in `engines`, -1 nobody
    cdef readonly int loading               # how many engines read their data
    cdef int flush(self) except -1
