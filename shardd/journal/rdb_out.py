"""The sink of everything that is written in RDB format: a buffer before a file, or in memory for DUMP.

It owns the buffer, the checksum of what passed through it, the syncing of a growing file, and how lengths, numbers and
strings are put into bytes (FORMAT.md: lengths, strings). What is made of those is in rdb_values and rdb_save.

    rdb_string, rdb_length ... --> [ buffer, 128 KiB ] --> CRC --> write() --> every 4 MiB: sync_file_range()

The checksum is taken when the buffer is flushed, so that it reads what is still in the processor's cache.

rdb-save-incremental-fsync: after each `sync_step` bytes the kernel is told to begin with writing them, and those before
are waited for. So the disk works from the start, there is never much to write at the end, and the page cache is not
filled with what a final fsync would have to write all at once. (As rio.c of Redis 7.0 does it.)

Errors are sticky: the first errno stays in `error`, and nothing is written from then on; who writes looks at it now and
then. Takes no Python object, and no memory but its two buffers, from malloc: a forked child may use it.
"""
import cython
from cython.cimports.libc.errno import EINTR, ENOMEM, ENOSPC, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, store16, store32, store64
from cython.cimports.shardd.journal.rdb import RDB_ENC_INT8, RDB_ENC_INT16, RDB_ENC_INT32, RDB_ENC_LZF
from cython.cimports.shardd.journal.rdb_out import RDB_SMALL, RdbOut
from cython.cimports.shardd.journal.sys import (
    SYNC_FILE_RANGE_WAIT_AFTER, SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, ssize_t, sync_file_range, sys_write)
from cython.cimports.shardd.structures.crc64 import crc64
from cython.cimports.shardd.structures.lzf import lzf_compress
from cython.cimports.shardd.structures.number import format_int, parse_int64

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))
out_p = cython.typedef(cython.pointer(RdbOut))

BUFFER_BYTES = cython.declare(cython.size_t, 128 << 10)     # well within the second-level cache
MEMORY_BYTES = cython.declare(cython.size_t, 512)           # of a sink in memory at first: most values fit
WRITE_BYTES_MAX = cython.declare(cython.size_t, 1 << 30)    # Linux takes no 2 GiB in one go
INT_TEXT_MAX = cython.declare(cython.size_t, 11)            # bytes of a number of 32 bits
COMPRESS_MIN = cython.declare(cython.size_t, 20)            # strings up to so many bytes are not tried, as in Redis
COMPRESS_SAVES_MIN = cython.declare(cython.size_t, 4)       # and must save so many
ENCODED = cython.declare(cython.int, 0xC0)                  # RDB_ENCVAL in the two upper bits
INT32_HIGHEST = cython.declare(int64_t, 2147483647)
INT32_LOWEST = cython.declare(int64_t, -2147483648)
LENGTH_32_MAX = cython.declare(uint64_t, 0xFFFFFFFF)


# ---- the buffer

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_open(o: out_p, fd: cython.int, sync_step: uint64_t) -> cython.bint:
    """An empty sink; False without memory. sync_step: bytes, 0 for no syncing."""
    memset(o, 0, cython.sizeof(RdbOut))
    o.fd = fd
    o.sync_step = sync_step
    o.cap = BUFFER_BYTES if fd >= 0 else MEMORY_BYTES
    o.buf = cython.cast(bytep, malloc(o.cap))
    return o.buf != cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_close(o: out_p) -> cython.void:
    """Free the buffers. What was not flushed is lost."""
    free(o.buf)
    free(o.scratch)
    o.buf = o.scratch = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _sync(o: out_p) -> cython.void:
    """After another `sync_step` bytes: begin to write them to the disk, and wait for those before them."""
    if sync_file_range(o.fd, o.started, o.written - o.started, SYNC_FILE_RANGE_WRITE) < 0:
        o.error = errno
        return
    if o.started > o.synced and sync_file_range(
            o.fd, o.synced, o.started - o.synced,
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER) < 0:
        o.error = errno
        return
    o.synced = o.started
    o.started = o.written


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put(o: out_p, p: const_bytes, n: cython.size_t) -> cython.void:
    """Bytes that leave the sink for the file."""
    done: ssize_t
    if o.checksum:
        o.crc = crc64(o.crc, p, n)
    while n > 0:
        done = sys_write(o.fd, p, n if n < WRITE_BYTES_MAX else WRITE_BYTES_MAX)
        if done < 0:
            if errno == EINTR:
                continue
            o.error = errno
            return
        if done == 0:
            o.error = ENOSPC
            return
        p += done
        n -= cython.cast(cython.size_t, done)
        o.written += cython.cast(uint64_t, done)
    if o.sync_step and o.written - o.started >= o.sync_step:
        _sync(o)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_flush(o: out_p) -> cython.void:
    """Write what is in the buffer; a sink in memory keeps it."""
    if o.fd >= 0:
        if o.error == 0:
            _put(o, o.buf, o.used)
        o.used = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _grow(o: out_p, n: cython.size_t) -> cython.void:
    """Make room for n bytes in a sink in memory; without memory it loses what it has."""
    cap: cython.size_t = o.cap
    grown: cython.p_void
    while cap < o.used + n:
        cap *= 2
    grown = realloc(o.buf, cap)
    if grown == cython.NULL:
        o.error = ENOMEM
        o.used = 0
        return
    o.buf = cython.cast(bytep, grown)
    o.cap = cap


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_space(o: out_p, n: cython.size_t) -> bytep:
    """Where the next n bytes go, at most RDB_SMALL of them; the caller adds what it has put there to `used`."""
    if o.used + n > o.cap:
        if o.fd >= 0:
            rdb_flush(o)
        else:
            _grow(o, RDB_SMALL)
    return o.buf + o.used


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_write(o: out_p, p: cython.pointer(cython.const[cython.void]), n: cython.size_t) -> cython.void:
    """These bytes, as they are."""
    if n > o.cap - o.used:
        if o.fd < 0:
            _grow(o, n)
        else:
            rdb_flush(o)
            if n > o.cap:
                if o.error == 0:
                    _put(o, cython.cast(const_bytes, p), n)
                return
        if o.error != 0:
            return
    memcpy(o.buf + o.used, p, n)
    o.used += n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_scratch(o: out_p, n: cython.size_t) -> bytep:
    """n bytes that are the caller's until somebody asks again; NULL without memory, which is no error of the sink."""
    cap: cython.size_t = 4096
    if n > o.scratch_cap:
        while cap < n:
            cap *= 2
        free(o.scratch)
        o.scratch = cython.cast(bytep, malloc(cap))
        o.scratch_cap = cap if o.scratch != cython.NULL else 0
    return o.scratch


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_crc(o: out_p) -> uint64_t:
    """The checksum of all that was written so far; 0 without rdbchecksum."""
    return crc64(o.crc, o.buf, o.used) if o.checksum else 0


# ---- the elements of the format

@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_byte(o: out_p, value: cython.int) -> cython.void:
    """An opcode, or a type."""
    p: bytep = rdb_space(o, 1)
    p[0] = cython.cast(uint8_t, value)
    o.used += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_fixed64(o: out_p, value: uint64_t) -> cython.void:
    """Eight bytes: a time in ms, the bits of a double, a checksum."""
    store64(rdb_space(o, 8), value)
    o.used += 8


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _length(p: bytep, n: uint64_t) -> cython.size_t:
    """Put a length at p, where nine bytes are free; how many it took."""
    i: cython.int
    if n < 64:
        p[0] = cython.cast(uint8_t, n)
        return 1
    if n < 16384:
        p[0] = cython.cast(uint8_t, 64 | (n >> 8))
        p[1] = cython.cast(uint8_t, n & 255)
        return 2
    if n <= LENGTH_32_MAX:
        p[0] = 0x80
        for i in range(4):
            p[1 + i] = cython.cast(uint8_t, (n >> (24 - 8 * i)) & 255)
        return 5
    p[0] = 0x81
    for i in range(8):
        p[1 + i] = cython.cast(uint8_t, (n >> (56 - 8 * i)) & 255)
    return 9


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_length(o: out_p, n: uint64_t) -> cython.void:
    """A length, or another unsigned number."""
    p: bytep = rdb_space(o, 9)      # by itself: it may flush, and C may read `used` before it calls
    o.used += _length(p, n)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _small_number(o: out_p, value: int64_t) -> cython.bint:
    """A string that is this number, where it has 32 bits at most."""
    p: bytep
    if value < INT32_LOWEST or value > INT32_HIGHEST:
        return False
    p = rdb_space(o, 5)
    if -128 <= value <= 127:
        p[0] = cython.cast(uint8_t, ENCODED | RDB_ENC_INT8)
        p[1] = cython.cast(uint8_t, value & 255)
        o.used += 2
    elif -32768 <= value <= 32767:
        p[0] = cython.cast(uint8_t, ENCODED | RDB_ENC_INT16)
        store16(p + 1, cython.cast(cython.ushort, value & 0xFFFF))
        o.used += 3
    else:
        p[0] = cython.cast(uint8_t, ENCODED | RDB_ENC_INT32)
        store32(p + 1, cython.cast(uint32_t, value & LENGTH_32_MAX))
        o.used += 5
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_number(o: out_p, value: int64_t) -> cython.void:
    """A string that is this number: encoded, or as its digits where it has more than 32 bits."""
    p: bytep
    if not _small_number(o, value):
        p = rdb_space(o, 24)
        p[0] = cython.cast(uint8_t, format_int(p + 1, value))
        o.used += 1 + cython.cast(cython.size_t, p[0])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _compressed(o: out_p, p: const_bytes, n: cython.size_t) -> cython.bint:
    """A string as LZF, where that saves something."""
    head: uint8_t[19]
    head_n: cython.size_t
    packed: bytep = rdb_scratch(o, n)
    used: cython.size_t
    if packed == cython.NULL:
        return False
    used = lzf_compress(p, n, packed, n - COMPRESS_SAVES_MIN)
    if used == 0:
        return False
    head[0] = cython.cast(uint8_t, ENCODED | RDB_ENC_LZF)
    head_n = 1 + _length(cython.address(head[1]), used)
    head_n += _length(cython.address(head[head_n]), n)
    rdb_write(o, head, head_n)
    rdb_write(o, packed, used)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_blob(o: out_p, p: const_bytes, n: cython.size_t) -> cython.void:
    """A string that is no number, compressed where that is asked for and saves something. p: not the scratch."""
    if o.compress and n > COMPRESS_MIN and _compressed(o, p, n):
        return
    rdb_length(o, n)
    rdb_write(o, p, n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rdb_string(o: out_p, p: const_bytes, n: cython.size_t) -> cython.void:
    """A string, in the shortest of its forms."""
    value: int64_t
    if n <= INT_TEXT_MAX and parse_int64(p, n, cython.address(value)) and _small_number(o, value):
        return
    rdb_blob(o, p, n)
