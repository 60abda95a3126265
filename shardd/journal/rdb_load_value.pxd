from libc.stdint cimport uint8_t, uint32_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds
from shardd.keyspace.database cimport Keyspace

cdef bytep load_value(RdbSource s, int type, int version, Thresholds t, const uint8_t* key, Py_ssize_t key_len,
                      int64_t expiry, uint32_t access)
cdef uint32_t load_stamp(Keyspace keyspace, int64_t idle, int freq) noexcept
cdef bytep load_payload(RdbSource s, const uint8_t* payload, Py_ssize_t n, Thresholds t, const uint8_t* key,
                        Py_ssize_t key_len, int64_t expiry, uint32_t access)
cdef bint payload_holds(const uint8_t* payload, Py_ssize_t n) noexcept nogil
