from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.commands.gather cimport Gathered, ScanOptions
from shardd.structures.listpack cimport LpValue
from shardd.wire.request cimport Arg

# A walk over a set that does not change meanwhile: members_start, members_next until False, members_end in any case.
ctypedef struct Members:
    uint32_t encoding
    uint32_t rank               # of an intset: the next one
    void* body
    bytep p                     # of a listpack: the next one
    ScanOptions scan            # of a table
    Gathered found
    int64_t at
    bint begun

# A member is an LpValue: bytes, good until the set changes, or (p is NULL) an integer.
cdef void member_of(LpValue* v, const Arg* arg) noexcept nogil
cdef bytes member_bytes(LpValue* v)
cdef int reply_member(Context ctx, LpValue* v) except -1
cdef int reply_members(Context ctx, bytep e) except -1                  # without a head
cdef bint member_number(LpValue* v, int64_t* number) noexcept nogil     # whether it is an integer in canonical form

cdef int64_t set_length(bytep e) noexcept                               # 0 for NULL
cdef bint set_has(bytep e, LpValue* v) noexcept                         # NULL has none
cdef void set_random(bytep e, LpValue* v) noexcept                      # of a set that has members
cdef uint32_t set_form_for(Context ctx, LpValue* first, int64_t count) noexcept  # a new set's
cdef void* set_body_new(uint32_t encoding) noexcept                     # NULL without memory
cdef bytep set_entry_new(Context ctx, const uint8_t* key, Py_ssize_t n, uint32_t encoding)   # MemoryError
cdef int set_fit(Context ctx, bytep e, int64_t count) except -1         # before so many members are added
cdef int set_convert(bytep e, uint32_t encoding) except -1
cdef bint set_add(Context ctx, bytep e, LpValue* v) except -1           # whether it is new
cdef bint set_remove(bytep e, LpValue* v) except -1                     # whether it was there
cdef list set_items(bytep e)

cdef void members_start(Members* m, uint32_t encoding, void* body) noexcept
cdef bint members_next(Members* m, LpValue* v) except -1
cdef void members_end(Members* m) noexcept

cdef int register_set_forms() except -1
