"""Random plain values through the reply writer and back, read by a decoder that shares nothing with it."""
import math
import random

from shardd.wire.reply import Reply
from shardd.wire.scan import ReplyFeed
from shardd.wire.values import NULL_ARRAY, Push, Simple, Verbatim

Meaning = object


class Null:
    """A null on the wire."""


NULL = Null()


def make(chance: random.Random, depth: int = 0) -> object:
    """A value that a plain handler may return, at most five levels deep."""
    kind = chance.randrange(15 if depth < 5 else 10)
    if kind == 0:
        return chance.choice([None, NULL_ARRAY])
    if kind == 1:
        return chance.choice([True, False])
    if kind <= 3:
        bits = chance.choice([3, 8, 31, 63, 64, 80])
        return chance.getrandbits(bits) * chance.choice([1, -1])
    if kind == 4:
        return chance.choice([chance.uniform(-1e9, 1e9), chance.random() * 10.0 ** chance.randint(-320, 300), math.inf,
                              -math.inf, float(chance.getrandbits(53)), chance.getrandbits(10) / 4])
    if kind <= 7:
        return chance.randbytes(chance.choice([0, 1, 9, 10, chance.randrange(120), 1000]))
    if kind == 8:
        return Simple("".join(chance.choices("ab \x00é", k=chance.randrange(8))))
    if kind == 9:
        return chance.choice([str, Verbatim])("".join(chance.choices("ab\r\n€", k=chance.randrange(8))))
    items = [make(chance, depth + 1) for _ in range(chance.randrange(5))]
    if kind <= 11:
        return items if kind == 10 else tuple(items)
    if kind == 12:
        return {b"%d" % index: item for index, item in enumerate(items)}
    if kind == 13:
        return {chance.randbytes(3) for _ in items}
    return Push(items) if depth == 0 else items


def meaning(value: object, resp: int) -> Meaning:
    """What a decoder should make of a value."""
    if value is None or value is NULL_ARRAY:
        return NULL
    if isinstance(value, bool):
        return ("bool", value) if resp == 3 else int(value)
    if isinstance(value, int):
        if -2**63 <= value < 2**63:
            return value
        return ("big", value) if resp == 3 else b"%d" % value
    if isinstance(value, float):
        return ("double", value) if resp == 3 else ("text of", value)
    if isinstance(value, Simple):
        return ("simple", value.encode())
    if isinstance(value, Verbatim) and resp == 3:
        return ("verbatim", b"txt:" + value.encode())
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        flat = [meaning(item, resp) for pair in value.items() for item in pair]
        return ("%", flat) if resp == 3 else ("*", flat)
    mark = "~" if isinstance(value, set) else ">" if isinstance(value, Push) else "*"
    return (mark if resp == 3 else "*", [meaning(item, resp) for item in value])


def decode(data: bytes, at: int) -> tuple[Meaning, int]:
    """Read one reply at data[at:]; its meaning and its end."""
    mark = chr(data[at])
    end = data.index(b"\r\n", at)
    line = data[at + 1:end]
    end += 2
    if mark in "$=" and line != b"-1":
        text = data[end:end + int(line)]
        assert data[end + len(text):end + len(text) + 2] == b"\r\n"
        return (text if mark == "$" else ("verbatim", text)), end + len(text) + 2
    if mark in "*~>%" and line != b"-1":
        items = []
        for _ in range(int(line) * (2 if mark == "%" else 1)):
            item, end = decode(data, end)
            items.append(item)
        return (mark, items), end
    found = {"$": NULL, "*": NULL, "_": NULL, "#": ("bool", line == b"t"), "+": ("simple", line)}.get(mark)
    if found is None:
        found = {":": int, "(": lambda text: ("big", int(text)), ",": lambda text: ("double", float(text))}[mark](line)
    return found, end


def agree(theirs: Meaning, ours: Meaning) -> bool:
    """Whether a decoded meaning is the expected one; a double in RESP2 is its text."""
    if isinstance(ours, tuple) and ours[0] == "text of":
        return isinstance(theirs, bytes) and float(theirs) == ours[1]
    if isinstance(ours, tuple) and isinstance(ours[1], list):
        return (isinstance(theirs, tuple) and theirs[0] == ours[0] and len(theirs[1]) == len(ours[1])
                and all(map(agree, theirs[1], ours[1])))
    return type(theirs) is type(ours) and theirs == ours


def run(seed: int, inputs: int) -> None:
    """Check that many values; AssertionError names the one that failed."""
    chance = random.Random(seed)
    replies = [Reply(2), Reply(3)]
    for _ in range(inputs):
        value = make(chance)
        reply = chance.choice(replies)
        reply.write_value(value)
        data = reply.take()
        found, end = decode(data, 0)
        assert end == len(data) and agree(found, meaning(value, reply.resp)), (reply.resp, value, data)
        assert ReplyFeed().feed(data) == [data], (reply.resp, value, data)
