from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.keyspace.database cimport Key

# The limits that decide about the form of a collection, as the options of these names set them.
cdef class Thresholds:
    cdef public int64_t hash_max_entries, hash_max_value        # hash-max-listpack-*
    cdef public int64_t zset_max_entries, zset_max_value        # zset-max-listpack-*
    cdef public int64_t set_max_intset, set_max_entries, set_max_value     # set-max-intset-entries, set-max-listpack-*
    cdef public int list_max_size, list_depth   # list-max-listpack-size, list-compress-depth

# A collection that is being made.
ctypedef struct Build:
    uint32_t type, encoding
    void* body                  # NULL: there is none yet
    int64_t count               # elements so far: of a hash fields, of a sorted set members
    int64_t max_entries, max_value      # what a packed one may hold
    int width                   # elements of a listpack for one of those
    uint32_t* seen              # of a listpack: where its elements are, by their hash; 0: free
    uint32_t seen_mask
    size_t last_at              # of a small sorted set: where its last member is
    double last_score
    int64_t longest             # of a sorted set: bytes of its longest member, and of all
    int64_t bytes

cdef bytep load_value(RdbSource s, int type, int version, Thresholds t, const uint8_t* key, Py_ssize_t key_len,
                      int64_t expiry, uint32_t access)
