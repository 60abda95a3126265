"""The checksum of RDB files and DUMP payloads: CRC-64 of Redis, which is "Jones".

The polynomial is 0xad93d23594c935a9, bits are reflected, the initial value is 0, and nothing is added at the end
(Redis's crc64.c; of "123456789" it is 0xe9c6d914c4b8d9ca). The CRC of two pieces in a row is that of the second,
begun with the CRC of the first.

Eight bytes are taken at a time: table k holds the CRC of a byte followed by k zero bytes, so that the eight look-ups
of a step do not wait for one another ("slicing by 8", Kounavis and Berry, 2005). The steps do wait, each for the one
before. So a long piece is cut into lanes of LANE bytes, three of which advance together, each from zero:

    crc(A B C) = shift(shift(crc(A)) ^ crc(B)) ^ crc(C)             shift(x): x, followed by LANE zero bytes

for the CRC is linear. shift is one look-up per byte of x, in tables that are made once.
"""
import crcmod
import cython
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.shardd.base.native import load64

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

POLYNOMIAL = 0x1AD93D23594C935A9        # with the bit of x^64, as crcmod wants it
LANE = cython.declare(cython.size_t, 2048)      # bytes; long enough that two shifts cost little

_tables = cython.declare(uint64_t[256][8])
_shift = cython.declare(uint64_t[256][8])       # [k][b]: what byte k of a CRC becomes behind LANE zero bytes


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _step(x: uint64_t) -> uint64_t:
    """The CRC behind eight bytes that were xored to the CRC before them."""
    return (_tables[7][x & 255] ^ _tables[6][(x >> 8) & 255] ^ _tables[5][(x >> 16) & 255]
            ^ _tables[4][(x >> 24) & 255] ^ _tables[3][(x >> 32) & 255] ^ _tables[2][(x >> 40) & 255]
            ^ _tables[1][(x >> 48) & 255] ^ _tables[0][x >> 56])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _shifted(x: uint64_t) -> uint64_t:
    return (_shift[0][x & 255] ^ _shift[1][(x >> 8) & 255] ^ _shift[2][(x >> 16) & 255]
            ^ _shift[3][(x >> 24) & 255] ^ _shift[4][(x >> 32) & 255] ^ _shift[5][(x >> 40) & 255]
            ^ _shift[6][(x >> 48) & 255] ^ _shift[7][x >> 56])


def _fill_tables() -> None:
    byte: cython.int
    k: cython.int
    i: cython.size_t
    x: uint64_t
    crc_of = crcmod.mkCrcFun(POLYNOMIAL, initCrc=0, rev=True, xorOut=0)
    for byte in range(256):
        _tables[0][byte] = crc_of(bytes((byte,)))
    for k in range(1, 8):
        for byte in range(256):
            x = _tables[k - 1][byte]
            _tables[k][byte] = _tables[0][x & 255] ^ (x >> 8)
    for k in range(8):
        for byte in range(256):
            x = cython.cast(uint64_t, byte) << (8 * k)
            for i in range(LANE // 8):
                x = _step(x)
            _shift[k][byte] = x


_fill_tables()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def crc64(crc: uint64_t, p: const_bytes, n: cython.size_t) -> uint64_t:
    """The CRC of `n` bytes at `p` behind those whose CRC is `crc`."""
    b: uint64_t
    c: uint64_t
    i: cython.size_t
    while n >= 3 * LANE:
        b = 0
        c = 0
        for i in range(0, LANE, 8):
            crc = _step(crc ^ load64(p + i))
            b = _step(b ^ load64(p + LANE + i))
            c = _step(c ^ load64(p + 2 * LANE + i))
        crc = _shifted(_shifted(crc) ^ b) ^ c
        p += 3 * LANE
        n -= 3 * LANE
    while n >= 8:
        crc = _step(crc ^ load64(p))
        p += 8
        n -= 8
    while n > 0:
        crc = _tables[0][(crc ^ p[0]) & 255] ^ (crc >> 8)
        p += 1
        n -= 1
    return crc


def crc64_of(data: bytes, crc: cython.ulonglong = 0) -> int:
    """The CRC of `data` behind what had `crc`, for plain modules."""
    p: const_bytes = data
    return crc64(crc, p, len(data))
