from libc.stdint cimport uint8_t, uint64_t
from proxy.backend cimport Backends, Engine
from proxy.link cimport Link
from proxy.replies cimport Receiver, ReplyQueue
from shardd.wire.reply cimport Reply

# A command that waits for EXEC.
cdef class Queued:
    cdef readonly int index             # its route's, in the router's lists
    cdef readonly int kind              # its route's
    cdef readonly bytes raw             # RESP
    cdef readonly list args             # where it is not sent as it came, else None
    cdef readonly tuple slots           # of its keys, each once; empty without keys

# What a client has between MULTI and EXEC, and what it watches.
cdef class Transaction:
    cdef readonly list commands         # Queued
    cdef readonly Py_ssize_t raw_n      # their bytes
    cdef public bint failed             # a command was refused: EXEC is, too
    cdef readonly bint writes
    cdef readonly bint simple           # every command has keys, all of which one engine has, and is sent as it came
    cdef readonly dict links            # Engine -> the link that watches for the client
    cdef readonly set watched           # (database, key)
    cdef public bint mutes              # CLIENT REPLY is among the commands: EXEC's reply is not heard as a whole
    cdef int add(self, Queued command, bint writes, bint simple) except -1
    cdef int owner(self, Backends backends) except? -9
    cdef int write(self, Reply request) except -1

# EXEC, on its way to one engine.
cdef class Exec(Receiver):
    cdef ReplyQueue queue
    cdef uint64_t seq
    cdef Engine engine
    cdef Link link                      # borrowed, or None
    cdef bytes refused                  # the first error of a command that was to be queued
    cdef bytes error_text(self, uint8_t* p, Py_ssize_t n)

# UNWATCH, on its way.
cdef class Unwatch(Receiver):
    cdef Engine engine
    cdef Link link

cdef int unwatch(Transaction transaction, int db) except -1
