"""RDB data made by hand, byte by byte: files, DUMP payloads, and the collections in one block that old versions wrote.

Written from the format's description, not from the product's code, so that a test which reads what was made here proves
something. Nothing is compressed but by `lzf`.
"""
import struct
from collections.abc import Iterable

from shardd.structures.crc64 import crc64_of

STRING, LIST, SET, ZSET, HASH, ZSET_2 = 0, 1, 2, 3, 4, 5
MODULE_2, HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST = 7, 9, 10, 11, 12, 13
LIST_QUICKLIST, STREAM, HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2 = 14, 15, 16, 17, 18
STREAM_2, SET_LISTPACK, STREAM_3 = 19, 20, 21
HASH_METADATA_PRE_GA, HASH_LISTPACK_EX_PRE_GA, HASH_METADATA, HASH_LISTPACK_EX = 22, 23, 24, 25
STREAM_4, STREAM_5, ARRAY = 26, 27, 28
HASH_2 = 22         # of Valkey
EOF = b"\xff"

Item = bytes | int


def length(n: int, form: int = 0) -> bytes:
    """A length, in its shortest form or in one of 14, 32 or 64 bits."""
    if n < 64 and form == 0:
        return bytes([n])
    if n < 16384 and form in (0, 14):
        return bytes([64 | n >> 8, n & 255])
    if n < 2**32 and form in (0, 32):
        return b"\x80" + struct.pack(">I", n)
    return b"\x81" + struct.pack(">Q", n)


def string(data: bytes | str) -> bytes:
    """A string as it is."""
    data = data.encode() if isinstance(data, str) else data
    return length(len(data)) + data


def number(value: int) -> bytes:
    """A string that is an integer of up to 32 bits."""
    for code, kind in ((0, "<b"), (1, "<h"), (2, "<i")):
        if -2 ** (8 << code) // 2 <= value < 2 ** (8 << code) // 2:
            return bytes([0xC0 | code]) + struct.pack(kind, value)
    raise ValueError(value)


def lzf(unit: bytes, times: int) -> bytes:
    """A string that is `unit` (1 to 32 bytes) some times over, compressed by one long copy."""
    left = len(unit) * (times - 1)
    packed = bytes([len(unit) - 1]) + unit
    while left > 0:
        part = min(left, 264)
        part = part if left - part not in (1, 2) else part - 3
        if part < 9:
            packed += bytes([(part - 2) << 5, len(unit) - 1])
        else:
            packed += bytes([0xE0, part - 9, len(unit) - 1])
        left -= part
    return b"\xc3" + length(len(packed)) + length(len(unit) * times) + packed


def strings(items: Iterable[bytes | str]) -> bytes:
    """So many, and each of them."""
    items = list(items)
    return length(len(items)) + b"".join(map(string, items))


def pairs(items: dict[bytes, bytes]) -> bytes:
    """A hash, field by field."""
    return length(len(items)) + b"".join(string(word) for pair in items.items() for word in pair)


def listpack(items: Iterable[Item]) -> bytes:
    """Integers are written as such, bytes as strings."""
    items = list(items)
    body = b"".join(map(_listpack_item, items))
    return struct.pack("<IH", len(body) + 7, min(len(items), 65535)) + body + b"\xff"


def _listpack_item(item: Item) -> bytes:
    if isinstance(item, int):
        if 0 <= item < 128:
            data = bytes([item])
        elif -4096 <= item < 4096:
            data = bytes([0xC0 | (item >> 8 & 31), item & 255])
        else:
            mark, size = next((mark, size) for mark, size in ((0xF1, 2), (0xF2, 3), (0xF3, 4), (0xF4, 8))
                              if -2 ** (8 * size - 1) <= item < 2 ** (8 * size - 1))
            data = bytes([mark]) + item.to_bytes(size, "little", signed=True)
    elif len(item) < 64:
        data = bytes([0x80 | len(item)]) + item
    elif len(item) < 4096:
        data = bytes([0xE0 | len(item) >> 8, len(item) & 255]) + item
    else:
        data = b"\xf0" + struct.pack("<I", len(item)) + item
    size = len(data)
    back = [size & 127]
    while (size := size >> 7):
        back.append(size & 127)
    return data + bytes([back[-1], *(part | 128 for part in reversed(back[:-1]))])


def ziplist(items: Iterable[Item]) -> bytes:
    """The same in the form of Redis 2 to 6."""
    items = list(items)
    body = b""
    before = last = 0
    for item in items:
        entry = bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)
        entry += _ziplist_item(item)
        last = 10 + len(body)
        body += entry
        before = len(entry)
    return struct.pack("<IIH", len(body) + 11, last or 10, min(len(items), 65535)) + body + b"\xff"


def _ziplist_item(item: Item) -> bytes:
    if isinstance(item, int):
        if 0 <= item <= 12:
            return bytes([0xF1 + item])
        mark, size = next((mark, size) for mark, size in ((0xFE, 1), (0xC0, 2), (0xF0, 3), (0xD0, 4), (0xE0, 8))
                          if -2 ** (8 * size - 1) <= item < 2 ** (8 * size - 1))
        return bytes([mark]) + item.to_bytes(size, "little", signed=True)
    if len(item) < 64:
        return bytes([len(item)]) + item
    if len(item) < 16384:
        return bytes([64 | len(item) >> 8, len(item) & 255]) + item
    return b"\x80" + struct.pack(">I", len(item)) + item


def zipmap(items: dict[bytes, bytes], free: int = 0) -> bytes:
    """The hash of Redis 2.4; `free` bytes that mean nothing behind each value."""
    def size(data: bytes) -> bytes:
        return bytes([len(data)]) if len(data) < 254 else b"\xfe" + struct.pack("<I", len(data))

    body = b"".join(size(field) + field + size(value) + bytes([free]) + value + bytes(free)
                    for field, value in items.items())
    return bytes([min(len(items), 254)]) + body + b"\xff"


def intset(values: Iterable[int], width: int = 0) -> bytes:
    """Sorted integers of 2, 4 or 8 bytes; 0: of as many as they need."""
    values = sorted(values)
    width = width or next(size for size in (2, 4, 8) if all(-2 ** (8 * size - 1) <= value < 2 ** (8 * size - 1)
                                                            for value in values))
    return struct.pack("<II", width, len(values)) + b"".join(value.to_bytes(width, "little", signed=True)
                                                             for value in values)


def payload(kind: int, value: bytes, version: int = 9) -> bytes:
    """What DUMP gives."""
    body = bytes([kind]) + value + struct.pack("<H", version)
    return body + struct.pack("<Q", crc64_of(body))


def key(kind: int, name: bytes | str, value: bytes, expiry_ms: int | None = None) -> bytes:
    """A key in a file."""
    expiry = b"" if expiry_ms is None else b"\xfc" + struct.pack("<q", expiry_ms)
    return expiry + bytes([kind]) + string(name) + value


def file(body: bytes, version: int = 9, magic: str = "REDIS", checksum: int | None = None) -> bytes:
    """A whole file around keys and opcodes. checksum: another one than the right one."""
    digits = f"{version:04}" if magic == "REDIS" else f"{version:03}"
    data = magic.encode() + digits.encode() + body + EOF
    if version < 5 and magic == "REDIS":
        return data
    return data + struct.pack("<Q", crc64_of(data) if checksum is None else checksum)
