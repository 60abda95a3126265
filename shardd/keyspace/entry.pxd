from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep, load16, load32, load64, store32, store64
from shardd.structures.table cimport PAIR_EXPIRES, PAIR_WIDE, pair_head, pair_key_len, pair_value_len

cdef enum:
    ENTRY_SKIP = 4          # bytes before the pair header

cdef enum EntryType:        # the numbers are those of Redis's object types
    TYPE_STRING = 0
    TYPE_LIST = 1
    TYPE_SET = 2
    TYPE_ZSET = 3
    TYPE_HASH = 4
    TYPE_STREAM = 6

cdef enum CollectionEncoding:       # what a collection's body is; OBJECT ENCODING's names are in keyspace.values
    ENC_LISTPACK = 1
    ENC_INTSET = 2
    ENC_TABLE = 3           # "hashtable"
    ENC_QUICKLIST = 4
    ENC_ORDERED = 5         # "skiplist"
    ENC_LISTPACK_EX = 6     # "listpackex": a small hash with expiries

cdef enum StringEncoding:
    STR_RAW = 0             # inline bytes, called "raw": longer than 44 or once modified in place
    STR_INT = 1             # inline int64
    STR_HEAP = 2            # HeapString: grows in place, called "raw"
    STR_EMBSTR = 8          # inline bytes, at most 44

# The value of a STR_HEAP entry: a block with room to grow.
ctypedef struct HeapString:
    bytep p
    uint32_t len
    uint32_t cap

ctypedef struct View:       # a string value as bytes; `digits` backs integers
    const uint8_t* p
    Py_ssize_t n
    uint8_t digits[24]

cdef inline uint32_t entry_type(const uint8_t* e) noexcept nogil:
    return e[3] & 15

cdef inline uint32_t entry_encoding(const uint8_t* e) noexcept nogil:
    return e[3] >> 4

cdef inline bint entry_expires(const uint8_t* e) noexcept nogil:
    return e[ENTRY_SKIP] & PAIR_EXPIRES

cdef inline int64_t entry_expiry(const uint8_t* e) noexcept nogil:
    # unix time in ms; only where entry_expires
    return <int64_t> load64(e + ENTRY_SKIP + 4 + ((e[ENTRY_SKIP] & 2) << 2))

cdef inline uint32_t entry_key_len(const uint8_t* e) noexcept nogil:
    return pair_key_len(e + ENTRY_SKIP)

cdef inline const uint8_t* entry_key(const uint8_t* e) noexcept nogil:
    return e + ENTRY_SKIP + pair_head(e + ENTRY_SKIP)

cdef inline uint32_t entry_value_len(const uint8_t* e) noexcept nogil:
    return pair_value_len(e + ENTRY_SKIP)

cdef inline bytep entry_value(bytep e) noexcept nogil:
    return e + ENTRY_SKIP + pair_head(e + ENTRY_SKIP) + pair_key_len(e + ENTRY_SKIP)

cdef inline uint32_t entry_access(const uint8_t* e) noexcept nogil:
    return load32(e) & 0xFFFFFF

cdef inline void entry_set_access(bytep e, uint32_t access) noexcept nogil:
    store32(e, (load32(e) & <uint32_t> 0xFF000000) | access)

cdef inline int64_t entry_refcount(bytep e) noexcept nogil:
    # what OBJECT REFCOUNT says: Redis shares the objects of the integers below 10,000, and gives this for all of them
    if entry_type(e) == TYPE_STRING and entry_encoding(e) == STR_INT and load64(entry_value(e)) < 10000:
        return 2147483647
    return 1

cdef inline void* entry_body(bytep e) noexcept nogil:
    # of a collection
    return <void*> <size_t> load64(entry_value(e))

cdef inline void entry_set_body(bytep e, void* body) noexcept nogil:
    store64(entry_value(e), <uint64_t> <size_t> body)

cdef inline void entry_set_encoding(bytep e, uint32_t encoding) noexcept nogil:
    e[3] = (e[3] & 15) | (encoding << 4)

cdef bytep entry_new(const uint8_t* key, Py_ssize_t key_len, Py_ssize_t value_len, int64_t expiry,
                     uint32_t type, uint32_t encoding, uint32_t access) noexcept nogil
cdef size_t entry_size(const uint8_t* e) noexcept nogil         # of the blob itself
cdef size_t entry_bytes(bytep e) noexcept                 # all memory it holds, as used_memory counts it
cdef void entry_free(bytep e) noexcept                    # with everything it owns
cdef void entry_free_shell(bytep e) noexcept nogil              # the blob alone: its value lives on elsewhere
cdef void entry_view(bytep e, View* view) noexcept nogil
cdef bytep entry_rebuilt(bytep e, const uint8_t* key, Py_ssize_t key_len, int64_t expiry) noexcept nogil
cdef bytep entry_copy(bytep e, const uint8_t* key, Py_ssize_t key_len, int64_t expiry) noexcept
cdef void entry_set_expiry_inplace(bytep e, int64_t expiry) noexcept nogil
