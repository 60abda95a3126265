"""Random commands that a real Redis and we must answer alike.

Everything is drawn from one `random.Random`, which may be hypothesis's (then it shrinks). What a reply depends on must
not depend on the clock: relative times to live are days away and all different, absolute ones are in the year 2096,
and a key that is due at once is touched by the next command, so that it is gone in both servers.

A transaction is given as a whole: what is watched, MULTI, the commands, EXEC. What would block finds something in its
first key. Commands of several keys take them from anywhere, but in a transaction from one slot: over several
engines those cannot be queued.
"""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from harness import rdb

INT64_MAX, INT64_MIN = 2**63 - 1, -2**63
FAR_S = 4_000_000_000
DATABASES = 3  # of sixteen: they should collide
JUNK = (b"", b"abc", b"-1", b"0", b"1", b"1.5", b" 1", b"1 ", b"+1", b"01", b"-0", b"0x10", b"1e3", b"nan", b"inf",
        b"-inf", b"\0",
        b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808", b"-9223372036854775809", b"NX", b"XX",
        b"GET",
        b"EX", b"PX", b"KEEPTTL", b"GT", b"LT", b"REPLACE", b"DB", b"IDX", b"LEN", b"*", b"[", b"\xff\xfe", b"x" * 130,
        b"\r\n")


class Profile(NamedTuple):
    """What a target can be asked."""

    name: str
    groups: tuple[tuple[bytes, ...], ...]  # keys; a command that is not split takes all of its keys from one group
    without: frozenset[str] = frozenset()  # commands that the target does not have


ENGINE = Profile("engine", ((b"a", b"b", b"c", b"", b"{t}1", b"{t}2", b"{t}3", b"bin\0\xff", b"k" * 70),))
TAGGED = Profile("tagged", ((b"{a}1", b"{a}2", b"{a}3"), (b"{b}1", b"{b}2"), (b"{foo}\0\xff", b"{foo}2"),
                           (b"x", b"{x}2")))

# thousands of keys, most of them in three slots: tables that grow and shrink under every command
WIDE = Profile("wide", tuple(tuple(b"{%c}%d" % (tag, n) for n in range(1500)) for tag in b"uvw"),
               frozenset({"FLUSHDB"}))


TYPES = 5
_SETS = ("SADD", "SREM", "SISM", "SMISM", "SCARD", "SMEM", "SPOP", "SRAND", "SMOVE", "SSCAN", "SINTER", "SUNION",
         "SDIFF")
_GENERIC = {"DEL", "UNLINK", "EXISTS", "TOUCH", "TYPE", "RENAME", "RENAMENX", "COPY", "MOVE", "EXPIRE", "PEXPIRE",
            "EXPIREAT", "PEXPIREAT", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST", "OBJECT", "MEMORY",
            "RANDOMKEY", "SORT", "SORT_RO", "RESTORE"}


def _type_of(name: str) -> int | None:
    """A number for each type of values, by the commands that are for it; None: for all."""
    if name in _GENERIC:
        return None
    name = name.removeprefix("B")
    if name[0] in "ZH":
        return "ZH".index(name[0])
    if name.startswith(_SETS):
        return 2
    return 3 if name[0] in "LR" and name != "LCS" else 4


class Generator:
    """Makes commands for one profile. A command is a tuple of bytes; `next` may give two that belong together."""

    def __init__(self, rng: Random, profile: Profile, lane: int = 0, lanes: int = 1) -> None:
        """lane: which of so many it is that make commands for the same keys."""
        self.rng = rng
        self.profile = profile
        self._relative, self._lanes = lane, lanes
        self.type: int | None = None
        self.group = profile.groups[0]
        self._makers = [(name, maker) for name, maker,
                        weight in MAKERS for _ in range(weight) if name not in profile.without]

    def more(self, makers: list[tuple[str, Callable, int]]) -> None:
        """Commands beside those of MAKERS, in its form."""
        self._makers += [(name, maker) for name, maker, weight in makers for _ in range(weight)]

    def next(self) -> list[tuple[bytes, ...]]:
        """One command, or those that belong together: one and what makes its effect visible, or a transaction."""
        name, maker = self.rng.choice(self._makers)
        self.group = self.rng.choice(self.profile.groups)
        if name == "MULTI":
            return self._transaction()
        return self._make(name, maker)

    def _transaction(self) -> list[tuple[bytes, ...]]:
        rng = self.rng
        commands = []
        if rng.random() < 0.2:
            commands.append((b"WATCH", *self.group[:rng.choice([1, 2])]))
            if rng.random() < 0.5:
                key = self.group[0]
                commands.append(rng.choice([(b"UNWATCH",), (b"SET", key, b"spoilt"), (b"GET", key)]))
        commands.append((b"MULTI",))
        for _ in range(rng.choice([0, 1, 2, 2, 3, 5, 8])):
            name, maker = rng.choice(self._makers)
            if name in NOT_QUEUED:
                continue
            self.group = rng.choice(self.profile.groups)
            self.group = tuple(_near(self))
            commands += self._make(name, maker)
        commands.append(rng.choice([(b"EXEC",)] * 9 + [(b"DISCARD",)]))
        return commands

    def _make(self, name: str, maker: Callable) -> list[tuple[bytes, ...]]:
        self.type = _type_of(name)
        words = [word if isinstance(word, (bytes, Key)) else str(word).encode() for word in maker(self)]
        if name == "DUE":
            return [(b"SET", *map(bytes, words)), (b"EXISTS", bytes(words[0]))]
        command = [name.encode(), *words]
        if self.rng.random() < 0.07 and name not in WHOLE:
            self._break(command)
        elif self.rng.random() < 0.05:
            command[0] = command[0].lower()
        if name in NO_SMALLEST:
            command = [b"%d" % (INT64_MIN + 1) if word == b"%d" % INT64_MIN else word for word in command]
        made = [tuple(map(bytes, command))]
        if name.startswith("SORT") and len(command) > 1:
            # Redis 7.0 takes an overflow of any command before for one of its own numbers; a cursor makes it forget
            made.insert(0, (b"SSCAN", bytes(command[1]), b"0"))
        if name in BLOCKING:
            key = bytes(words[2 if name.endswith("MPOP") else 0])
            made.insert(0, (b"ZADD", key, b"1", b"first") if name.startswith("BZ") else (b"RPUSH", key, b"first"))
        return made

    def _break(self, command: list) -> None:
        """Drops, adds or replaces a word; keys stay, so that a command does not wander to another slot."""
        # a 1 among them would turn a time to live into one that ends during the run
        junk = self.rng.choice(JUNK[:JUNK.index(b"1")] + JUNK[JUNK.index(b"1") + 1:])
        places = [at for at in range(1, len(command)) if not isinstance(command[at], Key)]
        kind = self.rng.randrange(4)
        if kind == 1 and command[0].decode() in KEYS_TO_THE_END:
            kind = 0
        if kind == 0 and len(command) > 1:
            command.pop()
        elif kind == 1:
            command.append(junk)
        elif kind == 2 and places:
            command[self.rng.choice(places)] = junk
        else:
            command[0] = self.rng.choice([b"NOSUCH", command[0] + b"X", b""])

    # --- parts --------------------------------------------------------------------------------------------------------

    def key(self) -> "Key":
        """A key of the command's group, mostly one of those that commands of its type prefer."""
        preferred = self.group[self.type::TYPES] if self.type is not None and self.rng.random() < 0.93 else ()
        return Key(self.rng.choice(preferred or self.group))

    def any_key(self) -> "Key":
        """A key of any group, for commands that are split."""
        return Key(self.rng.choice(self.rng.choice(self.profile.groups)))

    def value(self) -> bytes:
        rng = self.rng
        kind = rng.randrange(12)
        if kind < 4:
            return b"%d" % rng.randint(-1000, 1000)
        if kind == 4:
            return b"%d" % rng.choice([INT64_MAX, INT64_MIN, INT64_MAX - rng.randrange(20),
                                       INT64_MIN + rng.randrange(20),
                                       INT64_MAX + 1, INT64_MIN - 1])
        if kind == 5:
            return f"{rng.uniform(-100, 100):.{rng.randrange(0, 17)}f}".encode()
        if kind == 6:
            return rng.choice(JUNK)
        if kind == 7:
            return b"v" * rng.choice([0, 1, 20, 43, 44, 45, 46, 63, 64, 65, 127, 128, 255, 256, 1000, 5000])
        if kind == 8:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(0, 12)))
        return rng.choice([b"hello", b"ohmytext", b"mynewtext", b"abcabcabc", b"x"])

    def integer(self) -> bytes:
        rng = self.rng
        if rng.random() < 0.8:
            return b"%d" % rng.randint(-50, 50)
        return b"%d" % rng.choice([INT64_MAX, INT64_MIN, INT64_MAX - 10, INT64_MIN + 10, 10**18, -10**18])

    def offset(self) -> bytes:
        if self.rng.random() < 0.95:
            return b"%d" % self.rng.randint(-20, 60)
        return b"%d" % self.rng.choice([-1, INT64_MAX, INT64_MIN, 2**29, 2**31, 2**32, -2**31])

    def relative_s(self) -> int:
        """Seconds to live that no other command uses: GT and LT must not meet a tie that hangs on the clock."""
        self._relative += self._lanes
        return 1_000_000 + self._relative * 7919 % 100_000 * 100

    def time(self, unit_ms: int, absolute: bool) -> bytes:
        """A time in the future, sometimes one that is refused."""
        rng = self.rng
        if rng.random() < 0.04:
            return rng.choice([b"abc", b"1.5", b"9223372036854775808", b"", b"%d" % INT64_MAX, b"%d" % INT64_MIN])
        if absolute:
            seconds = FAR_S + rng.randrange(4) * 1000
            return b"%d" % (seconds if unit_ms == 1000 else seconds * 1000 + rng.choice([0, 1, 499, 500, 501, 999]))
        return b"%d" % (self.relative_s() * (1 if unit_ms == 1000 else 1000))

    def time_option(self) -> list[bytes]:
        name = self.rng.choice([b"EX", b"PX", b"EXAT", b"PXAT"])
        return [name, self.time(1 if name[:1] == b"P" else 1000, name.endswith(b"AT"))]

    def database(self) -> bytes:
        if self.rng.random() < 0.05:
            return self.rng.choice([b"16", b"-1", b"abc", b"2147483648"])
        return b"%d" % self.rng.randrange(DATABASES)


class Key(bytes):
    """A word that is a key."""


WAIT = Key(b"0.001")    # seconds


def _set(g: Generator) -> list:
    words = [g.key(), g.value()]
    if g.rng.random() < 0.5:
        options = [[b"NX"], [b"XX"], [b"GET"], [b"KEEPTTL"], g.time_option(), g.time_option()]
        for option in g.rng.sample(options, g.rng.choice([1, 1, 1, 2, 2, 3])):
            words += option
    return words


def _due(g: Generator) -> list:
    return [g.key(), g.value(), g.rng.choice([b"PXAT", b"EXAT"]), b"1"]


def _getex(g: Generator) -> list:
    kind = g.rng.randrange(4)
    tail = [] if kind == 0 else [b"PERSIST"] if kind == 1 else g.time_option()
    return [g.key(), *tail]


def _expire(unit_ms: int, absolute: bool) -> Callable[[Generator], list]:
    def make(g: Generator) -> list:
        if g.rng.random() < 0.06:
            when = g.rng.choice([b"-1", b"-100"] + ([b"0", b"1"] if absolute else [b"0"]))
        else:
            when = g.time(unit_ms, absolute)
        options = g.rng.sample([b"NX", b"XX", b"GT", b"LT", b"gt"], g.rng.choice([0, 0, 0, 1, 1, 1, 2]))
        return [g.key(), when, *options]

    return make


def _copy(g: Generator) -> list:
    words = [g.key(), g.key()]
    if g.rng.random() < 0.4:
        words += [b"DB", g.database()]
    if g.rng.random() < 0.5:
        words.append(b"REPLACE")
    return words


# what Redis 7.0 takes, and two that nobody does
PAYLOADS = [
    rdb.payload(rdb.STRING, rdb.string("value")), rdb.payload(rdb.STRING, rdb.number(-77)),
    rdb.payload(rdb.LIST_QUICKLIST, rdb.strings([rdb.ziplist([b"a", 1, b"b"])])),
    rdb.payload(rdb.SET, rdb.strings(["a", "b", "5"])),
    rdb.payload(rdb.SET_INTSET, rdb.string(rdb.intset([1, 2, 70000]))),
    rdb.payload(rdb.HASH_ZIPMAP, rdb.string(rdb.zipmap({b"f": b"v", b"n": b"5"}))),
    rdb.payload(rdb.ZSET_ZIPLIST, rdb.string(rdb.ziplist([b"a", 1, b"b", 2]))),
    rdb.payload(rdb.SET, rdb.strings(["a", "a"])), rdb.payload(rdb.STRING, rdb.string("value"))[:-1],
]


def _restore(g: Generator) -> list:
    # 1 without any ABSTTL would be a millisecond: a key that goes when it likes
    past = [Key(b"1"), Key(b"ABSTTL"), Key(b"ABSTTL")]
    ttl = g.rng.choice([[b"0"], [g.relative_s() * 1000], [g.time(1, True), b"ABSTTL"], past, [b"-1"]])
    return [g.key(), ttl[0], g.rng.choice(PAYLOADS), *ttl[1:], *g.rng.choice([[], [b"REPLACE"], [b"REPLACE"]])]


def _lcs(g: Generator) -> list:
    options = g.rng.choice([[], [b"LEN"], [b"IDX"], [b"IDX", b"WITHMATCHLEN"], [b"IDX", b"MINMATCHLEN", b"2"],
                            [b"LEN", b"IDX"], [b"WITHMATCHLEN"], [b"IDX", b"MINMATCHLEN", b"3", b"WITHMATCHLEN"]])
    return [g.key(), g.key(), *options]


def _pairs(pick: str) -> Callable[[Generator], list]:
    def make(g: Generator) -> list:
        return [word for _ in range(g.rng.choice([1, 1, 2, 3, 6])) for word in (getattr(g, pick)(), g.value())]

    return make


def _many(g: Generator) -> list:
    return [g.any_key() for _ in range(g.rng.choice([1, 1, 2, 3, 7]))]


def _one(g: Generator) -> list:
    return [g.key()]


def _two(g: Generator) -> list:
    return [g.key(), g.key()]


def _keys(g: Generator) -> list:
    return [g.rng.choice([b"*", b"a*", b"{*}1", b"?", b"[a-c]", b"[^a]*", b"nothing", b"*\\", b"{?}[12]", b"*\xff"])]


def _members(g: Generator) -> list:
    """Words that often meet again: small integers, a few texts, sometimes more than a packed set holds."""
    rng = g.rng
    if rng.random() < 0.04:
        start = rng.randrange(300)
        return [b"%s%d" % (rng.choice([b"", b"m"]), n) for n in range(start, start + rng.choice([100, 130, 300, 520]))]
    count = rng.choice([1, 1, 2, 3, 8])
    return [g.value() if rng.random() < 0.2 else b"%d" % rng.randint(-5, 12) for _ in range(count)]


def _with_members(g: Generator) -> list:
    return [g.key(), *_members(g)]


def _field(g: Generator) -> bytes:
    """Names that often meet again, sometimes one that no packed hash holds."""
    return g.value() if g.rng.random() < 0.1 else b"f%d" % g.rng.randint(0, 9)


def _fields(g: Generator) -> list:
    return [_field(g) for _ in range(g.rng.choice([1, 1, 2, 3, 8]))]


def _field_pairs(g: Generator) -> list:
    if g.rng.random() < 0.04:
        start = g.rng.randrange(300)
        return [word for n in range(start, start + g.rng.choice([100, 130, 520])) for word in (b"n%d" % n, b"v")]
    return [word for field in _fields(g) for word in (field, g.value())]


def _hscan(g: Generator) -> list:
    tail = g.rng.choice([[], [b"COUNT", b"1000"], [b"MATCH", b"f*"], [b"COUNT", b"0"], [b"BOGUS", b"1"]])
    return [g.key(), Key(g.rng.choice([b"0", b"0", b"abc"])), *tail]


def _some_keys(g: Generator) -> list:
    return [g.key() for _ in range(g.rng.choice([1, 2, 2, 2, 3, 5]))]


def _store_sets(g: Generator) -> list:
    return [g.key() for _ in range(g.rng.choice([2, 3, 3, 4, 5]))]


def _smove(g: Generator) -> list:
    return [g.key(), g.key(), _members(g)[0]]


def _sintercard(g: Generator) -> list:
    keys = _some_keys(g)
    limit = [] if g.rng.random() < 0.6 else [b"LIMIT", g.rng.choice([b"0", b"1", b"3", b"1000", b"-1"])]
    return [Key(b"%d" % len(keys)), *keys, *limit]      # the number of keys stays, or there are other keys


def _sscan(g: Generator) -> list:
    tail = g.rng.choice([[], [b"COUNT", b"1000"], [b"MATCH", b"*1"], [b"COUNT", b"0"], [b"BOGUS", b"1"]])
    return [g.key(), Key(g.rng.choice([b"0", b"0", b"abc"])), *tail]


def _elements(g: Generator) -> list:
    """Words that often meet again, sometimes more than one node of a list holds."""
    if g.rng.random() < 0.05:
        return [b"%s%d" % (g.rng.choice([b"", b"element:"]), n % 200) for n in range(g.rng.choice([100, 700, 1500]))]
    return _members(g)[:100] if g.rng.random() < 0.9 else [b"w" * g.rng.choice([4000, 8000, 8192, 8193, 66_000])]


def _push(g: Generator) -> list:
    return [g.key(), *_elements(g)]


def _end(g: Generator) -> bytes:
    return g.rng.choice([b"LEFT", b"RIGHT", b"left"])


def _index(g: Generator) -> bytes:
    return g.offset() if g.rng.random() < 0.8 else b"%d" % g.rng.randint(-1500, 1500)


def _pop(g: Generator) -> list:
    return [g.key()] + ([] if g.rng.random() < 0.6 else [g.rng.choice([b"0", b"1", b"2", b"10", b"600", b"-1"])])


def _trim(g: Generator) -> list:
    """Mostly little of it, or there would be no long list."""
    if g.rng.random() < 0.3:
        return [g.key(), _index(g), _index(g)]
    return [g.key(), b"%d" % g.rng.choice([0, 0, 1, 5, 300]), b"%d" % g.rng.choice([-1, -2, -7, 2000])]


def _lpos(g: Generator) -> list:
    options = [[b"RANK", g.rng.choice([b"1", b"-1", b"2", b"-3", b"0"])], [b"COUNT", g.rng.choice([b"0", b"1", b"3"])],
               [b"MAXLEN", g.rng.choice([b"0", b"1", b"100", b"-1"])]]
    return [g.key(), _members(g)[0], *(word for option in g.rng.sample(options, g.rng.randrange(4)) for word in option)]


def _insert(g: Generator) -> list:
    return [g.key(), g.rng.choice([b"BEFORE", b"AFTER", b"after"]), _members(g)[0], _elements(g)[0]]


def _near(g: Generator) -> list[Key]:
    """All keys of the command's group that lie in one slot."""
    def tag(key: bytes) -> bytes:
        start = key.find(b"{")
        end = key.find(b"}", start + 1)
        return key[start + 1:end] if 0 <= start < end - 1 else key

    chosen = tag(g.key())
    return [Key(key) for key in g.group if tag(key) == chosen]


def _move(g: Generator) -> list:
    return [g.key(), g.key(), _end(g), _end(g)]


def _rpoplpush(g: Generator) -> list:
    return _move(g)[:2]


def _lmpop(g: Generator) -> list:
    keys = _some_keys(g)
    tail = [] if g.rng.random() < 0.5 else [b"COUNT", g.rng.choice([b"1", b"3", b"500", b"0"])]
    return [Key(b"%d" % len(keys)), *keys, Key(_end(g)), *tail]


def _score(g: Generator) -> bytes:
    """What all versions print alike: whole numbers, quarters, infinities; now and then no score at all."""
    rng = g.rng
    if rng.random() < 0.05:
        return rng.choice([b"inf", b"-inf", b"+inf", b"nan", b"", b"abc", b"1e400", b"0x10", b"1e3", b"(1"])
    return b"%d" % rng.randint(-4, 9) if rng.random() < 0.7 else b"%g" % (rng.randint(-20, 20) / 4)


def _zadd(g: Generator) -> list:
    rng = g.rng
    options = rng.sample([b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"], rng.choice([0, 0, 0, 0, 1, 1, 2]))
    members = _members(g)
    if b"INCR" in options and rng.random() < 0.9:
        members = members[:1]
    return [g.key(), *options, *(word for member in members for word in (_score(g), member))]


def _score_end(g: Generator) -> bytes:
    return g.rng.choice([b"-inf", b"+inf", b"(", b"", b""]) if g.rng.random() < 0.3 else (
        g.rng.choice([b"", b"", b"("]) + _score(g))


def _lex_end(g: Generator) -> bytes:
    """The outermost ends: what lies between others is only defined where all scores are equal."""
    return g.rng.choice([b"-", b"+", b"-", b"+", b"-", b"+", b"x"])


def _limit(g: Generator) -> list:
    if g.rng.random() < 0.6:
        return []
    return [b"LIMIT", g.rng.choice([b"0", b"1", b"2", b"-1", b"x"]), g.rng.choice([b"0", b"1", b"3", b"-1", b"100"])]


def _zrange_words(g: Generator, stores: bool) -> list:
    rng = g.rng
    scores = [b"WITHSCORES"] if rng.random() < (0.03 if stores else 0.4) else []
    reverse = [b"REV"] if rng.random() < 0.4 else []
    kind = rng.randrange(4)
    if kind == 0:
        return [_score_end(g), _score_end(g), b"BYSCORE", *reverse, *_limit(g), *scores]
    if kind == 1:
        return [_lex_end(g), _lex_end(g), b"BYLEX", *reverse, *_limit(g)]
    return [b"%d" % rng.randint(-6, 9), b"%d" % rng.randint(-6, 12), *reverse, *scores,
            *(_limit(g) if rng.random() < 0.1 else [])]


def _zrange(g: Generator) -> list:
    return [g.key(), *_zrange_words(g, False)]


def _zrangestore(g: Generator) -> list:
    return [g.key(), g.key(), *_zrange_words(g, True)]


def _by_score(g: Generator) -> list:
    return [g.key(), _score_end(g), _score_end(g), *_limit(g), *([b"WITHSCORES"] if g.rng.random() < 0.3 else [])]


def _zmpop(g: Generator) -> list:
    keys = _some_keys(g)
    count = [] if g.rng.random() < 0.5 else [b"COUNT", g.rng.choice([b"0", b"1", b"2", b"500"])]
    return [Key(b"%d" % len(keys)), *keys, g.rng.choice([b"MIN", b"MAX", b"max", b"MID"]), *count]


def _zalgebra(scores: bool, weights: bool) -> Callable[[Generator], list]:
    """numkeys and keys, and what may follow."""
    def make(g: Generator) -> list:
        rng = g.rng
        keys = _some_keys(g)
        words = [Key(b"%d" % len(keys)), *keys]
        if weights and rng.random() < 0.4:
            words += [b"WEIGHTS", *(_score(g) for _ in keys)]
        if weights and rng.random() < 0.4:
            words += [b"AGGREGATE", rng.choice([b"SUM", b"MIN", b"MAX", b"AVG"])]
        return words + ([b"WITHSCORES"] if scores and rng.random() < 0.7 else [])

    return make


def _zintercard(g: Generator) -> list:
    return _zalgebra(False, False)(g) + ([] if g.rng.random() < 0.6 else [b"LIMIT", g.rng.choice([b"0", b"2", b"-1"])])


def _zalgebra_store(weights: bool) -> Callable[[Generator], list]:
    def make(g: Generator) -> list:
        return [g.key(), *_zalgebra(False, weights)(g)]

    return make


def _pattern(g: Generator) -> bytes:
    """Of keys or of a hash's field: one whose star stands for a number, which the members mostly are."""
    key = g.key()
    if not key[-1:].isdigit():
        return g.rng.choice([b"*", b"nosort", key])
    return key[:-1] + b"*" + g.rng.choice([b"", b"", b"->f1", b"->f2"])


def _sort(stores: bool) -> Callable[[Generator], list]:
    def make(g: Generator) -> list:
        rng = g.rng
        by = [Key(b"BY"), Key(_pattern(g))] if rng.random() < 0.4 else []
        store = [b"STORE", g.key()] if stores and rng.random() < 0.4 else []
        alpha = [b"ALPHA"] if rng.random() < 0.6 else []
        loose = by and (alpha or b"*" not in by[1])         # equal ones, or a set's own, come in any order
        if loose:
            store = []
        gets = [word for _ in range(rng.choice([0, 0, 0, 1, 2])) for word in (b"GET", rng.choice([b"#", _pattern(g)]))]
        options = [by, alpha, [] if loose else _limit(g), rng.choice([[], [], [b"DESC"], [b"asc"]]), gets,
                   [Key(word) for word in store]]
        rng.shuffle(options)
        return [g.key(), *(word for option in options for word in option)]

    return make


def _blocking_keys(g: Generator) -> list:
    return [*_some_keys(g), WAIT]


def _blocking_mpop(maker: Callable[[Generator], list]) -> Callable[[Generator], list]:
    return lambda g: [WAIT, *maker(g)]


def _scan(g: Generator) -> list:
    tail = g.rng.choice([[], [b"COUNT", b"100"], [b"MATCH", b"*"], [b"TYPE", b"string"], [b"COUNT", b"0"],
                         [b"COUNT", b"x"],
                         [b"BOGUS", b"1"], [b"MATCH"]])
    return [Key(g.rng.choice([b"0", b"0", b"abc"])), *tail]  # strtoul's taste in cursors is left to Redis


# name, maker of the words after it, weight
MAKERS = [
    ("SET", _set, 16), ("DUE", _due, 1), ("GET", _one, 8), ("GETSET", lambda g: [g.key(), g.value()], 2),
    ("GETDEL", _one, 1),
    ("GETEX", _getex, 3), ("SETNX", lambda g: [g.key(), g.value()], 2),
    ("SETEX", lambda g: [g.key(), g.time(1000, False), g.value()], 2),
    ("PSETEX", lambda g: [g.key(), g.time(1, False), g.value()], 2), ("MGET", _many, 3), ("MSET", _pairs("any_key"), 3),
    ("MSETNX", _pairs("key"), 2), ("INCR", _one, 3), ("DECR", _one, 3), ("INCRBY", lambda g: [g.key(), g.integer()], 3),
    ("DECRBY", lambda g: [g.key(), g.integer()], 3), ("INCRBYFLOAT", lambda g: [g.key(), g.value()], 4),
    ("APPEND", lambda g: [g.key(), g.value()], 4), ("STRLEN", _one, 2),
    ("SETRANGE", lambda g: [g.key(), g.offset(), g.value()], 4),
    ("GETRANGE", lambda g: [g.key(), g.offset(), g.offset()], 4),
    ("SUBSTR", lambda g: [g.key(), g.offset(), g.offset()], 1),
    ("LCS", _lcs, 3), ("DEL", _many, 3), ("UNLINK", _many, 1), ("EXISTS", _many, 2), ("TOUCH", _many, 1),
    ("TYPE", _one, 1),
    ("RENAME", _two, 3), ("RENAMENX", _two, 3), ("COPY", _copy, 3), ("RESTORE", _restore, 3),
    ("MOVE", lambda g: [g.key(), g.database()], 2),
    ("SELECT", lambda g: [g.database()], 3), ("SWAPDB", lambda g: [g.database(), g.database()], 1),
    ("RANDOMKEY", lambda g: [], 1),
    ("DBSIZE", lambda g: [], 2), ("KEYS", _keys, 1), ("SCAN", _scan, 1), ("EXPIRE", _expire(1000, False), 3),
    ("PEXPIRE", _expire(1, False), 3), ("EXPIREAT", _expire(1000, True), 3), ("PEXPIREAT", _expire(1, True), 3),
    ("TTL", _one, 2),
    ("PTTL", _one, 2), ("EXPIRETIME", _one, 2), ("PEXPIRETIME", _one, 2), ("PERSIST", _one, 3),
    ("OBJECT", lambda g: [g.rng.choice([b"ENCODING", b"ENCODING", b"REFCOUNT", b"IDLETIME", b"FREQ"]), g.key()], 3),
    ("MEMORY", lambda g: [b"USAGE", g.key()], 1), ("ECHO", lambda g: [g.value()], 1), ("PING", lambda g: [], 1),
    ("SADD", _with_members, 16), ("SREM", _with_members, 8), ("SISMEMBER", lambda g: [g.key(), _members(g)[0]], 3),
    ("SMISMEMBER", _with_members, 2), ("SCARD", _one, 2), ("SMEMBERS", _one, 4), ("SINTER", _some_keys, 3),
    # which member a smaller count would take is chance, and what follows would differ
    ("SPOP", lambda g: [g.key(), Key(g.rng.choice([b"100000", b"0"]))], 3),
    ("SRANDMEMBER", lambda g: [g.key(), g.rng.choice([b"3", b"-3", b"0", b"1000"])], 2),
    ("SMOVE", _smove, 4), ("SSCAN", _sscan, 1), ("SINTERCARD", _sintercard, 3),
    ("SINTERSTORE", _store_sets, 3), ("SUNION", _some_keys, 3), ("SUNIONSTORE", _store_sets, 3),
    ("SDIFF", _some_keys, 3), ("SDIFFSTORE", _store_sets, 3),
    ("RPUSH", _push, 12), ("LPUSH", _push, 12), ("LPUSHX", _push, 3), ("RPUSHX", _push, 3), ("LLEN", _one, 2),
    ("LPOP", _pop, 5), ("RPOP", _pop, 5), ("LINDEX", lambda g: [g.key(), _index(g)], 4),
    ("LSET", lambda g: [g.key(), _index(g), _elements(g)[0]], 5), ("LTRIM", _trim, 3), ("LINSERT", _insert, 6),
    ("LRANGE", lambda g: [g.key(), _index(g), _index(g)], 5), ("LPOS", _lpos, 4), ("LMOVE", _move, 5),
    ("LREM", lambda g: [g.key(), g.rng.choice([b"0", b"1", b"-1", b"2", b"-30"]), _members(g)[0]], 5),
    ("RPOPLPUSH", _rpoplpush, 3), ("LMPOP", _lmpop, 3),
    ("HSET", lambda g: [g.key(), *_field_pairs(g)], 12), ("HMSET", lambda g: [g.key(), *_field_pairs(g)], 2),
    ("HSETNX", lambda g: [g.key(), _field(g), g.value()], 3), ("HGET", lambda g: [g.key(), _field(g)], 3),
    ("HMGET", lambda g: [g.key(), *_fields(g)], 2), ("HDEL", lambda g: [g.key(), *_fields(g)], 6),
    ("HEXISTS", lambda g: [g.key(), _field(g)], 1), ("HSTRLEN", lambda g: [g.key(), _field(g)], 1), ("HLEN", _one, 1),
    ("HGETALL", _one, 2), ("HKEYS", _one, 1), ("HVALS", _one, 1),
    ("HINCRBY", lambda g: [g.key(), _field(g), g.integer()], 4),
    ("HINCRBYFLOAT", lambda g: [g.key(), _field(g), g.value()], 3), ("HSCAN", _hscan, 1),
    ("HRANDFIELD", lambda g: [g.key(), g.rng.choice([b"3", b"-3", b"0", b"1000"])], 1),
    ("ZADD", _zadd, 20), ("ZINCRBY", lambda g: [g.key(), _score(g), _members(g)[0]], 5), ("ZREM", _with_members, 5),
    ("ZCARD", _one, 2), ("ZSCORE", lambda g: [g.key(), _members(g)[0]], 3), ("ZMSCORE", _with_members, 2),
    ("ZRANK", lambda g: [g.key(), _members(g)[0]], 3), ("ZREVRANK", lambda g: [g.key(), _members(g)[0]], 3),
    ("ZRANGE", _zrange, 12), ("ZRANGESTORE", _zrangestore, 4), ("ZRANGEBYSCORE", _by_score, 4),
    ("ZREVRANGEBYSCORE", _by_score, 4), ("ZREVRANGE", lambda g: [g.key(), g.integer(), g.integer()], 2),
    ("ZRANGEBYLEX", lambda g: [g.key(), _lex_end(g), _lex_end(g), *_limit(g)], 2),
    ("ZREVRANGEBYLEX", lambda g: [g.key(), _lex_end(g), _lex_end(g), *_limit(g)], 1),
    ("ZCOUNT", lambda g: [g.key(), _score_end(g), _score_end(g)], 3),
    ("ZLEXCOUNT", lambda g: [g.key(), _lex_end(g), _lex_end(g)], 1),
    ("ZREMRANGEBYRANK", lambda g: [g.key(), b"%d" % g.rng.randint(-3, 60), b"%d" % g.rng.randint(-60, 9)], 3),
    ("ZREMRANGEBYSCORE", lambda g: [g.key(), _score_end(g), _score_end(g)], 2),
    ("ZREMRANGEBYLEX", lambda g: [g.key(), _lex_end(g), _lex_end(g)], 1),
    ("ZPOPMIN", lambda g: [g.key(), *g.rng.choice([[], [b"2"], [b"0"], [b"-1"], [b"70"]])], 3),
    ("ZPOPMAX", lambda g: [g.key(), *g.rng.choice([[], [b"2"], [b"0"], [b"x"], [b"70"]])], 3), ("ZMPOP", _zmpop, 3),
    ("ZRANDMEMBER", lambda g: [g.key(), g.rng.choice([b"3", b"-3", b"0", b"1000"])], 2), ("ZSCAN", _sscan, 1),
    ("ZUNION", _zalgebra(True, True), 3), ("ZINTER", _zalgebra(True, True), 3), ("ZDIFF", _zalgebra(True, False), 3),
    ("ZUNIONSTORE", _zalgebra_store(True), 4), ("ZINTERSTORE", _zalgebra_store(True), 3),
    ("ZDIFFSTORE", _zalgebra_store(False), 3), ("ZINTERCARD", _zintercard, 2),
    ("SORT", _sort(True), 6), ("SORT_RO", _sort(False), 3), ("BLPOP", _blocking_keys, 1), ("BRPOP", _blocking_keys, 1),
    ("BLMOVE", lambda g: [*_move(g), WAIT], 1), ("BRPOPLPUSH", lambda g: [g.key(), g.key(), WAIT], 1),
    ("BLMPOP", _blocking_mpop(_lmpop), 1), ("BZPOPMIN", _blocking_keys, 1), ("BZPOPMAX", _blocking_keys, 1),
    ("BZMPOP", _blocking_mpop(_zmpop), 1), ("MULTI", lambda g: [], 8),
    ("HELLO", lambda g: [g.rng.choice([b"2", b"3"])], 1), ("FLUSHDB", lambda g: [], 1),
]
# a word more would be a key, of another slot
KEYS_TO_THE_END = {"SINTER", "SINTERSTORE", "SUNION", "SUNIONSTORE", "SDIFF", "SDIFFSTORE"}
# Redis before 7.2 takes this number here for another one
NO_SMALLEST = {"LREM", "LPOS"}
BLOCKING = {"BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP"}
# broken forms of these would end the comparison of shapes, let chance decide, or block
WHOLE = {"HELLO", "SPOP", *BLOCKING}
# A proxy does some of these itself, behind the engines' part; a key that falls due is due for each server at its own
# time; patterns of SORT cannot be queued over several slots; ZRANK has another arity before 7.2, which would end it
NOT_QUEUED = {"MULTI", "DUE", "HELLO", "KEYS", "SCAN", "DBSIZE", "RANDOMKEY", "FLUSHDB", "SWAPDB", "SORT",
              "SORT_RO", "ZRANK", "ZREVRANK"}
