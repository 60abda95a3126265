from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t
from shardd.structures.packed cimport Packed

cdef enum QlForm:           # bits of a node's form; 0: p is a Packed
    QL_PLAIN = 1            # p: the bytes of one large element
    QL_LZF = 2              # p: a u32, the bytes of what is compressed, and its LZF: of elements, or of the large one

ctypedef struct QlNode:     # 16 bytes
    void* p
    uint32_t bytes          # of the block at p, where it is no Packed
    uint16_t count          # elements
    uint16_t form

ctypedef struct QlSegment:  # some nodes in a row, which follow it in memory
    QlSegment* prev
    QlSegment* next
    uint32_t count          # elements of its nodes
    uint16_t used, cap      # nodes

ctypedef struct Quicklist:
    QlSegment* head
    QlSegment* tail
    uint64_t count          # elements
    uint32_t nodes
    int fill                # list-max-listpack-size and
    uint32_t depth          # list-compress-depth when the list was made

cdef inline QlNode* ln_node(QlSegment* seg, int i) noexcept nogil:
    return <QlNode*> (seg + 1) + i

cdef inline size_t ln_segment_bytes(size_t cap) noexcept nogil:
    return sizeof(QlSegment) + cap * sizeof(QlNode)

cdef inline void ln_add_count(Quicklist* q, QlSegment* seg, QlNode* node, int by) noexcept nogil:
    # `by` elements came to this node, or (negative) left it
    node.count = <uint16_t> (<int> node.count + by)
    seg.count = <uint32_t> (<int64_t> seg.count + by)
    q.count = <uint64_t> (<int64_t> q.count + by)

# A bint that says whether something was done is False without memory, and nothing is changed then.
cdef void ql_limits(int fill, size_t* size, uint64_t* count) noexcept nogil
cdef bint ql_exceeds(int fill, size_t size, uint64_t count) noexcept nogil
cdef void ql_set_plain_min(size_t n) noexcept nogil         # elements of so many bytes are plain; 0: as Redis has it
cdef bint ln_is_large(Quicklist* q, size_t n) noexcept nogil
cdef bint ln_takes(Quicklist* q, QlNode* node, size_t n) noexcept nogil
cdef void ln_free_block(QlNode* node) noexcept nogil
cdef QlSegment* ln_segment_new(Quicklist* q, QlSegment* prev, int cap) noexcept nogil
cdef void ln_tie(Quicklist* q, QlSegment* seg) noexcept nogil
cdef void ln_untie(Quicklist* q, QlSegment* seg) noexcept nogil
cdef bint ln_place(Quicklist* q, QlSegment** at, int* i) noexcept nogil
cdef bint ln_remove(Quicklist* q, QlSegment* seg, int i) noexcept nogil     # whether the segment went, too
cdef bint ln_step(QlSegment** at, int* i, bint back) noexcept nogil         # whether there is another node
cdef int64_t ln_find(Quicklist* q, int64_t index, QlSegment** at, int* i) noexcept nogil
cdef void* ln_unpacked(QlNode* node, size_t* n) noexcept nogil
cdef bint ln_unpack(QlNode* node) noexcept nogil
cdef void ln_pack(QlNode* node) noexcept nogil
cdef bint ln_is_inner(Quicklist* q, QlSegment* seg, int i) noexcept nogil
cdef void ln_settle(Quicklist* q) noexcept nogil
