"""The keyed hash of every table: SipHash-1-3 with a secret drawn at process start.

A client that can choose keys must not be able to choose collisions, so the hash is a pseudo-random function of a
secret that never leaves the process. SipHash (Aumasson and Bernstein, 2012) with one compression and three
finalisation rounds is what CPython uses for str; a 16-byte key costs about 10 ns.
"""
import os

import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.shardd.base.native import load32, load64

_start = cython.declare(uint64_t[4])        # SipHash's four constants, mixed with the secret


@cython.cfunc
@cython.inline
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _rotate(x: uint64_t, bits: cython.int) -> uint64_t:
    return (x << bits) | (x >> (64 - bits))


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def hash_key(p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> uint64_t:
    """64 bits that depend on all `n` bytes at `p` and on the process secret."""
    v0: uint64_t = _start[0]
    v1: uint64_t = _start[1]
    v2: uint64_t = _start[2]
    v3: uint64_t = _start[3]
    left: cython.Py_ssize_t = n
    word: uint64_t
    round_: cython.int
    last: cython.bint = False
    while True:
        if left >= 8:
            word = load64(p)
            p += 8
            left -= 8
        else:
            word = cython.cast(uint64_t, n & 0xFF) << 56
            if left & 4:
                word |= load32(p)
                if left & 2:
                    word |= (cython.cast(uint64_t, p[4]) << 32) | (cython.cast(uint64_t, p[5]) << 40)
                    if left & 1:
                        word |= cython.cast(uint64_t, p[6]) << 48
                elif left & 1:
                    word |= cython.cast(uint64_t, p[4]) << 32
            elif left & 2:
                word |= cython.cast(uint64_t, p[0]) | (cython.cast(uint64_t, p[1]) << 8)
                if left & 1:
                    word |= cython.cast(uint64_t, p[2]) << 16
            elif left & 1:
                word |= p[0]
            last = True
        v3 ^= word
        v0 += v1
        v1 = _rotate(v1, 13) ^ v0
        v0 = _rotate(v0, 32)
        v2 += v3
        v3 = _rotate(v3, 16) ^ v2
        v0 += v3
        v3 = _rotate(v3, 21) ^ v0
        v2 += v1
        v1 = _rotate(v1, 17) ^ v2
        v2 = _rotate(v2, 32)
        v0 ^= word
        if last:
            break
    v2 ^= 0xFF
    for round_ in range(3):
        v0 += v1
        v1 = _rotate(v1, 13) ^ v0
        v0 = _rotate(v0, 32)
        v2 += v3
        v3 = _rotate(v3, 16) ^ v2
        v0 += v3
        v3 = _rotate(v3, 21) ^ v0
        v2 += v1
        v1 = _rotate(v1, 17) ^ v2
        v2 = _rotate(v2, 32)
    return v0 ^ v1 ^ v2 ^ v3


def set_secret(secret: bytes) -> None:
    """Replace the secret (16 bytes). For tests only, before any table exists: existing tables would be lost.

    Raises ValueError where the length is not 16.
    """
    if len(secret) != 16:
        raise ValueError("the hash secret has 16 bytes")
    low = int.from_bytes(secret[:8], "little")
    high = int.from_bytes(secret[8:], "little")
    _start[0] = low ^ 0x736F6D6570736575
    _start[1] = high ^ 0x646F72616E646F6D
    _start[2] = low ^ 0x6C7967656E657261
    _start[3] = high ^ 0x7465646279746573


def hash_bytes(key: bytes) -> int:
    """The hash of `key`, for tests and plain modules."""
    data: cython.pointer(cython.const[uint8_t]) = key
    return hash_key(data, len(key))


set_secret(os.urandom(16))
