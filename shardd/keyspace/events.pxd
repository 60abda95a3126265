from libc.stdint cimport uint8_t

# The classes of keyspace events: the letters of notify-keyspace-events, with Redis's bits.
cdef enum:
    NOTIFY_KEYSPACE = 1         # K, __keyspace@<db>__ events are published
    NOTIFY_KEYEVENT = 2         # E, __keyevent@<db>__ events are
    NOTIFY_GENERIC = 4          # g
    NOTIFY_STRING = 8           # $
    NOTIFY_LIST = 16            # l
    NOTIFY_SET = 32             # s
    NOTIFY_HASH = 64            # h
    NOTIFY_ZSET = 128           # z
    NOTIFY_EXPIRED = 256        # x
    NOTIFY_EVICTED = 512        # e
    NOTIFY_STREAM = 1024        # t
    NOTIFY_KEY_MISS = 2048      # m
    NOTIFY_MODULE = 8192        # d
    NOTIFY_NEW = 16384          # n
    NOTIFY_ALL = 4 | 8 | 16 | 32 | 64 | 128 | 256 | 512 | 1024 | 8192      # A

# Who delivers the events: the engine's pub/sub derives from it.
cdef class EventSink:
    cdef int event(self, int db, unsigned int kind, bytes name, const uint8_t* key, Py_ssize_t n) except -1

# Who wants to hear of effects that no command asked for. The journal derives from it.
cdef class EffectSink:
    cdef int key_deleted(self, int db, const uint8_t* p, Py_ssize_t n, bint lazy) except -1   # lazy: as UNLINK does
    cdef int fields_deleted(self, int db, bytes key, list fields) except -1
    cdef int unit_over(self) except -1
