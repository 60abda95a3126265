from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep, load64
from shardd.structures.table cimport pair_head, pair_key_len

cdef enum RankedSize:
    LEAF_MAX = 63           # elements: 1,024 bytes
    FAN = 63                # children: 1,784 bytes
    DEPTH_MAX = 12          # levels of inner nodes; 32 bits of elements need six

# 16 bytes, followed by double score[cap], bytep pair[cap].
ctypedef struct Leaf:
    uint32_t n
    uint32_t cap
    uint64_t spare

ctypedef struct Inner:
    uint64_t n
    double score[63]        # of the first element below each child
    bytep first[63]         # its pair
    void* child[63]
    uint32_t count[63]      # elements below each child

ctypedef struct Ranked:
    void* root              # a Leaf where depth is 0; NULL while empty
    uint32_t depth          # levels of inner nodes
    uint32_t used           # elements

# A place in the order: the way down to an element. Good until the next change.
ctypedef struct Way:
    Leaf* leaf
    int64_t at              # in the leaf
    int depth
    Inner* node[12]
    int step[12]            # which child was taken

cdef inline double* leaf_score(Leaf* leaf) noexcept nogil:
    return <double*> (<char*> leaf + 16)

cdef inline bytep* leaf_pair(Leaf* leaf) noexcept nogil:
    return <bytep*> (<char*> leaf + 16 + 8 * <size_t> leaf.cap)

# An element's block: a pair whose key is the member, and whose value the score.
cdef inline const uint8_t* member(const uint8_t* pair) noexcept nogil:
    return pair + pair_head(pair)

cdef inline double pair_score(const uint8_t* pair) noexcept nogil:
    cdef uint64_t bits = load64(pair + pair_head(pair) + pair_key_len(pair))
    return (<double*> &bits)[0]

# The element that a way leads to.
cdef inline bytep way_pair(Way* way) noexcept nogil:
    return leaf_pair(way.leaf)[way.at]

cdef inline double way_score(Way* way) noexcept nogil:
    return leaf_score(way.leaf)[way.at]

cdef int pair_order(const uint8_t* a, const uint8_t* b) noexcept nogil              # of two members: < 0, 0, > 0
cdef bint ranked_insert(Ranked* t, double score, bytep pair) noexcept nogil         # False: no memory
cdef void ranked_remove(Ranked* t, double score, bytep pair) noexcept nogil         # it must be there
cdef bint ranked_move(Ranked* t, double old, double score, bytep pair) noexcept nogil   # False: no memory
cdef void ranked_take(Ranked* t, Way* way, int64_t count) noexcept nogil            # all of one leaf
cdef int64_t ranked_rank(Ranked* t, double score, bytep pair) noexcept nogil        # of an element that is there
cdef int64_t ranked_below(Ranked* t, double score, bint inclusive) noexcept nogil   # elements of a lower score
cdef int64_t ranked_before(Ranked* t, const uint8_t* text, Py_ssize_t n, bint inclusive) noexcept nogil     # by member
cdef bint ranked_seek(Ranked* t, int64_t rank, Way* way) noexcept nogil             # False: there are not so many
cdef bint ranked_next(Way* way) noexcept nogil                                      # False: that was the last one
cdef bint ranked_prev(Way* way) noexcept nogil
cdef void leaf_free(Leaf* leaf) noexcept nogil
cdef size_t leaf_bytes(Leaf* leaf) noexcept nogil
