from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds, Value
from shardd.keyspace.database cimport Keyspace

# A string, in one go.
cdef bytep load_string(RdbSource s, const uint8_t* key, Py_ssize_t key_len, int64_t expiry, uint32_t access)

# A collection, in steps: value_open, value_take until it says False, value_close; value_drop after an error.
cdef int value_open(RdbSource s, Value* u, int type, int version, Thresholds t) except -1
cdef bytep value_close(Value* u, Thresholds t, const uint8_t* key, Py_ssize_t key_len, int64_t expiry, uint32_t access)
cdef void value_drop(Value* u) noexcept

cdef inline bint value_take(RdbSource s, Value* u) except -1:
    return u.take != NULL and u.take(s, u)

cdef uint32_t load_stamp(Keyspace keyspace, int64_t idle, int freq) noexcept
cdef bytep load_payload(RdbSource s, const uint8_t* payload, Py_ssize_t n, Thresholds t, const uint8_t* key,
                        Py_ssize_t key_len, int64_t expiry, uint32_t access)
cdef bint payload_holds(const uint8_t* payload, Py_ssize_t n) noexcept nogil
