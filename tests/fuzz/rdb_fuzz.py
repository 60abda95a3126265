"""Mutated RDB files and RESTORE payloads of all types, with their checksums made right again, since nothing damaged
gets past those otherwise.

Whatever comes in, nothing crashes; what is accepted is sound (keyspace.audit walks it), survives DUMP and RESTORE with
the same digest, and what is refused leaves nothing behind: neither a key nor a byte of memory.
"""
import random
import struct
from collections.abc import Callable

from harness import OK, Error, Status, rdb
from shardd.base.clock import mono_us
from shardd.journal.rdb_in import RdbError, RdbSource
from shardd.journal.rdb_load import RdbLoader
from shardd.journal.rdb_load_build import Thresholds
from shardd.structures.alloc import used_memory
from shardd.structures.crc64 import crc64_of
from unit.inproc import Engine

FAR = 4_000_000_000_000
SOON = 1_000        # ms since 1970: long due
INTERESTING = [0, 1, 2, 5, 9, 10, 11, 12, 62, 63, 64, 65, 126, 127, 128, 129, 192, 193, 194, 195, 196, 224, 239, 240,
               241, 242, 243, 244, 245, 253, 254, 255]
NUMBERS = [0, 1, 2, 7, 10, 11, 63, 127, 128, 254, 255, 256, 4095, 4096, 16383, 16384, 65534, 65535, 65536, 2**31 - 1,
           2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
VERSIONS = [6, 9, 10, 11, 12, 13, 14, 80, 81]


def words(chance: random.Random, count: int) -> list[bytes]:
    """Different ones, some of them integers."""
    found: dict[bytes, None] = {}
    while len(found) < count:
        word = chance.choice([lambda: b"%d" % chance.randrange(-10**chance.randrange(1, 19), 10**9),
                              lambda: chance.randbytes(chance.choice([0, 1, 5, 30, 63, 64, 65, 130, 260]))])()
        found[word] = None
    return list(found)


def items(texts: list[bytes]) -> list[rdb.Item]:
    """As a packed collection has them: integers as such."""
    return [int(text) if text.lstrip(b"-").isdigit() and str(int(text)).encode() == text and abs(int(text)) < 2**62
            else text for text in texts]


def stream(chance: random.Random, kind: int) -> bytes:
    """Two nodes, a group, a consumer, with something pending; the nodes' content is not looked at."""
    def ids(count: int) -> bytes:
        return b"".join(rdb.length(chance.randrange(2**40)) for _ in range(count))

    nodes = b"".join(rdb.string(chance.randbytes(16)) + rdb.string(rdb.listpack([1, 2, 3])) for _ in range(2))
    pending = chance.randbytes(16)
    return (rdb.length(2) + nodes + ids(3 if kind == rdb.STREAM else 8) + rdb.length(1) + rdb.string("group")
            + ids(2 if kind == rdb.STREAM else 3) + rdb.length(1) + pending + bytes(8) + rdb.length(1) + rdb.length(1)
            + rdb.string("consumer") + bytes(16 if kind >= rdb.STREAM_3 else 8) + rdb.length(1) + pending
            + (rdb.length(1) + pending if kind == rdb.STREAM_5 else b"") + (
                ids(2) + rdb.length(1) + rdb.string("producer") + rdb.length(1) + rdb.string("added") + ids(4)
                if kind >= rdb.STREAM_4 else b""))


def array(chance: random.Random) -> bytes:
    """An element of each kind."""
    return (rdb.length(4) + b"\1\5" + b"\0\1" + bytes(8) + b"\1\2" + bytes(8) + b"\2\3" + rdb.string("small")
            + rdb.length(chance.randrange(2**60)) + b"\0" + rdb.string("large"))


def module(chance: random.Random) -> bytes:
    """One piece of each kind."""
    return (rdb.length(2**40) + b"\x01" + rdb.length(5) + b"\x02" + rdb.length(7) + b"\x03" + bytes(4) + b"\x04"
            + bytes(8) + b"\x05" + rdb.string("text") + b"\x00")


def make(chance: random.Random) -> tuple[int, bytes, int]:
    """A sound value: its type, its bytes, a version in which it means that."""
    count = chance.choice([1, 2, 3, 8, 20, 40])
    texts = words(chance, 2 * count)
    packed = items(texts)
    half = dict(zip(texts[:count], texts[count:]))
    scores = [chance.choice([0, 1, -5, 2.5, 1e300, float("inf"), 12345678901]) for _ in range(count)]
    marks = [FAR + chance.randrange(1000) if chance.random() < .5 else 0 for _ in range(count)]
    scored = [word for score, text in sorted(zip(scores, packed[:count]), key=lambda pair: pair[0])
              for word in (text, int(score) if score == score // 1 and abs(score) < 2**60 else repr(score).encode())]
    flat = [word for pair in zip(packed[:count], packed[count:]) for word in pair]
    timed = [word for i in range(count) for word in (packed[i], packed[count + i], marks[i])]
    numbers = {chance.randrange(-2**b, 2**b) for b in (3, 7, 14, 15, 16, 30, 31, 40, 62)[:chance.randrange(1, 10)]}
    earliest = min([mark for mark in marks if mark], default=0)
    redis, valkey, old = chance.choice([12, 13]), chance.choice([80, 81]), chance.choice(VERSIONS)
    makers: list[Callable[[], tuple[int, bytes, int]]] = [
        lambda: (rdb.STRING, rdb.string(texts[0] * chance.randrange(1, 9)), old),
        lambda: (rdb.STRING, rdb.number(chance.randrange(-2**31, 2**31)), old),
        lambda: (rdb.STRING, rdb.lzf(b"abcdef"[:chance.randrange(1, 6)], chance.randrange(3, 300)), old),
        lambda: (rdb.LIST, rdb.strings(texts), old),
        lambda: (rdb.LIST_ZIPLIST, rdb.string(rdb.ziplist(packed)), old),
        lambda: (rdb.LIST_QUICKLIST, rdb.strings([rdb.ziplist(packed), rdb.ziplist(packed[:3])]), old),
        lambda: (rdb.LIST_QUICKLIST_2, rdb.length(3) + b"\x02" + rdb.string(rdb.listpack(packed)) + b"\x01"
                 + rdb.string(b"plain" * 100) + b"\x02" + rdb.string(rdb.listpack(packed)), old),
        lambda: (rdb.SET, rdb.strings(texts), old),
        lambda: (rdb.SET, rdb.strings([b"%d" % n for n in numbers]), old),
        lambda: (rdb.SET_INTSET, rdb.string(rdb.intset(numbers)), old),
        lambda: (rdb.SET_LISTPACK, rdb.string(rdb.listpack(packed)), old),
        lambda: (rdb.ZSET, rdb.length(count) + b"".join(
            rdb.string(text) + (b"\xfe" if score == float("inf") else rdb.string(repr(score)))
            for text, score in zip(texts, scores)), old),
        lambda: (rdb.ZSET_2, rdb.length(count) + b"".join(
            rdb.string(text) + struct.pack("<d", score) for text, score in zip(texts, scores)), old),
        lambda: (rdb.ZSET_ZIPLIST, rdb.string(rdb.ziplist(scored)), old),
        lambda: (rdb.ZSET_LISTPACK, rdb.string(rdb.listpack(scored)), old),
        lambda: (rdb.HASH, rdb.pairs(half), old),
        lambda: (rdb.HASH_ZIPMAP, rdb.string(rdb.zipmap(half, chance.randrange(3))), old),
        lambda: (rdb.HASH_ZIPLIST, rdb.string(rdb.ziplist(flat)), old),
        lambda: (rdb.HASH_LISTPACK, rdb.string(rdb.listpack(flat)), old),
        lambda: (rdb.HASH_METADATA_PRE_GA, rdb.length(count) + b"".join(
            rdb.length(marks[i]) + rdb.string(texts[i]) + rdb.string(texts[count + i]) for i in range(count)), redis),
        lambda: (rdb.HASH_METADATA, struct.pack("<Q", earliest) + rdb.length(count) + b"".join(
            rdb.length(marks[i] - earliest + 1 if marks[i] else 0) + rdb.string(texts[i])
            + rdb.string(texts[count + i]) for i in range(count)), redis),
        lambda: (rdb.HASH_LISTPACK_EX_PRE_GA, rdb.string(rdb.listpack(timed)), redis),
        lambda: (rdb.HASH_LISTPACK_EX, struct.pack("<Q", earliest) + rdb.string(rdb.listpack(timed)), redis),
        lambda: (rdb.HASH_2, rdb.length(count) + b"".join(
            rdb.string(texts[i]) + rdb.string(texts[count + i]) + struct.pack("<q", marks[i] or -1)
            for i in range(count)), valkey),
    ]
    return chance.choice(makers)()


def mutated(chance: random.Random, data: bytes, other: bytes) -> bytes:
    """With one to four changes, some of them with a piece of another one's."""
    out = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3, 4])):
        at = chance.randrange(len(out) + 1)
        kind = chance.randrange(10)
        if kind <= 1 and at < len(out):
            out[at] ^= 1 << chance.randrange(8)
        elif kind <= 3 and at < len(out):
            out[at] = chance.choice(INTERESTING)
        elif kind == 4 and at < len(out):
            out[at] = (out[at] + chance.choice([-1, 1])) & 255
        elif kind == 5:
            form = chance.choice(["<H", "<I", "<Q", ">I", ">Q"])
            size = struct.calcsize(form)
            out[at:at + size] = struct.pack(form, chance.choice(NUMBERS) % 2 ** (8 * size))
        elif kind == 6:
            del out[at:at + chance.choice([1, 1, 2, 5, 50, len(out)])]
        elif kind == 7:
            out[at:at] = chance.randbytes(chance.choice([1, 1, 2, 5, 50]))
        elif kind == 8:
            start = chance.randrange(len(out) + 1)
            out[at:at] = out[start:start + chance.randrange(60)]
        else:
            start = chance.randrange(len(other) + 1)
            out[at:at + chance.randrange(30)] = other[start:start + chance.randrange(30)]
    return bytes(out)


class Fuzzer:
    """Two engines: one for payloads, one for files."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.engine = Engine("--enable-debug-command", "yes", "--databases", "2")
        self.accepted = self.refused = 0
        self.config = dict.fromkeys((
            "hash-max-listpack-entries", "hash-max-listpack-value", "zset-max-listpack-entries",
            "zset-max-listpack-value", "set-max-intset-entries", "set-max-listpack-entries", "set-max-listpack-value",
            "list-max-listpack-size", "list-compress-depth"), 0)
        self.engine.settle()

    def thresholds(self) -> None:
        """Other ones now and then, so that all forms are made."""
        for name in self.config:
            if name == "list-compress-depth":
                value = self.chance.choice([0, 1])
            elif name == "list-max-listpack-size":
                value = self.chance.choice([-2, -1, 4, 128])
            else:
                value = self.chance.choice([0, 3, 64, 128])
            self.config[name] = value
            assert self.engine("CONFIG", "SET", name, value) == OK

    def payloads(self, count: int) -> None:
        """That many RESTOREs."""
        chance, engine = self.chance, self.engine
        for n in range(count):
            if n % 500 == 0:
                self.thresholds()
            kind, value, version = make(chance)
            other = make(chance)[1]
            body = bytes([kind]) + value
            sound = chance.random() < .05
            if not sound:
                body = mutated(chance, body, other)
                if chance.random() < .1:
                    version = chance.choice(VERSIONS)
            body += struct.pack("<H", version)
            data = body + struct.pack("<Q", crc64_of(body))
            reply = engine("RESTORE", "k", 0, data, "REPLACE")
            if reply == OK:
                self.accepted += 1
                self.held(data)
            else:
                self.refused += 1
                assert not sound, (data, reply)
                assert reply == Error("ERR Bad data format"), (data, reply)
                assert engine("EXISTS", "k") == 0, data
        engine.settle()
        assert engine.check() == used_memory(), "memory was lost"

    def held(self, data: bytes) -> None:
        """What was accepted is sound, and is the same again behind DUMP and RESTORE."""
        engine = self.engine
        engine.check()
        digest = engine("DEBUG", "DIGEST-VALUE", "k")
        dumped = engine("DUMP", "k")
        if dumped is None:
            assert engine("TYPE", "k") in (Status("hash"), Status("none")), data      # all fields were due
        else:
            if engine("TYPE", "k") == Status("hash"):
                digest = engine("DEBUG", "DIGEST-VALUE", "k")           # without what DUMP came upon
            assert engine("RESTORE", "copy", 0, dumped, "REPLACE") == OK, data
            engine.check()
            assert engine("DEBUG", "DIGEST-VALUE", "copy") == digest, data
        assert engine("DEL", "k", "copy") >= 0

    def body(self) -> bytes:
        """Keys of a file, with opcodes between them."""
        chance = self.chance
        parts = [b"\xfa" + rdb.string("redis-ver") + rdb.string("7.0.0"), b"\xfe" + rdb.length(0),
                 b"\xfb" + rdb.length(5) + rdb.length(chance.choice([0, 3, 2**40]))]
        for n in range(chance.randrange(1, 9)):
            kind, value, _ = make(chance)
            name = b"key:%d" % n
            parts.append(chance.choice([
                b"", b"", b"\xf8" + rdb.length(77), b"\xf9\x05", b"\xfd" + struct.pack("<i", 2**31 - 1),
                b"\xfe" + rdb.length(1), b"\xf4" + rdb.length(1) * 3, b"\xf5" + rdb.string("#!lua name=x"),
                b"\xf7" + module(chance), b"\xf3" + rdb.length(1) + b"abcd" + module(chance)[9:]]))
            if chance.random() < .2:
                kind = chance.choice([rdb.STREAM, rdb.STREAM_2, rdb.STREAM_3, rdb.STREAM_4, rdb.STREAM_5, rdb.MODULE_2,
                                      rdb.ARRAY])
                value = (module(chance) if kind == rdb.MODULE_2 else array(chance) if kind == rdb.ARRAY
                         else stream(chance, kind))
            parts.append(rdb.key(kind, name, value, chance.choice([None, None, FAR, SOON])))
        return b"".join(parts)

    def files(self, count: int) -> None:
        """That many files."""
        chance = self.chance
        keyspace = self.engine.server.keyspace
        for n in range(count):
            if n % 500 == 0:
                self.thresholds()
            version = chance.choice(VERSIONS)
            magic = "VALKEY" if version >= 80 else "REDIS"
            body = self.body()
            if chance.random() < .95:
                body = mutated(chance, body, self.body())
            data = rdb.file(body, version, magic)
            if chance.random() < .05:
                data = mutated(chance, data, body)
            options = {"keep_expired": chance.random() < .5, "skip_unsupported": chance.random() < .8,
                       "replace": chance.random() < .3}
            if chance.random() < .3:
                options["slots"] = bytes([1]) * 8192 + bytes(8192)
            loader = RdbLoader(keyspace, RdbSource(data), Thresholds(self.config), **options)
            try:
                while not loader.step(mono_us() + chance.choice([0, 1000])):
                    pass
                self.accepted += 1
                assert loader.position <= loader.total
            except RdbError as error:
                self.refused += 1
                assert 0 <= error.offset <= len(data), error
            del loader
            self.engine.check()
            self.engine("FLUSHALL")
            while keyspace.free_step(100_000):
                pass
            assert self.engine.check() == used_memory(), "memory was lost"


def run(seed: int, payloads: int, files: int) -> tuple[int, int]:
    """Check that many; how many were accepted, and refused."""
    fuzzer = Fuzzer(seed)
    fuzzer.payloads(payloads)
    fuzzer.files(files)
    return fuzzer.accepted, fuzzer.refused
