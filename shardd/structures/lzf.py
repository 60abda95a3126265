"""LZF: compression that is fast rather than strong, for the inner nodes of lists and for strings in RDB files.

The compressed form is a row of tokens, each of which begins with a control byte:

    000LLLLL <L + 1 bytes>              these 1 to 32 bytes as they are
    LLLooooo oooooooo                   L + 2 bytes (3 to 8) that were there o + 1 bytes ago (1 to 8,192), L = 1 .. 6
    111ooooo LLLLLLLL oooooooo          L + 9 bytes (9 to 264) that were there o + 1 bytes ago

The high bits of the distance come first. A copy may overlap what it makes: distance 1 repeats one byte. There is no
header and no end mark: both sizes are known from elsewhere. (Source: the format of Marc Lehmann's LibLZF, as Redis's
lists and RDB files have it.)

The compressor remembers, in a table under a hash of three bytes, where these last were; what it finds there it compares
and takes as far as it goes. The table is not cleared for each input, which would cost more than a short one itself:
places count on from one input to the next, and what is from before this one does not count.

Nothing is proven of the input to the decompressor: every length and distance is checked.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.base.native import bytep, ctz64, load32, load64

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

LITERALS_MAX = cython.declare(cython.size_t, 32)
MATCH_MIN = cython.declare(cython.size_t, 3)
MATCH_MAX = cython.declare(cython.size_t, 264)
DISTANCE_MAX = cython.declare(cython.size_t, 8192)
INPUT_MAX = cython.declare(cython.size_t, 1 << 31)      # places in the table have 32 bits, and count on:
BASE_MAX = cython.declare(uint32_t, (1 << 31) - 16)
SHORT_MAX = cython.declare(cython.size_t, 256)
THREE = cython.declare(uint32_t, 0xFFFFFF)              # the lower bytes of four

_table = cython.declare(uint32_t[8192])     # hash of three bytes -> base + 1 + where they last began; else nowhere
_base = cython.declare(uint32_t, 0)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _hash(three: uint32_t, shift: cython.int) -> uint32_t:
    return (three * cython.cast(uint32_t, 2654435761)) >> shift


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _literals(p: const_bytes, n: cython.size_t, out: bytep, room: cython.size_t) -> cython.size_t:
    """Write bytes as they are; how many bytes that takes, or more than `room`, and nothing of use is written then."""
    part: cython.size_t
    at: cython.size_t = 0
    while n > 0:
        part = n if n < LITERALS_MAX else LITERALS_MAX
        if at + part + 1 > room:
            return room + 1
        out[at] = cython.cast(uint8_t, part - 1)
        memcpy(out + at + 1, p, part)
        at += part + 1
        p += part
        n -= part
    return at


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _matching(a: const_bytes, b: const_bytes, most: cython.size_t) -> cython.size_t:
    """How many of `most` bytes are the same, the first three of which are."""
    n: cython.size_t = MATCH_MIN
    other: uint64_t
    while n + 8 <= most:
        other = load64(a + n) ^ load64(b + n)
        if other != 0:
            return n + (ctz64(other) >> 3)
        n += 8
    while n < most and a[n] == b[n]:
        n += 1
    return n


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lzf_compress(p: const_bytes, n: cython.size_t, out: bytep, room: cython.size_t) -> cython.size_t:
    """Compress `n` bytes; the bytes written, 0 where they are more than `room`."""
    global _base
    at: cython.size_t = 0           # in the input
    done: cython.size_t = 0         # of it, in the output
    used: cython.size_t = 0         # of the output
    end: cython.size_t              # of what is looked at: four bytes must be there, and there must be room
    before: cython.size_t
    length: cython.size_t
    distance: cython.size_t
    base: uint32_t = _base
    shift: cython.int = 19 if n > SHORT_MAX else 23     # of a short one, few cache lines of the table are used
    slot: uint32_t
    four: uint32_t
    if n > INPUT_MAX:
        return 0
    if base > BASE_MAX:
        memset(_table, 0, cython.sizeof(_table))
        base = 0
    _base = base + cython.cast(uint32_t, n)
    while True:
        end = n - 3 if n > 3 else 0
        if end > done + room - used:
            end = done + room - used
        while at < end:
            four = load32(p + at)
            slot = _hash(four & THREE, shift)
            before = _table[slot]
            _table[slot] = base + cython.cast(uint32_t, at) + 1
            if before > base:
                before -= base + 1
                if at - before <= DISTANCE_MAX and (load32(p + before) ^ four) & THREE == 0:
                    break
            at += 1
        if at >= end:
            break
        length = _matching(p + before, p + at, n - at if n - at < MATCH_MAX else MATCH_MAX)
        used += _literals(p + done, at - done, out + used, room - used)
        if used + 3 > room:
            return 0
        distance = at - before - 1
        if length < 9:
            out[used] = cython.cast(uint8_t, (length - 2) << 5 | distance >> 8)
        else:
            out[used] = cython.cast(uint8_t, 224 | distance >> 8)
            out[used + 1] = cython.cast(uint8_t, length - 9)
            used += 1
        out[used + 1] = cython.cast(uint8_t, distance & 255)
        used += 2
        at += length
        done = at
        if at + 2 <= n:
            _table[_hash(load32(p + at - 2) & THREE, shift)] = base + cython.cast(uint32_t, at) - 1
    used += _literals(p + done, n - done, out + used, room - used)
    return used if used <= room else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lzf_decompress(p: const_bytes, n: cython.size_t, out: bytep, room: cython.size_t) -> cython.size_t:
    """The reverse; the bytes written, 0 where the input is no LZF or gives more than `room`."""
    at: cython.size_t = 0
    used: cython.size_t = 0
    length: cython.size_t
    distance: cython.size_t
    i: cython.size_t
    while at < n:
        length = p[at]
        at += 1
        if length < 32:
            length += 1
            if at + length > n or used + length > room:
                return 0
            memcpy(out + used, p + at, length)
            at += length
            used += length
            continue
        distance = (length & 31) << 8
        length >>= 5
        if length == 7:
            if at >= n:
                return 0
            length += p[at]
            at += 1
        if at >= n:
            return 0
        distance |= p[at]
        at += 1
        distance += 1
        length += 2
        if distance > used or used + length > room:
            return 0
        if distance >= length:
            memcpy(out + used, out + used - distance, length)
        else:
            for i in range(length):     # it overlaps: byte by byte
                out[used + i] = out[used + i - distance]
        used += length
    return used


def compress(data: bytes, room: int = -1) -> bytes | None:
    """The compressed form; None where it is longer than `room` bytes (-1: than the data)."""
    n: cython.size_t = len(data)
    most: cython.size_t = n if room < 0 else room
    out: bytep = cython.cast(bytep, malloc(most + 4))
    used: cython.size_t
    if out == cython.NULL:
        raise MemoryError
    try:
        used = lzf_compress(cython.cast(bytep, cython.cast(cython.p_char, data)), n, out, most)
        return cython.cast(cython.p_char, out)[:used] if used or not n else None
    finally:
        free(out)


def decompress(data: bytes, size: int) -> bytes:
    """The `size` bytes that were compressed. Raises ValueError where the data is not the LZF of so many bytes."""
    most: cython.size_t = size
    out: bytep = cython.cast(bytep, malloc(most + 1))
    if out == cython.NULL:
        raise MemoryError
    try:
        if lzf_decompress(cython.cast(bytep, cython.cast(cython.p_char, data)), len(data), out, most) != most:
            raise ValueError("not LZF, or of another size")
        return cython.cast(cython.p_char, out)[:most]
    finally:
        free(out)
