"""What users write -> commands: words with placeholders, tests by name, mixes.

Owns: the placeholders, the named tests, where a command's key is. Does not own bytes with holes (script).

    __key__         the prefix and 12 digits: the next key of the distribution; each one in a command is another
    __rand_int__    12 digits, drawn in the same way
    __rand_1st__    12 digits, the same wherever it stands in one command; also 2nd, 3rd, and 4th to 9th
    __serial__      12 digits, counted up by one with each command
    __data__        a value

They may stand inside of a word ("user:__rand_int__:name"). The first number in a command's first key is special: it
decides over the engine in a cluster, and so it is drawn before the rest.
"""
import random
import re
import shlex
import string
from dataclasses import dataclass
from typing import Any

from bench.load.script import DATA, DIGITS, DIGITS_BYTES, HEADER, KEY, OWN, SERIAL, SHARED, TEXT
from shardd.commands import table

_ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th")
_PLACEHOLDER = re.compile(rb"__(?:key|data|serial|rand_int|rand_(?:" + "|".join(_ORDINALS).encode() + rb"))__")
_DIGITS = b"0" * DIGITS_BYTES

Part = tuple[int, Any]
"""Of a word: (TEXT, bytes), (DIGITS, source), (DATA, None)."""


@dataclass(frozen=True)
class Template:
    """One command of a mix. name: for tables; forms: the first bytes its replies may have, b"" for any."""

    name: str
    words: tuple[bytes, ...]
    weight: float = 1.0
    forms: bytes = b""


@dataclass(frozen=True)
class Workload:
    """A run's commands. label: what the run is called."""

    label: str
    templates: tuple[Template, ...]


TESTS: dict[str, tuple[str, bytes]] = {
    "ping": ("PING", b"+"),
    "set": ("SET __key__ __data__", b"+"),
    "get": ("GET __key__", b"$_"),
    "incr": ("INCR counter:__rand_int__", b":"),
    "append": ("APPEND __key__ __data__", b":"),
    "exists": ("EXISTS __key__", b":"),
    "del": ("DEL __key__", b":"),
    "mset": ("MSET" + " __key__ __data__" * 10, b"+"),
    "mget": ("MGET" + " __key__" * 10, b"*"),
    "lpush": ("LPUSH mylist __data__", b":"),
    "rpush": ("RPUSH mylist __data__", b":"),
    "lpop": ("LPOP mylist", b"$_"),
    "rpop": ("RPOP mylist", b"$_"),
    "lrange_100": ("LRANGE mylist 0 99", b"*"),
    "sadd": ("SADD myset element:__rand_int__", b":"),
    "spop": ("SPOP myset", b"$_"),
    "hset": ("HSET myhash element:__rand_int__ __data__", b":"),
    "hget": ("HGET myhash element:__rand_int__", b"$_"),
    "zadd": ("ZADD myzset __rand_int__ element:__rand_int__", b":"),
    "zpopmin": ("ZPOPMIN myzset", b"*"),
}
"""-t name -> the command and the forms of its reply."""


def words_of(text: str) -> tuple[bytes, ...]:
    """A command as typed: quoting as in a shell. ValueError where there is nothing or a quote is open."""
    words = tuple(word.encode() for word in shlex.split(text))
    if not words:
        raise ValueError("an empty command")
    return words


def by_name(name: str) -> Workload:
    """A test. ValueError where there is none of that name."""
    if name not in TESTS:
        raise ValueError(f"no test is named '{name}': {', '.join(TESTS)}")
    text, forms = TESTS[name]
    return Workload(name, (Template(name, words_of(text), 1.0, forms),))


def mix(texts: list[str], ratios: list[float]) -> Workload:
    """Commands with a weight each; no ratios: all alike. Commands of one name are told apart by a number."""
    if ratios and len(ratios) != len(texts):
        raise ValueError(f"{len(texts)} commands and {len(ratios)} ratios")
    commands = [words_of(text) for text in texts]
    names = [words[0].decode("utf-8", "replace").lower() for words in commands]
    shown = [name if names.count(name) == 1 else f"{name}-{names[:i + 1].count(name)}" for i, name in enumerate(names)]
    return Workload(" ; ".join(texts), tuple(
        Template(name, words, weight) for name, words, weight in zip(shown, commands, ratios or [1.0] * len(texts))))


def reads_and_writes(reads: float) -> Workload:
    """GET with that share, SET with the rest."""
    templates = []
    for name, weight in (("get", reads), ("set", 1.0 - reads)):
        if weight > 0:
            templates.append(Template(name, words_of(TESTS[name][0]), weight, TESTS[name][1]))
    return Workload(f"{reads:.0%} reads", tuple(templates))


def parts_of(word: bytes, prefix: bytes) -> list[Part]:
    """A word cut at its placeholders; empty texts are left out."""
    parts: list[Part] = []
    at = 0
    for found in _PLACEHOLDER.finditer(word):
        parts.append((TEXT, word[at:found.start()]))
        name = found.group()[2:-2].decode()
        if name == "key":
            parts += [(TEXT, prefix), (DIGITS, OWN)]
        elif name == "rand_int":
            parts.append((DIGITS, OWN))
        elif name == "serial":
            parts.append((DIGITS, SERIAL))
        elif name == "data":
            parts.append((DATA, None))
        else:
            parts.append((DIGITS, SHARED + _ORDINALS.index(name.removeprefix("rand_"))))
        at = found.end()
    parts.append((TEXT, word[at:]))
    return [part for part in parts if part != (TEXT, b"")]


def key_place(words: tuple[bytes, ...]) -> int | None:
    """Which word is the command's first key: by the command table, and of a command that it does not know the first
    argument. None where it has no key."""
    sample = [_PLACEHOLDER.sub(b"1", word) for word in words]
    row = table.lookup(list(sample))
    if row is None:
        return 1 if len(words) > 1 else None
    places = table.route_keys(row, sample) if row.has_keys and row.arity_fits(len(sample)) else []
    return places[0] if places else None


def compiled(template: Template, prefix: bytes = b"key:", *, cluster: bool = False) -> dict[str, Any]:
    """The form that Script takes. ValueError where a cluster needs a simpler key."""
    words = [parts_of(word, prefix) for word in template.words]
    place = key_place(template.words)
    key = None
    if place is not None:
        holes = [i for i, (kind, _) in enumerate(words[place]) if kind == DIGITS]
        simple = len(holes) <= 1 and not any(kind == DATA for kind, _ in words[place])
        simple = simple and (not holes or words[place][holes[0]][1] != SERIAL)
        if cluster and not simple:
            raise ValueError(f"{template.name}: in a cluster a key has one drawn number at most")
        if simple:
            key = _as_key(words, place, holes)
    pieces: list[tuple[Any, ...]] = [(TEXT, b"*%d\r\n" % len(words))]
    for word in words:
        known = sum(DIGITS_BYTES if kind == DIGITS else len(value) for kind, value in word if kind != DATA)
        times = sum(kind == DATA for kind, _ in word)
        if times:
            pieces.append((HEADER, known, times))
        else:
            pieces.append((TEXT, b"$%d\r\n" % known))
        pieces += [(DATA,) if kind == DATA else (kind, value) for kind, value in word] + [(TEXT, b"\r\n")]
    return {"weight": template.weight, "pieces": joined(pieces), "key": key}


def _as_key(words: list[list[Part]], place: int, holes: list[int]) -> tuple[bytes, bytes | None]:
    """The text before and behind the key's number, whose source becomes KEY (also elsewhere, where it is shared)."""
    if not holes:
        return b"".join(value for _, value in words[place]), None
    source = words[place][holes[0]][1]
    before = b"".join(value for _, value in words[place][:holes[0]])
    behind = b"".join(value for _, value in words[place][holes[0] + 1:])
    words[place][holes[0]] = (DIGITS, KEY)
    if source >= SHARED:
        for word in words:
            word[:] = [(DIGITS, KEY) if part == (DIGITS, source) else part for part in word]
    return before, behind


def joined(pieces: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Texts that are neighbours become one."""
    found: list[tuple[Any, ...]] = []
    for piece in pieces:
        if piece[0] == TEXT and found and found[-1][0] == TEXT:
            found[-1] = (TEXT, found[-1][1] + piece[1])
        else:
            found.append(piece)
    return found


def values(size_max: int, seed: int) -> bytes:
    """What values are cut from: letters and digits, the same for the same seed."""
    letters = (string.ascii_letters + string.digits).encode()
    block = bytes(random.Random(seed).choices(letters, k=min(size_max, 65536)))
    return (block * (size_max // max(1, len(block)) + 1))[:size_max]
