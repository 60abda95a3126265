from libc.stdint cimport int64_t, uint8_t, uint64_t
from shardd.base.native cimport bytep
from shardd.keyspace.entry cimport ENC_LISTPACK_EX, ENC_TABLE, TYPE_HASH, entry_body, entry_encoding, entry_type
from shardd.structures.pairs cimport Pairs

cdef inline bint fields_expire(bytep e) noexcept nogil:
    # whether fields of this entry may have expiries: such hashes are counted, and swept when fields fall due
    if entry_type(e) != TYPE_HASH:
        return False
    if entry_encoding(e) == ENC_TABLE:
        return (<Pairs*> entry_body(e)).expiring > 0
    return entry_encoding(e) == ENC_LISTPACK_EX

cdef inline bint fields_steady(bytep e, int64_t now_ms) noexcept nogil:
    # whether surely no field of this hash is due; it costs nothing to ask
    if entry_encoding(e) == ENC_TABLE:
        return (<Pairs*> entry_body(e)).next_expiry >= now_ms
    return entry_encoding(e) != ENC_LISTPACK_EX

cdef int64_t fields_due(bytep e) noexcept                       # no field falls due before; INT64_MAX: none expires
cdef uint64_t fields_chains(bytep e, int64_t now_ms, uint64_t start, uint64_t chains, list due,
                            int64_t* earliest) except? 0
cdef int fields_listed(bytep e, int64_t now_ms, list due, int64_t* earliest) except -1
cdef int fields_drop(bytep e, list names) except -1
