"""Which of the 16,384 hash slots a key belongs to: CRC16 (XMODEM) of its hash tag, modulo 16,384.

    "user:{1000}:name"  ->  hash tag "1000"  ->  crc16("1000") & 16383
          ^    ^            the bytes between the first "{" and the first "}" after it; the whole key where
                            there is no such pair or nothing between them

The polynomial is 0x1021, initial value 0, no reflection (Redis cluster specification, "Keys distribution
model"). The CRC is taken eight bytes at a time: table k holds the CRC of a byte followed by k zero bytes, so that
the eight look-ups of a step do not wait for one another ("slicing by 8", Kounavis and Berry, 2005).
"""
import crcmod.predefined
import cython
from cython.cimports.libc.stdint import uint8_t, uint16_t
from cython.cimports.libc.string import memchr

from shardd.base import limits

SLOTS = limits.SLOTS

_tables = cython.declare(uint16_t[256][8])


def _fill_tables() -> None:
    byte: cython.int
    k: cython.int
    crc_of = crcmod.predefined.mkCrcFun("xmodem")
    for k in range(8):
        for byte in range(256):
            _tables[k][byte] = crc_of(bytes((byte,)) + bytes(k))


_fill_tables()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def crc16(p: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> uint16_t:
    """CRC16/XMODEM of `n` bytes at `p`."""
    crc: uint16_t = 0
    while n >= 8:
        crc = (_tables[7][p[0] ^ (crc >> 8)] ^ _tables[6][p[1] ^ (crc & 0xFF)]
               ^ _tables[5][p[2]] ^ _tables[4][p[3]] ^ _tables[3][p[4]]
               ^ _tables[2][p[5]] ^ _tables[1][p[6]] ^ _tables[0][p[7]])
        p += 8
        n -= 8
    while n > 0:
        crc = cython.cast(uint16_t, (crc << 8) & 0xFFFF) ^ _tables[0][(crc >> 8) ^ p[0]]
        p += 1
        n -= 1
    return crc


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def key_slot(key: cython.pointer(cython.const[uint8_t]), n: cython.Py_ssize_t) -> uint16_t:
    """The slot of a key of `n` bytes."""
    close: cython.pointer(cython.const[uint8_t])
    tag: cython.pointer(cython.const[uint8_t]) = cython.cast(
        cython.pointer(cython.const[uint8_t]), memchr(key, 123, n)) if n else cython.NULL
    if tag != cython.NULL:
        tag += 1
        close = cython.cast(cython.pointer(cython.const[uint8_t]), memchr(tag, 125, n - (tag - key)))
        if close != cython.NULL and close != tag:
            return crc16(tag, close - tag) & 16383
    return crc16(key, n) & 16383


def slot_of(key: bytes) -> int:
    """The slot of `key`, for plain modules."""
    data: cython.pointer(cython.const[uint8_t]) = key
    return key_slot(data, len(key))
