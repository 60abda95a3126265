"""The command table: one row per command of Redis 7.2, built or not, and where each command's keys are.

Owns: `COMMANDS` and what is derived from a row (ACL categories, the first/last/step triple, tips, key positions).
Does not own: which commands are built. A process registers handlers and hands the set of their names to those who
need it (commands.introspect); what has no handler answers as an unknown command.

The facts are in commands.tsv beside this file, ordered by name, one line per command:

    name  group  since  arity  flags  doc-flags  acl  key-specs  request-policy  response-policy  nondeterministic

A subcommand's name is "container|sub". A key spec is `begin|find|flags`, several are separated by `;`:

    index:1|range:0,1,0|rw+access        keys start at argument 1; last key relative to it, step, limit
    kw:STREAMS@4|range:-1,1,2|ro         keys start behind the word STREAMS, looked for from argument 4 on
    index:2|keynum:0,1,1|ro              argument 2 holds their number; (index of the number, first key, step)
    unknown|unknown|ro                   no spec can say it; a function below does (SORT)

There are three answers to "where are the keys?", as in Redis:
`row.first_key, row.last_key, row.key_step` (the legacy range; exact for all rows without `row.movablekeys`),
`route_keys` (never fails; what cluster routing uses) and `keys_of` (with flags, raising; COMMAND GETKEYSANDFLAGS, ACL).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from shardd.base.errors import INVALID_ARGUMENTS, CommandError

FLAG_ORDER: Final = (
    "write", "readonly", "denyoom", "module", "admin", "pubsub", "noscript", "blocking", "loading", "stale",
    "skip_monitor", "skip_slowlog", "asking", "fast", "no_auth", "no_mandatory_keys", "no_async_loading", "no_multi",
    "movablekeys", "allow_busy")
"""The flags that COMMAND shows, in its order. The others (sentinel, protected, may_replicate ...) stay internal."""

CATEGORIES: Final = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream",
    "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting")
"""The ACL categories in Redis's order."""

SPEC_FLAG_ORDER: Final = ("RO", "RW", "OW", "RM", "access", "update", "insert", "delete", "not_key", "incomplete",
                          "variable_flags")
"""The flags of a key, in the order and spelling of COMMAND GETKEYSANDFLAGS."""

_NONDETERMINISTIC_LAST: Final = frozenset(("keys", "randomkey", "slowlog|get", "slowlog|len"))
"""Redis lists this tip first, but not for these."""

SpecFlags = frozenset[str]


class KeySpec:
    """One way to find some of a command's keys.

    begin: "index", "keyword" or "unknown"; position: the index, or where the search for `keyword` starts
    (negative: from the end, backwards). find: "range" (last, step, limit), "keynum" (number_at, first, step; relative
    to the begin) or "unknown". Fields that do not apply are 0.
    """

    __slots__ = ("begin", "position", "keyword", "find", "last", "step", "limit", "number_at", "first", "flags")

    def __init__(self, text: str) -> None:
        begin, find, flags = text.split("|")
        self.position = self.last = self.limit = self.number_at = self.first = 0
        self.step = 1
        self.keyword = b""
        self.begin, _, where = begin.partition(":")
        if self.begin == "index":
            self.position = int(where)
        elif self.begin == "kw":
            word, _, start = where.partition("@")
            self.begin, self.keyword, self.position = "keyword", word.encode(), int(start)
        self.find, _, numbers = find.partition(":")
        if self.find == "range":
            self.last, self.step, self.limit = map(int, numbers.split(","))
        elif self.find == "keynum":
            self.number_at, self.first, self.step = map(int, numbers.split(","))
        self.flags: SpecFlags = frozenset(f.upper() if len(f) == 2 else f for f in flags.split("+"))

    @property
    def plain(self) -> bool:
        """The keys lie at fixed places: an index and a range."""
        return self.begin == "index" and self.find == "range"


class Row:
    """What the table knows about one command.

    name: lower case, "get" or "client|list"; container: the row above it, or None; arity: as COMMAND gives it, counting
    the name (and the subcommand's), negative: at least; since: the Redis version; flags, doc_flags: lower case, with
    `movablekeys` derived; acl_categories: without the @; request_policy, response_policy: of the command tips, ""
    where there is none; nondeterministic: "", "output" or "order"; subcommands: by their own name ("list" of
    "client|list"); first_key, last_key, key_step: the legacy range, 0 0 0 without keys.
    """

    __slots__ = ("name", "group", "since", "arity", "flags", "doc_flags", "acl_categories", "_specs_text", "_specs",
                 "request_policy", "response_policy", "nondeterministic", "subcommands", "container", "first_key",
                 "last_key", "key_step", "movablekeys")

    def __init__(self, line: str) -> None:
        (self.name, self.group, self.since, arity, flags, doc_flags, acl, self._specs_text, request, response,
         nondeterministic) = ["" if field == "-" else field for field in line.split("\t")]
        self.arity = int(arity)
        self.doc_flags = frozenset(doc_flags.split(",")) if doc_flags else frozenset()
        self.request_policy, self.response_policy, self.nondeterministic = request, response, nondeterministic
        self.subcommands: dict[str, Row] = {}
        self.container: Row | None = None
        self._specs: tuple[KeySpec, ...] | None = None if self._specs_text else ()
        self.first_key = self.last_key = self.key_step = 0
        self.movablekeys = False
        if self._specs_text:
            self._set_legacy_range()
        flag_set = set(flags.split(",")) if flags else set()
        self.acl_categories = self._categories(flag_set, acl)
        if self.movablekeys:
            flag_set.add("movablekeys")
        self.flags = frozenset(flag_set)

    def __repr__(self) -> str:
        return f"<Row {self.name}>"

    @property
    def key_specs(self) -> tuple[KeySpec, ...]:
        """Parsed at first use: most rows of a process are never asked."""
        if self._specs is None:
            self._specs = tuple(KeySpec(text) for text in self._specs_text.split(";"))
        return self._specs

    @property
    def has_keys(self) -> bool:
        """Whether the command can have keys; a channel's name (SPUBLISH) routes like a key and is none."""
        return any("not_key" not in spec.flags for spec in self.key_specs)

    @property
    def own_name(self) -> str:
        """The last part of the name: "list" of "client|list"."""
        return self.name.rpartition("|")[2]

    @property
    def tips(self) -> list[str]:
        """The command tips in COMMAND INFO's form and order."""
        tips = []
        if self.request_policy:
            tips.append("request_policy:" + self.request_policy)
        if self.response_policy:
            tips.append("response_policy:" + self.response_policy)
        if self.nondeterministic:
            tip = "nondeterministic_output" + ("_order" if self.nondeterministic == "order" else "")
            tips.insert(len(tips) if self.name in _NONDETERMINISTIC_LAST else 0, tip)
        return tips

    def arity_fits(self, count: int) -> bool:
        """Whether `count` arguments, the names included, are possible."""
        return count == self.arity if self.arity > 0 else count >= -self.arity

    def _categories(self, flags: set[str], acl: str) -> frozenset[str]:
        categories = set(acl.split(",")) if acl else set()
        if "write" in flags:
            categories.add("write")
        if "readonly" in flags and self.group != "scripting":
            categories.add("read")
        if "admin" in flags:
            categories |= {"admin", "dangerous"}
        if "pubsub" in flags:
            categories.add("pubsub")
        if "blocking" in flags:
            categories.add("blocking")
        categories.add("fast" if "fast" in flags else "slow")
        return frozenset(categories)

    def _set_legacy_range(self) -> None:
        """The range that old clients read, joined from the plain specs that lie side by side; the others move."""
        if ";" not in self._specs_text and self._specs_text.startswith("index:"):
            begin, find, _ = self._specs_text.split("|", 2)
            if find.startswith("range:"):
                self.first_key = int(begin[6:])
                last, step, _ = find[6:].split(",")
                self.key_step = int(step)
                self.last_key = int(last) + (self.first_key if int(last) >= 0 else 0)
                return
        first, last = 0, 0
        for spec in self.key_specs:
            if not spec.plain or spec.step != 1 or (last and last != spec.position - 1):
                self.movablekeys = True
                continue
            first = first or spec.position
            last = spec.last + (spec.position if spec.last >= 0 else 0)
        if first:
            self.first_key, self.last_key, self.key_step = first, last, 1


def _load() -> dict[str, Row]:
    """Read commands.tsv. A container sorts before its subcommands, so one pass is enough."""
    rows: dict[str, Row] = {}
    for line in Path(__file__).with_name("commands.tsv").read_text("ascii").splitlines():
        if line.startswith("#"):
            continue
        row = Row(line)
        container, bar, own = row.name.partition("|")
        if bar:
            row.container = rows[container]
            row.container.subcommands[own] = row
        else:
            rows[row.name] = row
    return rows


COMMANDS: Final[dict[str, Row]] = _load()
"""Every top-level command by its lower-case name; subcommands hang in their container's row."""


def find(name: str) -> Row | None:
    """The row of "get" or "client|list", in any case; None where there is none."""
    top, bar, sub = name.lower().partition("|")
    row = COMMANDS.get(top)
    if row is None or not bar:
        return row
    return row.subcommands.get(sub)


def lookup(args: list[bytes]) -> Row | None:
    """The row of a request: the subcommand's where the command is a container and one is given.

    None where the command or the subcommand does not exist. args: as received, the name first, in any case.
    """
    row = COMMANDS.get(args[0].lower().decode("latin-1"))
    if row is not None and row.subcommands and len(args) > 1:
        return row.subcommands.get(args[1].lower().decode("latin-1"))
    return row


# --- where the keys are -------------------------------------------------------------------------------------------

Keys = list[tuple[int, SpecFlags]]

_RO_ACCESS: Final = frozenset(("RO", "access"))
_RW_ACCESS_UPDATE: Final = frozenset(("RW", "access", "update"))
_RW_ACCESS_DELETE: Final = frozenset(("RW", "access", "delete"))
_OW_UPDATE: Final = frozenset(("OW", "update"))


def parse_integer(raw: bytes) -> int | None:
    """A decimal 64-bit integer in Redis's strict form (no blanks, no plus, no leading zero), else None."""
    digits = raw[1:] if raw[:1] == b"-" else raw
    if not digits.isdigit() or len(digits) > 19 or (digits[:1] == b"0" and len(raw) > 1):
        return None
    value = int(raw)
    return value if -2**63 <= value < 2**63 else None


def _spec_begin(spec: KeySpec, args: list[bytes]) -> int | None:
    """Where the spec's keys begin: 0 where its keyword is absent, None where the spec cannot say."""
    if spec.begin == "index":
        return spec.position
    if spec.begin != "keyword":
        return None
    count = len(args)
    if spec.position > 0:
        places = range(spec.position, count - 1)
    else:
        places = range(count + spec.position, 1, -1)
    for place in places:
        if 0 < place < count and args[place].upper() == spec.keyword:
            return place + 1
    return 0


def _spec_keys(spec: KeySpec, args: list[bytes]) -> range | None:
    """The places of the spec's keys; None where the arguments do not fit it."""
    count = len(args)
    begin = _spec_begin(spec, args)
    if begin is None:
        return None
    if begin == 0:
        return range(0)
    if spec.find == "range":
        first = begin
        if spec.last >= 0:
            last = first + spec.last
        elif spec.limit == 0:
            last = count + spec.last
        else:
            last = first + ((count - first) // spec.limit + spec.last)
    elif spec.find == "keynum":
        number_at = begin + spec.number_at
        number = parse_integer(args[number_at]) if number_at < count else None
        if number is None or number < 0:
            return None
        first = begin + spec.first
        last = first + (number - 1) * spec.step
    else:
        return None
    if first >= count or last >= count or last < first:
        return None
    return range(first, last + 1, spec.step)


def _by_specs(row: Row, args: list[bytes]) -> Keys | None:
    """The keys by the row's specs; None where one of them does not fit or does not tell all."""
    keys: Keys = []
    for spec in row.key_specs:
        if "not_key" in spec.flags:
            continue
        places = _spec_keys(spec, args)
        if places is None:
            return None
        keys += [(place, spec.flags) for place in places]
        if "incomplete" in spec.flags:
            return None
    return keys


def _numbered(row: Row, args: list[bytes]) -> Keys | None:
    """Commands with a number of keys among their arguments (EVAL, ZUNION, LMPOP ...): Redis's own function for them
    reads the number leniently, and finds nothing where it is not 1 or more or too large."""
    keys: Keys = []
    for spec in row.key_specs:
        if spec.plain:
            keys.append((spec.position, spec.flags))
            continue
        number_at = spec.position + spec.number_at
        number = _atoi(args[number_at]) if number_at < len(args) else 0
        first = spec.position + spec.first
        if number < 1 or (number - 1) * spec.step >= len(args) - first:
            return None
        keys += [(place, spec.flags) for place in range(first, first + number * spec.step, spec.step)]
    return keys


def _atoi(raw: bytes) -> int:
    """C's atoi for the numbers that matter here: leading blanks, a sign, digits; 0 where there are none."""
    text = raw.lstrip(b" \t\n\v\f\r")
    end = 1 if text[:1] in (b"-", b"+") else 0
    while end < len(text) and text[end:end + 1].isdigit():
        end += 1
    try:
        return int(text[:end])
    except ValueError:
        return 0


def _set(row: Row, args: list[bytes]) -> Keys:
    """SET reads the old value only with GET."""
    reads = any(arg.lower() == b"get" for arg in args[3:])
    return [(1, _RW_ACCESS_UPDATE if reads else _OW_UPDATE)]


def _bitfield(row: Row, args: list[bytes]) -> Keys:
    """BITFIELD only reads where all its operations are GETs."""
    place = 2
    while place < len(args):
        word, left = args[place].lower(), len(args) - place - 1
        if word == b"get" and left >= 2:
            place += 3
        elif word == b"overflow" and left >= 1:
            place += 2
        else:
            return [(1, _RW_ACCESS_UPDATE)]
    return [(1, _RO_ACCESS)]


def _sort(row: Row, args: list[bytes]) -> Keys:
    """SORT: the first argument, and the last STORE, which wins."""
    store = 0
    place = 2
    while place < len(args):
        word = args[place].lower()
        if word == b"limit":
            place += 2
        elif word in (b"get", b"by"):
            place += 1
        elif word == b"store" and place + 1 < len(args):
            place += 1
            store = place
        place += 1
    keys: Keys = [(1, _RO_ACCESS)]
    if store:
        keys.append((store, _OW_UPDATE))
    return keys


def _sort_ro(row: Row, args: list[bytes]) -> Keys:
    return [(1, _RO_ACCESS)]


def _migrate(row: Row, args: list[bytes]) -> Keys:
    """MIGRATE: one key at place 3, or, where that is empty, all behind KEYS."""
    place = 6
    while place < len(args):
        word = args[place].lower()
        if word == b"keys":
            if args[3]:
                return []
            return [(key, _RW_ACCESS_DELETE) for key in range(place + 1, len(args))]
        place += {b"auth": 2, b"auth2": 3}.get(word, 1)
    return [(3, _RW_ACCESS_DELETE)]


def _georadius(row: Row, args: list[bytes]) -> Keys:
    """GEORADIUS and GEORADIUSBYMEMBER: the first argument, and the last STORE or STOREDIST."""
    store = 0
    place = 5
    while place < len(args):
        if args[place].lower() in (b"store", b"storedist") and place + 1 < len(args):
            place += 1
            store = place
        place += 1
    keys: Keys = [(1, _RO_ACCESS)]
    if store:
        keys.append((store, _OW_UPDATE))
    return keys


def _xread(row: Row, args: list[bytes]) -> Keys | None:
    """XREAD and XREADGROUP: the first half of what stands behind STREAMS."""
    streams = 0
    place = 1
    while place < len(args):
        word = args[place].lower()
        if word in (b"block", b"count"):
            place += 1
        elif word == b"group":
            place += 2
        elif word == b"streams":
            streams = place
            break
        elif word != b"noack":
            break
        place += 1
    number = len(args) - streams - 1
    if streams == 0 or number == 0 or number % 2:
        return None
    return [(key, _RO_ACCESS) for key in range(streams + 1, streams + 1 + number // 2)]


_FINDERS: Final[dict[str, Callable[[Row, list[bytes]], Keys | None]]] = {
    "set": _set, "bitfield": _bitfield, "sort": _sort, "sort_ro": _sort_ro, "migrate": _migrate,
    "georadius": _georadius, "georadiusbymember": _georadius, "xread": _xread, "xreadgroup": _xread,
} | {row.name: _numbered for row in COMMANDS.values() if "|keynum:" in row._specs_text}
"""Redis's functions for commands whose specs do not tell all, or not reliably."""


def _by_legacy_range(row: Row, count: int) -> range:
    if row.first_key == 0:
        return range(0)
    last = row.last_key if row.last_key >= 0 else count + row.last_key
    return range(row.first_key, min(last, count - 1) + 1, row.key_step)


def route_keys(row: Row, args: list[bytes]) -> list[int]:
    """The places of the keys, for routing by slot. Never raises.

    Empty where there are none and also where the arguments make no sense: the command itself then says what is wrong,
    on whichever engine. args: of fitting arity.
    """
    finder = _FINDERS.get(row.name)
    if finder is None:
        return list(_by_legacy_range(row, len(args)))
    return [place for place, _ in finder(row, args) or () if place < len(args)]


def keys_of(row: Row, args: list[bytes]) -> Keys:
    """The places of the keys with what the command does to each (see SPEC_FLAG_ORDER), for introspection and ACL.

    The specs tell, and where they cannot or are not reliable, Redis's special function. Empty for a command without
    keys, and for one that may have none (EVAL 0). Raises CommandError where the arguments do not fit: "Invalid
    arguments specified for command". args: of fitting arity.
    """
    keys: Keys | None = None
    reliable = not any("variable_flags" in spec.flags for spec in row.key_specs)
    if row.key_specs and reliable:
        keys = _by_specs(row, args)
    if keys is None:
        finder = _FINDERS.get(row.name)
        keys = finder(row, args) if finder else None
    if keys:
        return keys
    if row.has_keys and "no_mandatory_keys" not in row.flags:
        raise CommandError(INVALID_ARGUMENTS)
    return []
