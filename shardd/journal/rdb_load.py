"""A whole RDB file, or the RDB part at the beginning of an AOF, loaded into a keyspace a step at a time.

    "REDIS" 4 digits | "VALKEY" 3 digits
    opcodes: what follows is of this database, this key expires then, ...
    type, key, value                                        rdb_load_value.py
    EOF, CRC-64 (from version 5 on; 0: none was made)       and the loader stops behind it, wherever the file ends

    loader = RdbLoader(keyspace, RdbSource(fd), Thresholds(config))
    while not loader.step(mono_us() + 50_000): ...

FORMAT.md has the whole layout. Owns nothing of what it loads: entries are the databases' as soon as they are in. They
are put in 32 at a time, so that the waits for memory overlap (keyspace/bulk.py).

A key that is past its expiry is not loaded, as by a Redis primary, unless `keep_expired` (an AOF's base: the commands
behind it expect it). With `slots` only keys of these slots are loaded, and the others' values are passed over. A key
that is there twice is an error, as in Redis; with `replace` the later one wins. Collections without elements, which old
versions wrote now and then, are left out and counted, as in Redis.

What we cannot hold yet - streams, functions, values of modules - stops the loading with RdbError; with
`skip_unsupported` it is passed over and counted by its kind in `skipped`, of which the caller tells the user.

A step ends where its deadline has passed, in the middle of a value as well: a collection is made, or passed over,
element by element, and is in no database before it is whole. What is read in one piece stays one: a string, a packed
block before its elements are taken. That takes a second for half a gigabyte, and they have four times as much at most
(limits.STRING_BYTES_MAX). After an error the loader is of no use; what was loaded before it is in the keyspace, and
what there was of the value in which it happened is freed.

Invariant: nothing is loaded quietly that is not sound. Every structure is checked as deep as Redis does with
sanitize-dump-payload yes, and what was loaded counts only when the checksum was right.
"""
import cython
from cython.cimports.libc.stdint import INT64_MAX, int32_t, int64_t, uint32_t, uint64_t
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.rdb import (
    RDB_MAGIC_BYTES, RDB_OPCODE_AUX, RDB_OPCODE_EOF, RDB_OPCODE_EXPIRETIME, RDB_OPCODE_EXPIRETIME_MS, RDB_OPCODE_FREQ,
    RDB_OPCODE_FUNCTION2, RDB_OPCODE_FUNCTION_PRE_GA, RDB_OPCODE_IDLE, RDB_OPCODE_KEY_META, RDB_OPCODE_MODULE_AUX,
    RDB_OPCODE_RESIZEDB, RDB_OPCODE_SELECTDB, RDB_OPCODE_SLOT_IMPORT, RDB_OPCODE_SLOT_INFO, RDB_TYPE_STRING,
    RDB_VERSION_KEY_META, RDB_VERSION_MIN, RDB_VERSION_REDIS_MAX, RDB_VERSION_VALKEY_MAX, RDB_VERSION_VALKEY_MIN)
from cython.cimports.shardd.journal.rdb_in import HOLD_KEY, RdbSource
from cython.cimports.shardd.journal.rdb_load import BUILDS, IDLE, PASSES, SKIPS
from cython.cimports.shardd.journal.rdb_load_build import Thresholds
from cython.cimports.shardd.journal.rdb_load_skip import (
    skip_function, skip_function_pre_ga, skip_key_meta, skip_module, skip_slot_import, skip_step, skip_value,
    value_kind, value_loads)
from cython.cimports.shardd.journal.rdb_load_value import (
    load_stamp, load_string, value_close, value_drop, value_open, value_take)
from cython.cimports.shardd.keyspace.bulk import bulk_add
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Keyspace
from cython.cimports.shardd.keyspace.entry import View, entry_free, entry_key, entry_key_len
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.slots import key_slot

BATCH = cython.declare(cython.int, 32)          # as RdbLoader.pending has room for
CHECKSUM_SINCE = cython.declare(cython.int, 5)  # the version
AUX_MAX = cython.declare(cython.Py_ssize_t, 64)         # of them are kept,
AUX_BYTES = cython.declare(cython.Py_ssize_t, 128)      # those whose name and text are no longer
SHOWN_BYTES = cython.declare(cython.Py_ssize_t, 128)    # of a key's name, in an error
KEY_BYTES = cython.declare(int64_t, 3)          # the least that a key takes in a file: type, key, value
SECONDS_MAX = cython.declare(int64_t, INT64_MAX // 1000)


@cython.cclass
class RdbLoader:
    """The loading of one file. journal/rdb_cut.py does something else with each key."""

    def __init__(self, keyspace: Keyspace, source: RdbSource, thresholds: Thresholds, *, slots: bytes | None = None,
                 keep_expired: bool = False, skip_unsupported: bool = False, replace: bool = False) -> None:
        """Begin to load what `source` has from where it stands.

        thresholds: for the forms of collections. slots: 16,384 bytes, which slots to load; None: all.
        """
        assert keyspace is not None and source is not None and thresholds is not None
        assert slots is None or len(slots) == SLOT_COUNT
        self.keyspace = keyspace
        self.source = source
        self.thresholds = thresholds
        self.slots = slots
        self.keep_expired = keep_expired
        self.skip_unsupported = skip_unsupported
        self.replace = replace
        self.skipped = {}
        self.aux = {}

    def __dealloc__(self):
        i: cython.int
        for i in range(self.pending_n):
            if self.pending[i].e != cython.NULL:
                entry_free(self.pending[i].e)
        value_drop(cython.address(self.value))

    @property
    def position(self) -> int:
        """Where the next byte is in the file; behind the RDB data when all is done."""
        return self.source.tell()

    @property
    def total(self) -> int:
        """Bytes of the file."""
        return self.source.total

    def step(self, deadline_us: int64_t) -> bool:
        """Load until the monotonic clock says `deadline_us` (at least a few elements); whether all is done.

        Raises RdbError, MemoryError, OSError.
        """
        sound: cython.bint = False
        self.deadline_us = deadline_us
        self.looked_at = self.source.base
        if self.version == 0:
            self.begin()
        try:
            while not self.done and self.one() and not self.late(self.source):
                pass
            sound = True
        finally:
            if not sound:
                value_drop(cython.address(self.value))
        return self.done

    @cython.cfunc
    @cython.exceptval(check=False)
    def look(self) -> cython.bint:
        """Whether the deadline has passed."""
        self.looked_at = self.source.base
        return monotonic_us() >= self.deadline_us

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def one(self) -> cython.bint:
        """The next key, or what is none; or some more of the one under way. False: it is late, and that not whole."""
        byte: cython.int
        if self.doing == IDLE:
            byte = self.source.u8()
            if byte < RDB_OPCODE_SLOT_IMPORT:
                self.key(byte)
            elif self.opcode(byte):
                self.finish()
        return self.doing == IDLE or self.go_on()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self) -> cython.bint:
        """Some more of what is under way; whether it is whole."""
        s: RdbSource = self.source
        if self.doing == BUILDS:
            while value_take(s, cython.address(self.value)):
                if self.late(s):
                    return False
        else:
            while skip_step(s, cython.address(self.skipping)):
                if self.late(s):
                    return False
        if self.doing == PASSES:
            self.doing = IDLE
        else:
            self.whole()
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self) -> cython.int:
        """The magic and the version."""
        s: RdbSource = self.source
        head: bytes
        name: bytes
        if s.left() < RDB_MAGIC_BYTES:
            s.fail("the file is too short to be an RDB file")
        s.need(RDB_MAGIC_BYTES)
        head = cython.cast(cython.p_char, s.p)[:RDB_MAGIC_BYTES]
        name = b"VALKEY" if head.startswith(b"VALKEY") else b"REDIS"
        digits: bytes = head[len(name):]
        if not head.startswith(name) or not digits.isdigit():
            s.fail("wrong signature: this is no RDB file")
        version: cython.int = int(digits)
        least: cython.int = RDB_VERSION_VALKEY_MIN if name == b"VALKEY" else RDB_VERSION_MIN
        most: cython.int = RDB_VERSION_VALKEY_MAX if name == b"VALKEY" else RDB_VERSION_REDIS_MAX
        if not least <= version <= most:
            s.fail(f"RDB format version {version} of {name.decode()} is not one that can be read")
        s.p += RDB_MAGIC_BYTES
        self.version = version
        self.facts.expiry = self.facts.idle = self.facts.freq = -1
        return self.choose(0)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def choose(self, number: uint64_t) -> cython.int:
        """What follows is of another database."""
        if number >= cython.cast(uint64_t, len(self.keyspace.databases)):
            self.source.fail(f"there is a key of database {number}, and `databases` is {len(self.keyspace.databases)}")
        self.flush()
        self.db = self.keyspace.databases[number]
        self.in_slot = 0
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def choose_room(self, keys: int64_t) -> cython.int:
        """So many keys are announced for this database: as if spread over all slots, each is given room for its part
        at its first key. All databases together are not believed more than the file can hold."""
        keys = min(keys, self.source.total // KEY_BYTES - self.announced)
        self.announced += keys
        self.in_slot = keys // SLOT_COUNT
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def opcode(self, op: cython.int) -> cython.bint:
        """Act on what is no key; whether it is the end."""
        s: RdbSource = self.source
        stamp: uint64_t = 0
        seconds: uint32_t = 0
        if op == RDB_OPCODE_EOF:
            return True
        if op == RDB_OPCODE_EXPIRETIME_MS:
            s.u64(cython.address(stamp))
            self.facts.expiry = cython.cast(int64_t, stamp)
        elif op == RDB_OPCODE_EXPIRETIME:
            s.u32(cython.address(seconds))
            self.facts.expiry = cython.cast(int64_t, cython.cast(int32_t, seconds)) * 1000
        elif op == RDB_OPCODE_IDLE:
            self.facts.idle = min(cython.cast(int64_t, s.length(cython.NULL) & INT64_MAX), SECONDS_MAX)
        elif op == RDB_OPCODE_FREQ:
            self.facts.freq = s.u8()
        elif op == RDB_OPCODE_SELECTDB:
            self.choose(s.length(cython.NULL))
        elif op == RDB_OPCODE_RESIZEDB:
            stamp = s.length(cython.NULL)
            s.length(cython.NULL)
            self.choose_room(cython.cast(int64_t, stamp & INT64_MAX))
        elif op == RDB_OPCODE_AUX:
            self.note_aux()
        elif op == RDB_OPCODE_SLOT_INFO:
            s.length(cython.NULL)
            s.length(cython.NULL)
            s.length(cython.NULL)
        elif op == RDB_OPCODE_FUNCTION2:
            self.unsupported("function library")
            skip_function(cython.address(self.skipping))
            self.doing = PASSES
        elif op == RDB_OPCODE_FUNCTION_PRE_GA:
            self.unsupported("function library")
            skip_function_pre_ga(s, cython.address(self.skipping))
            self.doing = PASSES
        elif op == RDB_OPCODE_MODULE_AUX:
            self.unsupported("module data")
            skip_module(s, cython.address(self.skipping))       # where it belongs is a piece, too
            self.doing = PASSES
        elif op == RDB_OPCODE_SLOT_IMPORT and self.version >= RDB_VERSION_VALKEY_MIN:
            self.unsupported("slot import")
            skip_slot_import(s, cython.address(self.skipping))
            self.doing = PASSES
        elif op == RDB_OPCODE_KEY_META and RDB_VERSION_KEY_META <= self.version < RDB_VERSION_VALKEY_MIN:
            self.unsupported("module's note of a key")
            skip_key_meta(s, cython.address(self.skipping))
            self.doing = PASSES
        else:
            s.fail(f"there is the unknown opcode {op}")
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_aux(self) -> cython.int:
        """Something that the file says of itself."""
        s: RdbSource = self.source
        v: View
        s.string(cython.address(v))
        name: bytes = cython.cast(cython.p_char, v.p)[:min(v.n, AUX_BYTES + 1)]
        s.string(cython.address(v))
        if len(self.aux) < AUX_MAX and len(name) <= AUX_BYTES and v.n <= AUX_BYTES:
            self.aux[name] = cython.cast(cython.p_char, v.p)[:v.n]
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unsupported(self, kind: str) -> cython.int:
        """What follows is passed over, or stops us."""
        if not self.skip_unsupported:
            self.source.fail(f"there is a {kind}, which this server cannot hold yet "
                             "(rdb-skip-unsupported yes loads everything else)")
        self.skipped[kind] = self.skipped.get(kind, 0) + 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key(self, type: cython.int) -> cython.int:
        """A key, and its value, or the beginning of it."""
        s: RdbSource = self.source
        v: View
        expiry: int64_t = self.facts.expiry
        strange: cython.bint = not value_loads(type, self.version)
        if strange:
            self.find_kind(type)
        s.string(cython.address(v))
        self.slot = key_slot(v.p, v.n)
        if self.slots is not None and not self.slots[self.slot]:
            self.foreign += 1
            return self.pass_over(type)
        if expiry != -1 and expiry < self.keyspace.now_ms and not self.keep_expired:
            self.expired += 1
            return self.pass_over(type)
        if strange:
            self.unsupported(value_kind(type, self.version))
            return self.pass_over(type)
        s.hold(cython.address(v), HOLD_KEY)
        self.name = v.p
        self.name_len = v.n
        if type != RDB_TYPE_STRING:
            return self.build(type)
        return self.add(load_string(s, v.p, v.n, expiry, load_stamp(self.keyspace, self.facts.idle, self.facts.freq)))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def find_kind(self, type: cython.int) -> cython.int:
        """RdbError for a value of which not even the end can be found."""
        if value_kind(type, self.version) is None:
            self.source.fail(f"a key has a value of the unknown type {type}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def pass_over(self, type: cython.int) -> cython.int:
        """Begin to pass over a value."""
        skip_value(self.source, cython.address(self.skipping), type, self.version)
        self.doing = SKIPS
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def build(self, type: cython.int) -> cython.int:
        """Begin to make a collection."""
        value_open(self.source, cython.address(self.value), type, self.version, self.thresholds)
        self.doing = BUILDS
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def whole(self) -> cython.int:
        """The value under way was made, or passed over."""
        e: bytep = cython.NULL
        if self.doing == BUILDS:
            e = value_close(cython.address(self.value), self.thresholds, self.name, self.name_len, self.facts.expiry,
                            load_stamp(self.keyspace, self.facts.idle, self.facts.freq))
            if e == cython.NULL:
                self.empty += 1
        self.doing = IDLE
        return self.add(e)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, e: bytep) -> cython.int:
        """Have an entry (or NULL) wait for its database; what follows is another key."""
        self.facts.expiry = self.facts.idle = self.facts.freq = -1
        if e == cython.NULL:
            return 0
        self.pending[self.pending_n].e = e
        self.pending[self.pending_n].slot = self.slot
        self.pending[self.pending_n].hash = hash_key(self.name, self.name_len)
        self.pending_n += 1
        return self.flush() if self.pending_n == BATCH else 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush(self) -> cython.int:
        """Put into the database what waits for it."""
        twice: cython.int
        e: bytep
        if self.pending_n == 0:
            return 0
        twice = bulk_add(self.db, self.pending, self.pending_n, self.replace, self.in_slot)
        if twice >= 0:
            e = self.pending[twice].e
            name: bytes = cython.cast(cython.p_char, entry_key(e))[:min(entry_key_len(e), SHOWN_BYTES)]
            self.source.fail(f"there is the key {name!r} twice in database {self.db.id}")
        self.keys += self.pending_n
        self.pending_n = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish(self) -> cython.int:
        """The checksum."""
        s: RdbSource = self.source
        computed: uint64_t
        said: uint64_t = 0
        self.flush()
        if self.version >= CHECKSUM_SINCE:
            computed = s.checksum()
            s.u64(cython.address(said))
            if s.sums and said != 0 and said != computed:
                s.fail(f"wrong checksum: {said:016x} is expected, {computed:016x} was computed")
        self.done = True
        return 0
