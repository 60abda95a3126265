from libc.stdint cimport uint8_t, int32_t, int64_t, uint64_t
from proxy.backend cimport Backends
from proxy.link cimport Link
from proxy.replies cimport Receiver, ReplyQueue
from shardd.wire.request cimport Arg

cdef enum JoinKind:
    JOIN_NONE = 0
    JOIN_SUM = 1            # integers added
    JOIN_OK = 2             # the first reply, once all have succeeded
    JOIN_ANY_OK = 3         # the first that succeeded
    JOIN_CONCAT = 4         # arrays, one behind the other: a Chain's
    JOIN_ORDER = 5          # arrays, elements back in the order of the keys
    JOIN_AND = 6            # arrays of 0 and 1, anded by place

ctypedef struct Part:
    uint8_t* p
    Py_ssize_t n, cap
    Py_ssize_t at           # while joining: how far its elements are taken

ctypedef Part* PartP

# One reply made of several engines'.
cdef class Join(Receiver):
    cdef ReplyQueue queue
    cdef uint64_t seq
    cdef int kind, count, missing
    cdef bint writes
    cdef Part* parts
    cdef int32_t* places            # JOIN_ORDER: the part of each key, in the order of the keys
    cdef int places_n
    cdef int append(self, Part* part, uint8_t* p, Py_ssize_t n) except -1
    cdef int finish(self) except -1
    cdef Part* failed(self) noexcept
    cdef bint in_part(self) noexcept
    cdef int integers(self) except -1
    cdef int ordered(self) except -1
    cdef int anded(self) except -1
    cdef int wrong(self) except -1

# A command that is answered by a coroutine.
cdef class Task(Receiver):
    cdef ReplyQueue queue
    cdef uint64_t seq
    cdef Backends backends
    cdef object client, coroutine
    cdef list answers, parts
    cdef bint raw                   # the answers are wanted as they come
    cdef uint64_t turn              # of asking; the upper half of what a reply is known by
    cdef int missing
    cdef int lane
    cdef bint asking
    cdef bint answered              # by a Send
    cdef int step(self, object value) except -1
    cdef int ask(self, list parts, int db) except -1
    cdef int send_for_client(self, object question) except -1
    cdef Link link_of(self, object where)
    cdef int finish(self, object value) except -1
# A write of which an engine that loads its data has a part: the client is answered.
cdef int refuse_loading(ReplyQueue queue, uint64_t seq) except -1

cdef int ask_every(Backends backends, ReplyQueue queue, uint64_t seq, int join, bint writes, uint8_t* raw,
                   Py_ssize_t n, int db, int resp, int lane) except -1
cdef int split(Backends backends, ReplyQueue queue, uint64_t seq, int join, bint writes, Arg* argv, int argc,
               int step, int db, int resp) except -1
cdef object decode(uint8_t* p, Py_ssize_t n)
