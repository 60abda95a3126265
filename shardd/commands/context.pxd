from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.keyspace.database cimport Database, Key, KeyObserver, Keyspace
from shardd.journal.stream cimport Stream
from shardd.net.channels cimport Channels
from shardd.net.client cimport Client
from shardd.wire.reply cimport Reply
from shardd.wire.request cimport Arg

# Who lets a client wait for keys: engine.blocking derives from it.
cdef class Waits(KeyObserver):
    cdef int wait(self, Context ctx, Arg* argv, int argc, int first, int count, uint32_t type,
                  int64_t timeout_ms) except -1

# What a command sees while it runs. One per process; dispatch fills it in before each command.
cdef class Context:
    cdef public Client client
    cdef public Database db             # the client's selected database
    cdef public Keyspace keyspace
    cdef public Reply reply
    cdef public Stream journal
    cdef public Channels channels       # publish and subscribe
    cdef public object server           # what plain handlers get as `server`
    cdef Key key                        # the command's first key, ready to look up
    cdef bint rewritten                 # the handler told the journal what happened, in its own words
    cdef bint failed                    # the reply is an error
    cdef readonly bint in_exec          # it runs within a transaction, so that it must not wait
    cdef Waits waits
    cdef public object on_error         # called with the text of each error reply
    cdef readonly Py_ssize_t bulk_max            # proto-max-bulk-len, bytes
    cdef public bint lazy_delete        # lazyfree-lazy-user-del
    cdef public int64_t hash_max_entries, hash_max_value        # hash-max-listpack-*
    cdef public int64_t zset_max_entries, zset_max_value        # zset-max-listpack-*
    cdef public int64_t set_max_intset, set_max_entries, set_max_value     # set-max-intset-entries, set-max-listpack-*
    cdef public int list_max_size, list_depth   # list-max-listpack-size, list-compress-depth
    cdef public dict texts              # (key, field or None) -> text or None, of other engines; None: not asked (SORT)
    cdef public bint cluster            # answers redirects
    cdef int error(self, bytes text) except -1
    cdef int effect(self, tuple words) except -1
    cdef inline int notify(self, unsigned int kind, bytes name, Key* k) except -1:
        return self.db.notify(kind, name, k)
    cdef Key* other_key(self, Key* k, Arg* arg) noexcept

ctypedef int (*Handler)(Context ctx, Arg* argv, int argc) except -1
