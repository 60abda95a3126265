"""Situations of pauses about one large collection: it is filled, and then it goes, in each way that it can.

    hash:fill      `elements` elements are written, 16 in a command, 16 commands at once
    hash:expire    it falls due
    hash:unlink    UNLINK
    hash:del       DEL
    hash:evict     maxmemory drops below what it takes, with allkeys-lru

and likewise for set, list and zset. What makes it go ends when nothing waits to be freed any more.

Owns: what is sent. Does not own how it is measured (pauses).
"""
import socket
from collections.abc import Iterator
from typing import Final

from bench.servers import BenchError, Connection

TYPES: Final = ("hash", "set", "list", "zset")
WAYS: Final = ("fill", "expire", "unlink", "del", "evict")
SITUATIONS: Final = tuple(f"{kind}:{way}" for kind in TYPES for way in WAYS)
KEY: Final = "large"
WORDS: Final = 16
"""Elements of one command."""
PIPELINE: Final = 16
_ELEMENT: Final = {
    "hash": (b"HSET", (b"field:%012d", b"value-of-20-bytes-..")), "set": (b"SADD", (b"member:%09d",)),
    "list": (b"RPUSH", (b"element-%024d",)), "zset": (b"ZADD", (b"%010d", b"member:%09d"))}
"""Type -> command, and the words of one element, each of one length."""


def texts(name: str) -> str:
    """What a table says of a situation, with a place for the number of elements."""
    kind, _, way = name.partition(":")
    what = {"hash": "a hash", "set": "a set", "list": "a list", "zset": "a sorted set"}[kind]
    return {"fill": f"{what} of {{}} elements is written", "expire": f"{what} of {{}} falls due",
            "unlink": f"UNLINK of {what} of {{}}", "del": f"DEL of {what} of {{}}",
            "evict": f"{what} of {{}} is evicted"}[way]


def template(kind: str, count: int) -> bytes:
    """One command that adds so many elements, with a place for each number in it."""
    name, forms = _ELEMENT[kind]
    words = [name, KEY.encode(), *forms * count]
    lengths = [len(word % 0) if b"%" in word else len(word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % pair for pair in zip(lengths, words))


def numbers(kind: str, start: int, end: int) -> tuple[int, ...]:
    """What goes into those places for elements start ... end - 1; the order is not that of the scores."""
    if kind != "zset":
        return tuple(range(start, end))
    return tuple(part for number in range(start, end) for part in (number * 2654435761 % 2**32, number))


def requests(kind: str, elements: int) -> Iterator[tuple[bytes, int]]:
    """Pipelines, and how many commands are in each."""
    each = WORDS * PIPELINE
    whole = template(kind, WORDS) * PIPELINE
    for start in range(0, elements - elements % each, each):
        yield whole % numbers(kind, start, start + each), PIPELINE
    if rest := elements % each:
        yield template(kind, rest) % numbers(kind, elements - rest, elements), 1


def fill(port: int, kind: str, elements: int) -> None:
    """Write the collection. Raises BenchError for a reply that is an error, or OSError."""
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        for data, count in requests(kind, elements):
            sock.sendall(data)
            replies = b""
            while replies.count(b"\n") < count:
                more = sock.recv(65536)
                if not more:
                    raise BenchError("the server closed the connection while it was filled")
                replies += more
            if not replies.startswith(b":") or b"\n-" in replies:
                raise BenchError(f"the server refused elements: {replies[:80]!r}")


def length(connection: Connection, kind: str) -> int:
    """How many elements it has."""
    return connection.call({"hash": "HLEN", "set": "SCARD", "list": "LLEN", "zset": "ZCARD"}[kind], KEY)


def let_go(connection: Connection, way: str) -> None:
    """Make it go."""
    if way == "expire":
        connection.call("PEXPIRE", KEY, "1")
    elif way == "evict":
        used = int(connection.info("memory")["used_memory"])
        connection.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lru", "maxmemory", str(used // 2))
    else:
        connection.call(way.upper(), KEY)


def clean_up(connection: Connection, way: str) -> None:
    """As it was before."""
    if way == "evict":
        connection.call("CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "0")
