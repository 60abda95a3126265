"""The keyspace: numbered databases of 16,384 slot tables each, and the only owner of keys.

    Keyspace -> Database 0..15 -> SlotTable 0..16383 -> Table -> entries
                                   + earliest expiry, number of keys that expire

Whatever must happen whenever a key is read or changed happens here, so that no command can forget it:

    find/read/write   a key past its expiry is deleted before anyone sees it        expire_now -> EffectSink
    read              hit and miss counters
    read/write        the access clock (LRU) or counter (LFU) of the entry
    touched           every change of a key passes through it: `dirty` counts it, and who observes the key hears of it
                      (WATCH, blocked clients)
    notify            keyspace events: "keymiss" (read, peek), "new" (add) and "expired" are made here, all others by
                      the handlers, which alone know what happened
    add/drop          key counts, expiry counts, used_memory (by the allocator)

Invariants: an entry lies in the table of its key's slot, and nowhere else. `used` and `volatile_keys` are sums over the
slots, `groups` over each 64 of them. A slot's `next_expiry` is never later than any expiry in it, but while an expiry
sweep of the slot is under way. An entry pointer is good until the next change of the same database.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep, store16, store32, store64
from cython.cimports.shardd.keyspace.access import lfu_used
from cython.cimports.shardd.keyspace.database import (
    GROUP_BITS, SET_KEEP_TTL, SET_VERBATIM, SLOT_COUNT, Groups, Key, SlotTable)
from cython.cimports.shardd.keyspace.entry import (
    ENTRY_SKIP, HeapString, STR_EMBSTR, STR_HEAP, STR_INT, STR_RAW, TYPE_STRING, View, entry_access,
    entry_encoding, entry_expires, entry_expiry, entry_free, entry_free_shell, entry_key,
    entry_new, entry_rebuilt, entry_set_access, entry_set_body, entry_set_expiry_inplace, entry_size,
    entry_type, entry_value, entry_value_len, entry_view)
from cython.cimports.shardd.keyspace.events import NOTIFY_EXPIRED, NOTIFY_KEY_MISS, NOTIFY_NEW, EffectSink, EventSink
from cython.cimports.shardd.keyspace.fields import fields_due, fields_expire
from cython.cimports.shardd.keyspace.values import value_dispose, value_free_step, value_pending
from cython.cimports.shardd.structures.alloc import allocate, allocate_lines, real_size, release, release_lines, resize
from cython.cimports.shardd.structures.drain import table_drain
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.structures.table import (
    Table, table_bytes, table_clear, table_find, table_fit, table_insert, table_remove, table_walk)

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
key_p = cython.typedef(cython.pointer(Key))
slot_p = cython.typedef(cython.pointer(SlotTable))
place_p = cython.typedef(cython.pointer(bytep))

EMBSTR_MAX = cython.declare(cython.Py_ssize_t, 44)      # Redis's OBJ_ENCODING_EMBSTR_SIZE_LIMIT
HEAP_DOUBLE_MAX = cython.declare(cython.Py_ssize_t, 1 << 20)   # as Redis's SDS_MAX_PREALLOC
NEVER = cython.declare(int64_t, 9223372036854775807)
STEP_US = cython.declare(int64_t, limits.STEP_US)
LFU_INIT = cython.declare(uint32_t, limits.LFU_COUNTER_INITIAL)
FREE_AT_ONCE = cython.declare(uint64_t, 20000)          # keys of a cleared database freed on the spot, about 2 ms
FREE_SLOT_AT_ONCE = cython.declare(cython.longlong, 100)        # keys of one of its slots that are freed in one go
FREE_CHAINS = cython.declare(uint64_t, 16)              # chains of a larger slot between two looks at the clock


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def key_init(k: key_p, p: const_bytes, n: cython.Py_ssize_t) -> cython.void:
    """Fill in a key's slot and hash."""
    k.p = p
    k.n = n
    k.slot = key_slot(p, n)
    k.hash = hash_key(p, n)


@cython.cclass
class KeyObserver:
    """Hears of every change of keys, of those slots at least for which it has called Keyspace.observe.

    It must not change the keyspace: its caller may be half-way through a change of several keys.
    """

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key_touched(self, db: Database, k: key_p) -> cython.int:
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def clearing(self, db: Database) -> cython.int:
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def swapping(self, one: Database, other: Database) -> cython.int:
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def swapped(self, one: Database, other: Database) -> cython.int:
        return 0


@cython.cfunc
@cython.exceptval(check=False)
def _free_visitor(context: cython.p_void, entry: bytep) -> cython.int:
    entry_free(entry)
    return 1


@cython.final
@cython.cclass
class Database:
    """One numbered database."""

    def __cinit__(self, keyspace: Keyspace, number: cython.int):
        self.keyspace = keyspace
        self.id = number
        self.slots = cython.NULL
        self.used = 0
        self.volatile_keys = 0
        memset(cython.address(self.groups), 0, cython.sizeof(Groups))

    def __dealloc__(self):
        slot: cython.int
        if self.slots != cython.NULL:
            for slot in range(SLOT_COUNT):
                table_walk(cython.address(self.slots[slot].t), _free_visitor, cython.NULL)
                table_clear(cython.address(self.slots[slot].t))
            release_lines(self.slots, SLOT_COUNT * cython.sizeof(SlotTable))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_slots(self) -> cython.int:
        """Make the slot tables, with the first key; MemoryError."""
        slot: cython.int
        if self.slots == cython.NULL:
            self.slots = cython.cast(slot_p, allocate_lines(SLOT_COUNT * cython.sizeof(SlotTable)))
            if self.slots == cython.NULL:
                raise MemoryError
            for slot in range(SLOT_COUNT):
                self.slots[slot].t.skip = ENTRY_SKIP
                self.slots[slot].next_expiry = NEVER
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def slot_of(self, k: key_p) -> slot_p:
        return cython.address(self.slots[k.slot])

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def place_of(self, k: key_p) -> place_p:
        if self.slots == cython.NULL:
            return cython.NULL
        return table_find(cython.address(self.slots[k.slot].t), k.p, k.n, k.hash)

    @cython.cfunc
    @cython.exceptval(check=False)
    def slot_at(self, number: cython.pointer(uint64_t), volatile_only: cython.bint) -> slot_p:
        """The slot that key `number` lies in, counted over all slots or, volatile_only, over the keys that expire
        there; `number` is counted from its start then. It must be below `used`, or volatile_keys."""
        left: uint64_t = number[0]
        group: cython.int = 0
        counts: cython.pointer(uint32_t) = cython.address(self.groups.keys[0])
        s: slot_p
        held: uint32_t
        if volatile_only:
            counts = cython.address(self.groups.volatile_keys[0])
        while left >= counts[group]:
            left -= counts[group]
            group += 1
        s = cython.address(self.slots[group << GROUP_BITS])
        while True:
            held = s.volatile_keys if volatile_only else s.t.used
            if left < held:
                break
            left -= held
            s += 1
        number[0] = left
        return s

    # ---- looking up

    @cython.cfunc
    def find(self, k: key_p) -> bytep:
        """The live entry of a key, or NULL. Counts nothing and notes no access. A due key is deleted: MemoryError."""
        place: place_p = self.place_of(k)
        e: bytep
        if place == cython.NULL:
            return cython.NULL
        e = place[0]
        if entry_expires(e) and entry_expiry(e) < self.keyspace.now_ms:
            self.expire_now(k, e)
            return cython.NULL
        return e

    @cython.cfunc
    def read(self, k: key_p) -> bytep:
        """`find` for a command that reads: a hit or a miss, and an access."""
        keyspace: Keyspace = self.keyspace
        e: bytep = self.find(k)
        if e == cython.NULL:
            keyspace.misses += 1
            self.notify(NOTIFY_KEY_MISS, b"keymiss", k)
            return cython.NULL
        keyspace.hits += 1
        keyspace.touch_entry(e)
        return e

    @cython.cfunc
    def peek(self, k: key_p) -> bytep:
        """`read`, but no access: for commands that look at a key without using its value."""
        e: bytep = self.find(k)
        if e == cython.NULL:
            self.keyspace.misses += 1
            self.notify(NOTIFY_KEY_MISS, b"keymiss", k)
        else:
            self.keyspace.hits += 1
        return e

    @cython.cfunc
    def write(self, k: key_p) -> bytep:
        """`find` for a command that writes: an access, neither hit nor miss."""
        e: bytep = self.find(k)
        if e != cython.NULL:
            self.keyspace.touch_entry(e)
        return e

    # ---- changing

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def touched(self, k: key_p) -> cython.int:
        """Every change of a key ends here, once."""
        self.keyspace.dirty += 1
        if self.keyspace.observed:
            self.tell_observers(k)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_observers(self, k: key_p) -> cython.int:
        """A key that may be observed has changed."""
        observer: KeyObserver
        if self.keyspace.observed_in[k.slot]:
            for observer in self.keyspace.observers:
                observer.key_touched(self, k)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_clearing(self) -> cython.int:
        """All keys are about to go."""
        observer: KeyObserver
        if self.keyspace.observed:
            for observer in self.keyspace.observers:
                observer.clearing(self)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_live(self, k: key_p) -> cython.bint:
        """Whether there is such a key, and it is not due. Unlike `find` it deletes nothing."""
        place: place_p = self.place_of(k)
        return place != cython.NULL and not (
            entry_expires(place[0]) and entry_expiry(place[0]) < self.keyspace.now_ms)

    @cython.cfunc
    @cython.exceptval(check=False)
    def note_expiry(self, k: key_p, before: int64_t, after: int64_t) -> cython.void:
        """A key's expiry changed (-1: none, also for a key that was or is absent)."""
        s: slot_p = self.slot_of(k)
        if before != -1:
            self.count_less(k.slot, 0, 1)
            if s.volatile_keys == 0 and s.t.marked == 0:
                s.next_expiry = NEVER
        if after != -1:
            self.count_more(k.slot, 0, 1)
            if after < s.next_expiry:
                s.next_expiry = after

    @cython.cfunc
    @cython.exceptval(check=False)
    def note_fields(self, k: key_p, before: cython.bint, after: cython.bint, due: int64_t) -> cython.void:
        """A hash was, and is, one of which fields may expire (fields_expire; False also for a key that was or is
        absent), none of them before `due`."""
        s: slot_p = self.slot_of(k)
        if before and not after:
            s.t.marked -= 1
            self.volatile_hashes -= 1
            if s.volatile_keys == 0 and s.t.marked == 0:
                s.next_expiry = NEVER
        elif after and not before:
            s.t.marked += 1
            self.volatile_hashes += 1
        if after and due < s.next_expiry:
            s.next_expiry = due

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, k: key_p, entry: bytep) -> cython.int:
        """Put an entry under a key that is absent. It is the database's; where MemoryError is raised, it is freed.

        NULL, what entry_new gives without memory, raises too. Does not count as `touched`."""
        if entry == cython.NULL:
            raise MemoryError
        if self.slots == cython.NULL:
            try:
                self.open_slots()
            except MemoryError:
                entry_free(entry)
                raise
        if not table_insert(cython.address(self.slots[k.slot].t), entry, k.hash):
            entry_free(entry)
            raise MemoryError
        self.count_more(k.slot, 1, 0)
        if entry_expires(entry):
            self.note_expiry(k, -1, entry_expiry(entry))
        if fields_expire(entry):
            self.note_fields(k, False, True, fields_due(entry))
        self.notify(NOTIFY_NEW, b"new", k)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def exchange(self, k: key_p, old: bytep, entry: bytep) -> cython.int:
        """Put `entry` in the place of the key's entry `old`, which is the caller's then. MemoryError for NULL alone."""
        if entry == cython.NULL:
            raise MemoryError
        place: place_p = self.place_of(k)
        assert place != cython.NULL and place[0] == old
        place[0] = entry
        if entry_expires(old) or entry_expires(entry):
            self.note_expiry(k, entry_expiry(old) if entry_expires(old) else -1,
                             entry_expiry(entry) if entry_expires(entry) else -1)
        if fields_expire(old) or fields_expire(entry):
            self.note_fields(k, fields_expire(old), fields_expire(entry), fields_due(entry))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def replace(self, k: key_p, entry: bytep) -> cython.int:
        """Put `entry` in the place of the key's entry, which is freed. MemoryError for NULL alone."""
        if entry == cython.NULL:
            raise MemoryError
        place: place_p = self.place_of(k)
        assert place != cython.NULL
        old: bytep = place[0]
        self.exchange(k, old, entry)
        entry_free(old)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def drop_key(self, k: key_p, place: place_p) -> cython.void:
        """Take the entry out of its table; it is the caller's then."""
        e: bytep = place[0]
        table_remove(cython.address(self.slots[k.slot].t), place, k.hash)
        self.count_less(k.slot, 1, 0)
        if entry_expires(e):
            self.note_expiry(k, entry_expiry(e), -1)
        if fields_expire(e):
            self.note_fields(k, True, False, NEVER)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def remove(self, k: key_p) -> cython.int:
        """Delete a key; 1 where it was there and alive. Counts as `touched`."""
        e: bytep = self.take(k)
        if e == cython.NULL:
            return 0
        entry_free(e)
        self.touched(k)
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_empty(self, k: key_p) -> cython.int:
        """Take back a collection that was added and got no element: as if it had never been, so not `touched`."""
        e: bytep = self.take(k)
        if e != cython.NULL:
            entry_free(e)
        return 0

    @cython.cfunc
    def take(self, k: key_p) -> bytep:
        """The live entry of a key, out of the table and the caller's; NULL where there is none."""
        place: place_p
        e: bytep = self.find(k)
        if e == cython.NULL:
            return cython.NULL
        place = self.place_of(k)
        self.drop_key(k, place)
        table_fit(cython.address(self.slots[k.slot].t))
        return e

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def expire_now(self, k: key_p, e: bytep) -> cython.int:
        """Delete a key that is past its expiry, and tell the sink. Raises MemoryError, and changes nothing then."""
        self.lose(k, e, NOTIFY_EXPIRED, b"expired", self.keyspace.lazy_expire)
        self.keyspace.expired += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lose(self, k: key_p, e: bytep, kind: cython.uint, event: bytes, lazy: cython.bint) -> cython.int:
        """Delete the key of entry `e` though no command asked for it, and tell the sink and who asks for `event`.

        Raises MemoryError, and changes nothing then."""
        place: place_p = self.place_of(k)
        key: Key = k[0]
        key.p = entry_key(e)            # the caller's bytes may be those of another key's entry
        if self.keyspace.sink is not None:
            # first, since it alone can fail: a deletion that the journal missed could not be made good
            self.keyspace.sink.key_deleted(self.id, key.p, key.n, lazy)
        self.drop_key(cython.address(key), place)
        table_fit(cython.address(self.slots[key.slot].t))
        self.notify(kind, event, cython.address(key))
        self.touched(cython.address(key))
        self.keyspace.dirty -= 1        # no doing of the command that came upon it, which may change nothing itself
        entry_free(e)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_string(self, k: key_p, p: const_bytes, n: cython.Py_ssize_t, expiry: int64_t,
                   how: cython.int) -> cython.int:
        """Set a key to a string, whatever it was. `expiry` unix ms, -1 none; `how`: SetString bits."""
        keyspace: Keyspace = self.keyspace
        old: bytep = self.find(k)
        number: int64_t
        value: bytep
        encoding: uint32_t = STR_EMBSTR if n <= EMBSTR_MAX else STR_RAW
        size: cython.Py_ssize_t = n
        before: int64_t = -1
        if n <= 20 and not how & SET_VERBATIM and parse_int64(p, n, cython.address(number)):
            encoding = STR_INT
            size = 8
        if old != cython.NULL and entry_expires(old):
            before = entry_expiry(old)
            if how & SET_KEEP_TTL:
                expiry = before
        access: uint32_t = keyspace.access_clock
        e: bytep = old
        if keyspace.lfu and old != cython.NULL:     # as in Redis an overwritten key stays as much in use as it was
            keyspace.touch_entry(old)
            access = entry_access(old)
        if (old == cython.NULL or (before == -1) != (expiry == -1) or not self.fits(old, k.n, size)):
            e = entry_new(k.p, k.n, size, expiry, TYPE_STRING, encoding, access)
            if old == cython.NULL:
                self.add(k, e)
            else:
                self.replace(k, e)
        else:
            if before != expiry:
                entry_set_expiry_inplace(e, expiry)
                self.note_expiry(k, before, expiry)
            store32(e, access | (encoding << 28))
            if e[4] & 2:
                store32(e + 12, cython.cast(uint32_t, size))
            else:
                store16(e + 6, cython.cast(cython.ushort, size))
        value = entry_value(e)
        if encoding == STR_INT:
            store64(value, number)
        else:
            memcpy(value, p, n)
        self.touched(k)
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def fits(self, e: bytep, key_len: cython.Py_ssize_t, size: cython.Py_ssize_t) -> cython.bint:
        """Whether the block of `e`, the same key, can hold a string of `size` bytes without waste."""
        if entry_type(e) != TYPE_STRING or entry_encoding(e) == STR_HEAP:
            return False
        if (size > 65535 or key_len > 255) != ((e[4] & 2) != 0):
            return False
        now: cython.size_t = entry_size(e)
        after: cython.size_t = now - entry_value_len(e) + size
        return now == after or (now <= 2048 and after <= 2048 and real_size(now) == real_size(after))

    @cython.cfunc
    def add_collection(self, k: key_p, type: uint32_t, encoding: uint32_t, body: cython.p_void) -> bytep:
        """A new key with a collection, whose body becomes the entry's; freed where this raises MemoryError (a NULL body
        counts as such). The key must be absent. Does not count as `touched`."""
        e: bytep = cython.NULL
        if body != cython.NULL:
            e = entry_new(k.p, k.n, 8, -1, type, encoding, self.keyspace.access_clock)
            if e == cython.NULL:
                value_dispose(type, encoding, body)
            else:
                entry_set_body(e, body)
        self.add(k, e)
        return e

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_int(self, k: key_p, e: bytep, value: int64_t) -> cython.int:
        """Store an integer in `e` (the key's live entry, or NULL), keeping its expiry."""
        fresh: bytep
        if e != cython.NULL and entry_encoding(e) == STR_INT and entry_type(e) == TYPE_STRING:
            store64(entry_value(e), value)
        else:
            fresh = entry_new(k.p, k.n, 8, entry_expiry(e) if e != cython.NULL and entry_expires(e) else -1,
                              TYPE_STRING, STR_INT, self.keyspace.access_clock if e == cython.NULL else entry_access(e))
            if fresh != cython.NULL:
                store64(entry_value(fresh), value)
            if e == cython.NULL:
                self.add(k, fresh)
            else:
                self.replace(k, fresh)
        self.touched(k)
        return 0

    @cython.cfunc
    def open_heap(self, k: key_p, e: bytep, size: cython.Py_ssize_t) -> bytep:
        """Make the live string entry `e` of this key a HeapString with room for `size` bytes; its entry from now on.

        The content stays. Room is doubled up to 1 MiB and then grows by that, so that a string which is appended to is
        rarely copied. Raises MemoryError, and changes nothing then."""
        view: View
        heap: HeapString
        fresh: bytep = e
        block: cython.p_void
        room: cython.Py_ssize_t = size * 2 if size < HEAP_DOUBLE_MAX else size + HEAP_DOUBLE_MAX
        if entry_encoding(e) == STR_HEAP:
            memcpy(cython.address(heap), entry_value(e), cython.sizeof(HeapString))
            if heap.cap >= size:
                return e
            block = resize(heap.p, heap.cap, room)
            if block == cython.NULL:
                raise MemoryError
        else:
            entry_view(e, cython.address(view))
            block = allocate(room)
            fresh = entry_new(k.p, k.n, cython.sizeof(HeapString), entry_expiry(e) if entry_expires(e) else -1,
                              TYPE_STRING, STR_HEAP, entry_access(e))
            if block == cython.NULL or fresh == cython.NULL:
                release(block, room)
                if fresh != cython.NULL:
                    entry_free_shell(fresh)
                raise MemoryError
            memcpy(block, view.p, view.n)
            heap.len = cython.cast(uint32_t, view.n)
        heap.p = cython.cast(bytep, block)
        heap.cap = cython.cast(uint32_t, room)
        memcpy(entry_value(fresh), cython.address(heap), cython.sizeof(HeapString))
        if fresh != e:
            self.replace(k, fresh)
        return fresh

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_expiry(self, k: key_p, e: bytep, expiry: int64_t) -> cython.int:
        """Give the live entry `e` of this key an expiry, or take it away (-1). Does not count as `touched`."""
        before: int64_t = entry_expiry(e) if entry_expires(e) else -1
        fresh: bytep
        if before == expiry:
            return 0
        if before != -1 and expiry != -1:
            entry_set_expiry_inplace(e, expiry)
            self.note_expiry(k, before, expiry)
            return 0
        fresh = entry_rebuilt(e, k.p, k.n, expiry)
        self.exchange(k, e, fresh)
        entry_free_shell(e)
        return 0

    # ---- whole databases

    def clear(self) -> int:
        """Forget every key; how many there were. Memory beyond FREE_AT_ONCE keys is given back in steps (free_step)."""
        count: uint64_t = self.used
        slot: cython.int
        gone: Database
        if self.slots == cython.NULL:
            return 0
        self.tell_clearing()
        if count > FREE_AT_ONCE:
            gone = Database(self.keyspace, -1)
            gone.slots = self.slots
            self.slots = cython.NULL
            self.keyspace.doomed.append([gone, 0, 0])
            self.keyspace.lazy_pending += count
        else:
            for slot in range(SLOT_COUNT):
                self.drop_slot(slot)
        self.used = 0
        self.volatile_keys = 0
        memset(cython.address(self.groups), 0, cython.sizeof(Groups))
        self.volatile_hashes = 0
        self.keyspace.exchanges += 1
        return count

    @cython.cfunc
    @cython.exceptval(check=False)
    def drop_slot(self, slot: cython.int) -> cython.uint:
        """Forget every key of one slot, without telling anybody; how many there were."""
        s: slot_p
        count: uint32_t
        s = cython.address(self.slots[slot])
        count = s.t.used
        if count:
            table_walk(cython.address(s.t), _free_visitor, cython.NULL)
            table_clear(cython.address(s.t))
            self.count_less(slot, count, s.volatile_keys)
            self.volatile_hashes -= s.t.marked
            s.t.marked = 0
            s.next_expiry = NEVER
        return count

    def swap(self, other: Database) -> None:
        """Exchange the contents of two databases (SWAPDB)."""
        observer: KeyObserver
        observers: list = self.keyspace.observers if self.keyspace.observed else []
        for observer in observers:
            observer.swapping(self, other)
        self.slots, other.slots = other.slots, self.slots
        self.used, other.used = other.used, self.used
        self.volatile_keys, other.volatile_keys = other.volatile_keys, self.volatile_keys
        groups: Groups = self.groups
        self.groups = other.groups
        other.groups = groups
        self.volatile_hashes, other.volatile_hashes = other.volatile_hashes, self.volatile_hashes
        self.keyspace.exchanges += 1
        for observer in observers:
            observer.swapped(self, other)

    def keys_in_slot(self, slot: cython.int) -> int:
        """How many keys the slot holds (those past their expiry included)."""
        assert 0 <= slot < SLOT_COUNT
        return self.slots[slot].t.used if self.slots != cython.NULL else 0

    def table_bytes(self) -> int:
        """What the slot tables take, bytes."""
        total: cython.size_t = 0
        slot: cython.int
        if self.slots == cython.NULL:
            return 0
        for slot in range(SLOT_COUNT):
            total += table_bytes(cython.address(self.slots[slot].t))
        return total + SLOT_COUNT * cython.sizeof(SlotTable)


@cython.final
@cython.cclass
class Keyspace:
    """All databases of one engine, their clocks and their counters."""

    def __init__(self, databases: int = 16) -> None:
        self.databases = [Database(self, number) for number in range(databases)]
        self.doomed = []
        self.observers = []
        self.lfu_log_factor = 10
        self.lfu_decay_minutes = 1

    def __dealloc__(self):
        free(self.observed_in)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def observe(self, slot: uint32_t) -> cython.int:
        if self.observed_in == cython.NULL:
            self.observed_in = cython.cast(cython.pointer(uint32_t), calloc(SLOT_COUNT, cython.sizeof(uint32_t)))
            if self.observed_in == cython.NULL:
                raise MemoryError
        self.observed_in[slot] += 1
        self.observed += 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def stop_observing(self, slot: uint32_t) -> cython.int:
        assert self.observed > 0 and self.observed_in[slot] > 0
        self.observed_in[slot] -= 1
        self.observed -= 1
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1, check=False)
    def touch_entry(self, e: bytep) -> cython.int:
        """Stamp an entry that a command used."""
        if self.no_touch or self.calm:
            return 0
        if self.lfu:
            entry_set_access(e, lfu_used(entry_access(e), self.access_clock >> 8, self.lfu_decay_minutes,
                                         self.lfu_log_factor))
        elif entry_access(e) != self.access_clock:
            entry_set_access(e, self.access_clock)
        return 0

    def set_time(self, now_ms: int64_t) -> None:
        """Set the commands' clock, and with it the stamp of touched entries."""
        self.now_ms = now_ms
        if self.lfu:
            self.access_clock = cython.cast(uint32_t, ((now_ms // 60000) & 0xFFFF) << 8 | LFU_INIT)
        else:
            self.access_clock = cython.cast(uint32_t, (now_ms // 1000) & 0xFFFFFF)

    def set_events(self, mask: int, sink: EventSink | None) -> None:
        """Which classes of events (keyspace.events) go to `sink` from now on; 0: none."""
        assert mask == 0 or sink is not None
        self.notify_mask = mask
        self.event_sink = sink

    def event_classes(self) -> int:
        """The classes that set_events has asked for."""
        return self.notify_mask

    def total_keys(self) -> int:
        """Keys over all databases."""
        return sum([db.used for db in self.databases])

    def pending_free(self) -> int:
        """Keys of cleared databases, and large values, whose memory is not given back yet."""
        return self.lazy_pending + value_pending()

    def free_step(self, keys: int) -> bool:
        """Give back the memory of large values that are gone, and of up to about `keys` keys of cleared databases, for
        about STEP_US; whether there is more to do."""
        return self.free_until(monotonic_us() + STEP_US, keys)

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_freeing(self) -> cython.bint:
        return self.lazy_pending > 0 or value_pending() > 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def free_until(self, deadline_us: int64_t, keys: int64_t) -> cython.bint:
        """`free_step` until the monotonic clock says deadline_us."""
        gone: Database
        at: cython.int
        chain: uint64_t
        used: cython.longlong
        t: cython.pointer(Table)
        left: cython.longlong = keys
        freed: cython.longlong = 0
        # not by the count alone: pages fall empty, and go back to the system, mostly with the last keys of all
        pending: uint64_t = value_pending()
        if pending:
            value_free_step(deadline_us)
            self.lazy_freed += pending - value_pending()
            if value_pending():
                return True
        while self.doomed and left > 0:
            gone, at, chain = self.doomed[0]
            while at < SLOT_COUNT and left > 0:
                t = cython.address(gone.slots[at].t)
                used = t.used
                if used > FREE_SLOT_AT_ONCE:
                    # a giant slot goes chain by chain
                    chain = table_drain(t, chain, FREE_CHAINS, _free_visitor, cython.NULL)
                    left -= used - t.used
                    freed += used - t.used
                    if monotonic_us() > deadline_us:
                        left = 0
                    if chain:
                        continue
                    used = 0
                left -= 1 + used
                freed += used
                table_walk(t, _free_visitor, cython.NULL)
                table_clear(t)
                chain = 0
                at += 1
                if used and monotonic_us() > deadline_us:
                    left = 0
            if at == SLOT_COUNT:
                self.doomed.pop(0)
            else:
                self.doomed[0][1:] = at, chain
        self.lazy_pending -= freed
        self.lazy_freed += cython.cast(uint64_t, freed)
        return bool(self.doomed or value_pending())
