from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.keyspace.events cimport EffectSink, EventSink
from shardd.structures.table cimport Table

cdef enum:
    SLOT_COUNT = 16384
    GROUP_BITS = 6          # slots of a group: 64 tables, which are looked at one after the other

# A key on its way to a table: where it is, and what was computed of it once.
ctypedef struct Key:
    const uint8_t* p
    Py_ssize_t n
    uint32_t slot
    uint64_t hash

ctypedef struct SlotTable:      # 64 bytes
    Table t                     # t.marked: hashes of which fields may expire
    int64_t next_expiry         # no key, nor field, of the slot falls due before this; INT64_MAX where none expires
    uint32_t volatile_keys      # keys with an expiry
    uint32_t sweeping           # 1 while an expiry sweep is under way: next_expiry then covers only what came since

# How many keys each group of slots has, so that the slot of the n-th key is found without asking all 16,384.
ctypedef struct Groups:
    uint32_t keys[256]
    uint32_t volatile_keys[256]

cdef void key_init(Key* k, const uint8_t* p, Py_ssize_t n) noexcept nogil

cdef enum SetString:
    SET_KEEP_TTL = 1            # the expiry stays as it was
    SET_VERBATIM = 2            # do not store a number as an integer: OBJECT ENCODING shows the difference

# Who wants to hear of every change of certain keys. WATCH and blocked clients derive from it.
cdef class KeyObserver:
    cdef int key_touched(self, Database db, Key* k) except -1           # it has changed, or came, or went
    cdef int clearing(self, Database db) except -1                      # its keys go now, all of them
    cdef int swapping(self, Database one, Database other) except -1     # they exchange their contents now
    cdef int swapped(self, Database one, Database other) except -1      # they have

cdef class Database:
    cdef readonly int id
    cdef SlotTable* slots       # SLOT_COUNT of them; NULL until the first key
    cdef Groups groups
    cdef readonly uint64_t used, volatile_keys
    cdef readonly uint64_t volatile_hashes      # hashes of which fields may expire (keyspace.fields)
    cdef readonly Keyspace keyspace
    cdef bytep find(self, Key* k)                  # live entry or NULL; no statistics, no access time
    cdef bytep read(self, Key* k)                  # for a reading command: hits, misses, access time
    cdef bytep peek(self, Key* k)                  # as read, but the access time stays
    cdef bytep write(self, Key* k)                 # for a writing command: access time
    cdef int add(self, Key* k, bytep entry) except -1           # the key is absent; the entry is ours, also on failure
    cdef int replace(self, Key* k, bytep entry) except -1       # the key is there; its entry goes
    cdef int exchange(self, Key* k, bytep old, bytep entry) except -1   # as replace, but `old` stays the caller's
    cdef int set_string(self, Key* k, const uint8_t* p, Py_ssize_t n, int64_t expiry, int how) except -1
    cdef bytep open_heap(self, Key* k, bytep e, Py_ssize_t size)        # as a HeapString with room for `size` bytes
    cdef bytep add_collection(self, Key* k, uint32_t type, uint32_t encoding, void* body)
    cdef int set_int(self, Key* k, bytep e, int64_t value) except -1    # e: the live entry or NULL; keeps its expiry
    cdef int drop_empty(self, Key* k) except -1                 # a collection that was made and got no element
    cdef int remove(self, Key* k) except -1                     # 1 where a live key went
    cdef bytep take(self, Key* k)                  # the live entry, out of the table and the caller's
    cdef int set_expiry(self, Key* k, bytep e, int64_t expiry) except -1    # -1: persist
    cdef int expire_now(self, Key* k, bytep e) except -1
    cdef int lose(self, Key* k, bytep e, unsigned int kind, bytes event, bint lazy) except -1
    cdef int touched(self, Key* k) except -1
    cdef inline void count_more(self, uint32_t slot, uint32_t keys, uint32_t volatile_keys) noexcept:
        # a slot has so many more keys, and so many more with an expiry; its table counts its keys itself
        self.used += keys
        self.groups.keys[slot >> GROUP_BITS] += keys
        self.volatile_keys += volatile_keys
        self.groups.volatile_keys[slot >> GROUP_BITS] += volatile_keys
        self.slots[slot].volatile_keys += volatile_keys
    cdef inline void count_less(self, uint32_t slot, uint32_t keys, uint32_t volatile_keys) noexcept:
        self.used -= keys
        self.groups.keys[slot >> GROUP_BITS] -= keys
        self.volatile_keys -= volatile_keys
        self.groups.volatile_keys[slot >> GROUP_BITS] -= volatile_keys
        self.slots[slot].volatile_keys -= volatile_keys
    cdef SlotTable* slot_at(self, uint64_t* number, bint volatile_only) noexcept
    cdef bint is_live(self, Key* k) noexcept        # as find, but a due key stays where it is
    cdef int tell_observers(self, Key* k) except -1
    cdef int tell_clearing(self) except -1
    cdef inline int notify(self, unsigned int kind, bytes name, Key* k) except -1:
        """A keyspace event of class `kind` (keyspace.events), where somebody asks for such."""
        if self.keyspace.notify_mask & kind:
            self.keyspace.event_sink.event(self.id, kind, name, k.p, k.n)
        return 0
    cdef SlotTable* slot_of(self, Key* k) noexcept
    cdef int open_slots(self) except -1
    cdef bytep* place_of(self, Key* k) noexcept
    cdef bint fits(self, bytep e, Py_ssize_t key_len, Py_ssize_t size) noexcept
    cdef unsigned int drop_slot(self, int slot) noexcept
    cdef void drop_key(self, Key* k, bytep* place) noexcept
    cdef void note_expiry(self, Key* k, int64_t before, int64_t after) noexcept
    cdef void note_fields(self, Key* k, bint before, bint after, int64_t due) noexcept

cdef class Keyspace:
    cdef readonly list databases
    cdef public EffectSink sink
    cdef readonly list observers        # KeyObservers
    cdef int observed                   # keys that they observe, and
    cdef uint32_t* observed_in          # how many of them are in each slot; NULL until there was one
    cdef unsigned int notify_mask      # the classes of events that are asked for; then there is a sink of them
    cdef EventSink event_sink
    cdef public int64_t now_ms          # unix time of the running command; the reactor's loop sets it
    cdef public uint32_t access_clock   # what a touched entry is stamped with (LRU: minutes or seconds, 24 bits)
    cdef public bint lfu, no_touch
    cdef public bint calm               # a child shares our memory: no page is written that need not be
    cdef public bint lazy_expire        # lazyfree-lazy-expire: a key that expired is told as UNLINK
    cdef public int lfu_log_factor, lfu_decay_minutes
    cdef public uint64_t hits, misses, expired, evicted, dirty
    cdef public uint64_t expired_fields
    cdef list doomed                    # cleared databases whose memory is given back in steps
    cdef int64_t lazy_pending           # keys in them
    cdef public uint64_t lazy_freed     # keys that were freed so
    cdef uint64_t exchanges             # databases swapped or cleared so far: whoever walks one starts anew
    cdef int touch_entry(self, bytep e) except -1
    cdef bint is_freeing(self) noexcept         # memory of what is gone is still to come back
    cdef bint free_until(self, int64_t deadline_us, int64_t keys) except -1     # whether there is more
    cdef int observe(self, uint32_t slot) except -1             # a key of that slot is observed from now on
    cdef int stop_observing(self, uint32_t slot) noexcept
