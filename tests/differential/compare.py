"""When two replies are the same, and what a keyspace is when it is compared."""

import contextlib
import time
from typing import Any

from harness import Conn, Error, Status, same
from harness.servers import redis_version

NEAR_S = 10           # two servers run the same command this far apart at most
SECONDS = {"TTL", "EXPIRETIME"}
MILLISECONDS = {"PTTL", "PEXPIRETIME"}
SET = Status("set")
ZSET = Status("zset")
HASH = Status("hash")
QUEUED = Status("QUEUED")
LIST = Status("list")
UNORDERED = {"KEYS", "SMEMBERS", "SINTER", "SUNION", "SDIFF", "SPOP", "HKEYS", "HVALS"}
# of these only the kind is comparable: a random key, a cursor's step, ages and sizes
KIND = {"RANDOMKEY", "SCAN", "MEMORY", "HELLO", "TIME", "SRANDMEMBER", "SSCAN", "HRANDFIELD", "HSCAN",
        "ZRANDMEMBER", "ZSCAN"}
KIND_OBJECT = {"IDLETIME", "FREQ", "REFCOUNT"}


class Judge:
    """Compares the replies of one connection, all of them in order: EXEC's are those of what was queued."""

    def __init__(self, split: bool = False) -> None:
        """split: see agree()."""
        self.split = split
        self._queued: list[tuple[bytes, ...]] = []

    def agree(self, command: tuple[bytes, ...], ours: Any, theirs: Any) -> bool:
        """Whether `ours` is the right reply to the next command."""
        if same(ours, QUEUED) and same(theirs, QUEUED):
            self._queued.append(command)
            return True
        name = command[0].upper()
        if name not in (b"EXEC", b"DISCARD", b"MULTI", b"RESET") or isinstance(theirs, Error) and name == b"MULTI":
            return agree(command, ours, theirs, self.split)
        queued, self._queued = self._queued, []
        if name == b"EXEC" and isinstance(theirs, list) and len(theirs) == len(queued):
            return isinstance(ours, list) and len(ours) == len(queued) and all(
                agree(*each, self.split) for each in zip(queued, ours, theirs, strict=True))
        return same(ours, theirs)


def agree(command: tuple[bytes, ...], ours: Any, theirs: Any, split: bool = False) -> bool:
    """Whether `ours` is the right reply where the real Redis gave `theirs`.

    split: keys may lie on several engines, and the target may refuse with CROSSSLOT what Redis finds wrong in another
    way.
    """
    name = command[0].decode("latin-1").upper()
    if name in ("ZRANK", "ZREVRANK") and len(command) > 3 and redis_version() < (7, 2):
        return isinstance(ours, Error) or command[3].upper() == b"WITHSCORE"       # which came with 7.2
    if isinstance(ours, Error) or isinstance(theirs, Error):
        if same(ours, theirs):
            return True
        refused = split and isinstance(ours, Error) and ours.code == "CROSSSLOT"
        return refused and isinstance(theirs, Error)
    if name in SECONDS or name in MILLISECONDS:
        near = NEAR_S * (1000 if name in MILLISECONDS else 1)
        return type(ours) is type(theirs) is int and (ours == theirs if min(ours,
                                                                            theirs) < 0 else abs(ours - theirs) <= near)
    if name.startswith("SORT") and isinstance(theirs, list) and _loosely_sorted(command, theirs):
        return type(ours) is type(theirs) and sorted(map(repr, ours)) == sorted(map(repr, theirs))
    if name in UNORDERED:
        return type(ours) is type(theirs) and sorted(ours) == sorted(theirs)
    if name == "HGETALL":
        return type(ours) is type(theirs) and _in_pairs(ours) == _in_pairs(theirs)
    if name == "OBJECT" and _packed(ours, theirs, split):
        return True
    if name in KIND or (name == "OBJECT" and len(command) > 1 and command[1].decode("latin-1").upper() in KIND_OBJECT):
        return type(ours) is type(theirs)
    if name.startswith(("Z", "BZ")) and redis_version() < (7, 2):
        return same(_shortest(ours), _shortest(theirs))
    return same(ours, theirs)


def _loosely_sorted(command: tuple[bytes, ...], reply: list) -> bool:
    """Whether SORT leaves open in which order some stand: a set's own order, texts that are equal up to a NUL."""
    words = [word.upper() for word in command]
    by = b"BY" in words
    if not by or b"*" not in command[words.index(b"BY") + 1]:
        return by or any(b"\0" in item for item in reply if item)
    return b"ALPHA" in words


def _shortest(reply: Any) -> Any:
    """A reply whose floats have the digits of Redis from 7.2 on."""
    if isinstance(reply, list):
        return [_shortest(item) for item in reply]
    if isinstance(reply, float):
        return float(reply)
    if isinstance(reply, bytes) and len(reply) > 16:
        with contextlib.suppress(ValueError):
            return repr(float(reply)).encode()
    return reply


def _in_pairs(reply: Any) -> list:
    """Fields and values in the fields' order, whichever protocol told them."""
    return sorted(reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True))


def _packed(ours: Any, theirs: Any, split: bool) -> bool:
    """Whether it is the encoding of a set or a list that only Redis from 7.2 on packs, of a sorted set to which ZADD
    named many members (from 7.2 on their number decides), or of one that SORT has read, which unpacks it in Redis.

    split: and what moved to another engine has the form that its present size asks for.
    """
    if (ours, theirs) == (b"listpack", b"skiplist"):
        return True
    if split and ours in (b"listpack", b"intset") and theirs in (b"hashtable", b"quicklist", b"listpack"):
        return True
    return redis_version() < (7, 2) and (ours, theirs) in (
        (b"listpack", b"hashtable"), (b"listpack", b"quicklist"), (b"skiplist", b"listpack"))


def keyspace(conn: Conn, databases: int = 16) -> dict[tuple[int, bytes], tuple]:
    """(database, key) -> (type, value, expiry in Unix ms, encoding) of everything. Leaves database 0 selected."""
    found = {}
    conn.must("HELLO 2")
    for db in range(databases):
        conn.must("SELECT", db)
        keys = sorted(conn.must("KEYS *"))
        assert len(set(keys)) == len(keys), f"KEYS names a key twice: {keys}"
        deadline = time.monotonic() + NEAR_S
        while conn.must("DBSIZE") != len(keys):  # it counts keys that are due until somebody removes them
            assert time.monotonic() < deadline, f"database {db}: DBSIZE is not the number of KEYS"
            time.sleep(0.02)
        replies = iter(conn.many(*[(name, *words, key) for key in keys for name, *words in (
            ("TYPE",), ("GET",), ("PEXPIRETIME",), ("OBJECT", "ENCODING"))]))
        for key in keys:
            found[db, key] = tuple(next(replies) for _ in range(4))
        for key in keys:
            kind, value, *rest = found[db, key]
            if kind == SET:
                found[db, key] = (kind, sorted(conn.must("SMEMBERS", key)), *rest)
            elif kind == LIST:
                found[db, key] = (kind, conn.must("LRANGE", key, 0, -1), *rest)
            elif kind == ZSET:
                found[db, key] = (kind, _shortest(conn.must("ZRANGE", key, 0, -1, "WITHSCORES")), *rest)
            elif kind == HASH:
                found[db, key] = (kind, _in_pairs(conn.must("HGETALL", key)), *rest)
    conn.must("SELECT 0")
    return found


def keyspaces_differ(ours: dict, theirs: dict, split: bool = False) -> str | None:
    """The first difference of two keyspaces in words, or None. split: see agree()."""
    for place in sorted(ours.keys() | theirs.keys()):
        mine, real = ours.get(place), theirs.get(place)
        if mine is None or real is None:
            return f"key {place}: ours {mine!r}, Redis {real!r}"
        same_form = mine[3] == real[3] or (
            (split or mine[0] in (SET, LIST, ZSET)) and _packed(mine[3], real[3], split))
        if not agree((b"PEXPIRETIME",), mine[2], real[2]) or mine[:2] != real[:2] or not same_form:
            return f"key {place}: ours {mine!r}, Redis {real!r}"
    return None
