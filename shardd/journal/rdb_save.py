"""A whole keyspace as an RDB file, and one value as a DUMP payload.

    save_keyspace(keyspace, fd, ...) -> (keys, bytes)       writes; who calls it opens, syncs and renames the file
    rdb_dump(sink, entry, now_ms)                           type, value, version, checksum

    "REDIS0010"  AUX ...  { SELECTDB  RESIZEDB  { [EXPIRETIME_MS] [IDLE | FREQ] type key value } ... } ...  EOF  CRC

The walk is C over native memory: it goes through the slot tables of each database in the order of slots, and asks for
the entries of one batch while it writes those of the batch before. It takes no Python object and changes nothing, so
that a forked child dirties no page of the data; the keyspace must not change meanwhile.

The version is 10, which Redis 7.0 and all later ones read, unless a hash has fields that expire: then it is 12, as of
Redis 7.4 (FORMAT.md). That is looked up before the first byte.

Keys past their time are written, with that time, as Redis writes them: who loads the file knows what to do with them.

Progress: two unsigned integers of 64 bits, 0 and the keys so far, into `progress_fd` now and then and at the end. What
does not fit into the pipe is not told.
"""
import os

import cython
from cython.cimports.libc.errno import EAGAIN, EINTR, ENOMEM, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import monotonic_ms, unix_ms
from cython.cimports.shardd.base.native import bytep, store16
from cython.cimports.shardd.journal.aof_values import aof_key, aof_select
from cython.cimports.shardd.journal.rdb import (
    RDB_OPCODE_AUX, RDB_OPCODE_EOF, RDB_OPCODE_EXPIRETIME_MS, RDB_OPCODE_FREQ, RDB_OPCODE_IDLE, RDB_OPCODE_RESIZEDB,
    RDB_OPCODE_SELECTDB, RDB_VERSION, RDB_VERSION_FIELD_TTL)
from cython.cimports.shardd.journal.rdb_out import (
    RDB_SMALL, RdbOut, rdb_byte, rdb_close, rdb_crc, rdb_fixed64, rdb_flush, rdb_length, rdb_open, rdb_space,
    rdb_string, rdb_write)
from cython.cimports.shardd.journal.rdb_save import RDB_FREQ, RDB_IDLE, RDB_NO_ACCESS, SaveDb, SaveRun
from cython.cimports.shardd.journal.rdb_values import RdbForm, rdb_form, rdb_needs_field_ttl, rdb_value
from cython.cimports.shardd.journal.sys import sys_write, usleep
from cython.cimports.shardd.keyspace.access import lfu_decayed
from cython.cimports.shardd.keyspace.database import SLOT_COUNT, Database, Keyspace, SlotTable
from cython.cimports.shardd.keyspace.entry import (
    entry_access, entry_expires, entry_expiry, entry_key, entry_key_len)
from cython.cimports.shardd.keyspace.fields import fields_expire
from cython.cimports.shardd.structures.alloc import used_bytes
from cython.cimports.shardd.structures.walk import walk_begin, walk_next

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
run_p = cython.typedef(cython.pointer(SaveRun))
out_p = cython.typedef(cython.pointer(RdbOut))
db_p = cython.typedef(cython.pointer(SaveDb))
slot_p = cython.typedef(cython.pointer(SlotTable))
entry_p = cython.typedef(cython.pointer(bytep))

BATCH = cython.declare(cython.int, 64)                  # entries that are asked for at a time
TELL_KEYS = cython.declare(uint64_t, 1024)              # keys between two looks at the clock for progress
TELL_MS = cython.declare(int64_t, 100)                  # between two reports
SYNC_BYTES = cython.declare(uint64_t, limits.RDB_SYNC_BYTES)
SLOTS = cython.declare(cython.int, SLOT_COUNT)
ACCESS_MASK = cython.declare(uint32_t, 0xFFFFFF)        # of the seconds that an entry has


# ---- keys

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_wanted(r: run_p, slot: cython.int) -> cython.bint:
    return r.wanted == cython.NULL or r.wanted[slot] != 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _next_keys(r: run_p, out: entry_p) -> cython.int:
    """The next entries of the database, BATCH at most; 0 at its end."""
    n: cython.int = 0
    while r.slot < SLOTS and n + 7 <= BATCH:
        if not r.entered:
            if r.slots[r.slot].t.used == 0 or not _is_wanted(r, r.slot):
                r.slot += 1
                continue
            walk_begin(cython.address(r.walk), cython.address(r.slots[r.slot].t))
            r.entered = True
        n += walk_next(cython.address(r.walk), out + n, BATCH - n)
        if r.walk.array == cython.NULL:
            r.entered = False
            r.slot += 1
    return n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _access(r: run_p, e: bytep) -> cython.void:
    """How a key was used."""
    p: bytep
    if r.access == RDB_IDLE:
        rdb_byte(cython.address(r.o), RDB_OPCODE_IDLE)
        rdb_length(cython.address(r.o), (ACCESS_MASK + 1 + r.clock - entry_access(e)) & ACCESS_MASK)
    else:
        p = rdb_space(cython.address(r.o), 2)
        p[0] = RDB_OPCODE_FREQ
        p[1] = cython.cast(uint8_t, lfu_decayed(entry_access(e), r.clock, r.decay_minutes))
        r.o.used += 2


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _rdb_key(r: run_p, e: bytep) -> cython.bint:
    """Write a key; False where nothing of it is left."""
    form: RdbForm
    rdb_form(e, r.now_ms, cython.address(form))
    if form.type < 0:
        return False
    if entry_expires(e):
        rdb_byte(cython.address(r.o), RDB_OPCODE_EXPIRETIME_MS)
        rdb_fixed64(cython.address(r.o), cython.cast(uint64_t, entry_expiry(e)))
    if r.access != RDB_NO_ACCESS:
        _access(r, e)
    rdb_byte(cython.address(r.o), form.type)
    rdb_string(cython.address(r.o), entry_key(e), entry_key_len(e))
    rdb_value(cython.address(r.o), e, cython.address(form), r.now_ms)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _key(r: run_p, e: bytep) -> cython.void:
    if not (aof_key(cython.address(r.o), e, r.now_ms) if r.commands else _rdb_key(r, e)):
        return
    r.keys += 1
    if r.progress_fd >= 0 and r.keys % TELL_KEYS == 0:
        _tell(r, TELL_MS)
    if r.delay_us != 0:
        rdb_flush(cython.address(r.o))
        usleep(cython.cast(cython.uint, r.delay_us) if r.delay_us > 0 else r.keys % -r.delay_us == 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _tell(r: run_p, after_ms: int64_t) -> cython.void:
    """Report progress, if the last report was so long ago."""
    now: int64_t = monotonic_ms()
    figures: uint64_t[2]
    if r.progress_fd < 0 or now - r.told_ms < after_ms:
        return
    r.told_ms = now
    figures[0] = 0
    figures[1] = r.keys
    if sys_write(r.progress_fd, figures, cython.sizeof(figures)) < 0 and errno != EAGAIN and errno != EINTR:
        r.progress_fd = -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _database(r: run_p, db: db_p) -> cython.void:
    """All keys of one database: two batches in turn, of which one is on its way from memory."""
    batches: bytep[64][2]       # C: batches[2][64]
    which: cython.int = 0
    n: cython.int
    following: cython.int
    i: cython.int
    r.slots = db.slots
    r.slot = 0
    r.entered = False
    if r.commands:
        aof_select(cython.address(r.o), db.number)
    else:
        rdb_byte(cython.address(r.o), RDB_OPCODE_SELECTDB)
        rdb_length(cython.address(r.o), cython.cast(uint64_t, db.number))
        rdb_byte(cython.address(r.o), RDB_OPCODE_RESIZEDB)
        rdb_length(cython.address(r.o), db.keys)
        rdb_length(cython.address(r.o), db.volatile_keys)
    n = _next_keys(r, batches[0])
    while n > 0 and r.o.error == 0:
        following = _next_keys(r, batches[1 - which])
        for i in range(n):
            _key(r, batches[which][i])
        which = 1 - which
        n = following


# ---- the file

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _has_field_ttl(r: run_p, slots: slot_p) -> cython.bint:
    """Whether a hash that will be written has fields that expire."""
    form: RdbForm
    entries: bytep[64]
    slot: cython.int
    n: cython.int
    i: cython.int
    for slot in range(SLOTS):
        if slots[slot].t.marked == 0 or not _is_wanted(r, slot):
            continue
        walk_begin(cython.address(r.walk), cython.address(slots[slot].t))
        n = 1
        while n > 0:
            n = walk_next(cython.address(r.walk), entries, BATCH)
            for i in range(n):
                if not fields_expire(entries[i]):
                    continue
                rdb_form(entries[i], r.now_ms, cython.address(form))
                if rdb_needs_field_ttl(cython.address(form)):
                    return True
    return False


@cython.cfunc
@cython.exceptval(-1, check=False)
def _head(r: run_p, aof_base: cython.bint) -> cython.int:
    """The magic, and what the file says of itself."""
    name: bytes
    value: bytes
    i: cython.int
    version: cython.int = RDB_VERSION
    for i in range(r.db_count):
        if _has_field_ttl(r, r.dbs[i].slots):
            version = RDB_VERSION_FIELD_TTL
    value = b"REDIS%04d" % version
    rdb_write(cython.address(r.o), cython.cast(const_bytes, value), len(value))
    for name, value in ((b"redis-ver", limits.REDIS_VERSION.encode()), (b"redis-bits", b"64"),
                        (b"ctime", b"%d" % (unix_ms() // 1000)), (b"used-mem", b"%d" % used_bytes()),
                        (b"aof-base", b"%d" % aof_base)):
        rdb_byte(cython.address(r.o), RDB_OPCODE_AUX)
        rdb_string(cython.address(r.o), cython.cast(const_bytes, name), len(name))
        rdb_string(cython.address(r.o), cython.cast(const_bytes, value), len(value))
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _rest(r: run_p) -> cython.void:
    """All databases, and the end of the file."""
    i: cython.int
    for i in range(r.db_count):
        if r.dbs[i].keys and r.o.error == 0:
            _database(r, cython.address(r.dbs[i]))
    if not r.commands:
        rdb_byte(cython.address(r.o), RDB_OPCODE_EOF)
        rdb_fixed64(cython.address(r.o), rdb_crc(cython.address(r.o)))
    rdb_flush(cython.address(r.o))
    _tell(r, 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count(r: run_p, db: db_p) -> cython.void:
    """The keys of a database in the slots that are wanted."""
    slot: cython.int
    for slot in range(SLOTS):
        if _is_wanted(r, slot):
            db.keys += db.slots[slot].t.used
            db.volatile_keys += db.slots[slot].volatile_keys


@cython.cfunc
@cython.exceptval(-1, check=False)
def _prepare(r: run_p, keyspace: Keyspace) -> cython.int:
    """List the databases with keys. MemoryError."""
    db: Database
    r.dbs = cython.cast(db_p, calloc(len(keyspace.databases), cython.sizeof(SaveDb)))
    if r.dbs == cython.NULL:
        raise MemoryError
    for db in keyspace.databases:
        if db.used:
            r.dbs[r.db_count].slots = db.slots
            r.dbs[r.db_count].number = db.id
            _count(r, cython.address(r.dbs[r.db_count]))
            r.db_count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _init(r: run_p, keyspace: Keyspace, slots: bytes | None, progress_fd: cython.int,
          key_delay_us: cython.int) -> cython.int:
    """A run of which nothing is open yet. ValueError."""
    memset(r, 0, cython.sizeof(SaveRun))
    if slots is not None:
        if len(slots) != SLOTS:
            raise ValueError(f"{SLOTS} flags of slots are needed, not {len(slots)}")
        r.wanted = slots
    r.now_ms = keyspace.now_ms
    r.progress_fd = progress_fd
    r.told_ms = monotonic_ms()
    r.delay_us = key_delay_us
    return 0


@cython.cfunc
def _write(r: run_p, keyspace: Keyspace, fd: cython.int, incremental_fsync: cython.bint,
           mark: cython.bint) -> tuple:
    """Write it all; (keys, bytes). mark: aof_base, or timestamp. OSError, MemoryError."""
    stamp: bytes
    compress: cython.bint = r.o.compress
    checksum: cython.bint = r.o.checksum
    try:
        _prepare(r, keyspace)
        if not rdb_open(cython.address(r.o), fd, SYNC_BYTES if incremental_fsync else 0):
            raise MemoryError
        r.o.compress = compress
        r.o.checksum = checksum
        if not r.commands:
            _head(r, mark)
        elif mark:
            stamp = b"#TS:%d\r\n" % (unix_ms() // 1000)
            rdb_write(cython.address(r.o), cython.cast(const_bytes, stamp), len(stamp))
        with cython.nogil:
            _rest(r)
        if r.o.error == ENOMEM:
            raise MemoryError
        if r.o.error != 0:
            raise OSError(r.o.error, os.strerror(r.o.error))
        return r.keys, r.o.written
    finally:
        rdb_close(cython.address(r.o))
        free(r.dbs)


def save_keyspace(keyspace: Keyspace, fd: cython.int, *, compress: bool = True, checksum: bool = True,
                  incremental_fsync: bool = True, aof_base: bool = False, slots: bytes | None = None,
                  policy: str = "noeviction", progress_fd: cython.int = -1,
                  key_delay_us: cython.int = 0) -> tuple[int, int]:
    """Write the keyspace to `fd` as an RDB file. Returns how many keys, and bytes, were written.

    compress, checksum, incremental_fsync: rdbcompression, rdbchecksum, rdb-save-incremental-fsync. aof_base: it is the
    base of an AOF. slots: 16,384 bytes, not zero for the slots that are wanted; None: all. policy: maxmemory-policy;
    with one of lru or lfu, the file says how each key was used. progress_fd: see above. key_delay_us: a pause behind
    each key (rdb-key-save-delay); -n: one of 1 us behind every n-th.

    The file is neither synced at the end nor closed. Raises OSError where it cannot be written (some of it may have
    been), MemoryError, and ValueError for flags of another number.
    """
    run: SaveRun
    _init(cython.address(run), keyspace, slots, progress_fd, key_delay_us)
    run.access = RDB_IDLE if policy.endswith("-lru") else RDB_FREQ if policy.endswith("-lfu") else RDB_NO_ACCESS
    run.clock = keyspace.access_clock >> 8 if run.access == RDB_FREQ else keyspace.access_clock
    run.decay_minutes = keyspace.lfu_decay_minutes
    run.o.compress, run.o.checksum = compress, checksum
    return _write(cython.address(run), keyspace, fd, incremental_fsync, aof_base)


def save_commands(keyspace: Keyspace, fd: cython.int, *, incremental_fsync: bool = True, timestamp: bool = False,
                  slots: bytes | None = None, progress_fd: cython.int = -1,
                  key_delay_us: cython.int = 0) -> tuple[int, int]:
    """As save_keyspace, but as the commands that make the keys: the base of an append-only file with
    aof-use-rdb-preamble no. timestamp: it begins with an annotation of the time."""
    run: SaveRun
    _init(cython.address(run), keyspace, slots, progress_fd, key_delay_us)
    run.commands = True
    return _write(cython.address(run), keyspace, fd, incremental_fsync, timestamp)


# ---- one value

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_dump(o: out_p, e: bytep, now_ms: int64_t) -> cython.void:
    """What DUMP says of an entry. Nothing is written where nothing is left of it: all fields of the hash are due."""
    form: RdbForm
    rdb_form(e, now_ms, cython.address(form))
    if form.type < 0:
        return
    o.checksum = True
    rdb_byte(o, form.type)
    rdb_value(o, e, cython.address(form), now_ms)
    store16(rdb_space(o, RDB_SMALL), cython.cast(
        uint16_t, RDB_VERSION_FIELD_TTL if rdb_needs_field_ttl(cython.address(form)) else RDB_VERSION))
    o.used += 2
    rdb_fixed64(o, rdb_crc(o))
