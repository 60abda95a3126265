"""COMMAND and its subcommands: the table, as clients read it.

Owns: the replies' shapes, and docs.tsv (summaries, complexities, arguments). Does not own the facts (commands.table).

Only what a process has handlers for exists here: `server.built` is a frozenset of full lower-case names ("get",
"client|list"), so that what is not built is as unknown to COMMAND INFO as it is to dispatch. A container counts as
built as soon as one of its subcommands is.

docs.tsv has six columns: name, complexity, deprecated since, replaced by, summary, arguments; "-" for none. The
arguments are written as

    name:type          a value (string, integer, key, pattern ...)        name            a word alone (a pure token)
    name{a b c}        one of these                                       name(a b c)     all of these, in order
    =WORD              the word before the value, or the word alone       @0              the key spec it belongs to
    ?  *  +            optional, repeated, repeated with its word         ^6.2.0  ~7.0.0  since, deprecated since
    'text'             how it is shown, where that is not its name

in this order, separated by one blank: SET is
`key:key@0 value:string condition{nx=NX xx=XX}?^2.6.12 get=GET?^6.2.0 expiration{seconds:integer=EX^2.6.12 ...}?`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import table
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import CATEGORIES, COMMANDS, FLAG_ORDER, SPEC_FLAG_ORDER, KeySpec, Row
from shardd.structures import glob
from shardd.wire.values import Simple


class InOrder(set):
    """A set on the wire (`~` in RESP3) that keeps its order and may hold what cannot be hashed."""

    def __init__(self, items: Iterable[Any]) -> None:
        super().__init__()
        self.listed = list(items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.listed)

    def __len__(self) -> int:
        return len(self.listed)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, InOrder) and self.listed == other.listed

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


def _words(words: Iterable[str]) -> InOrder:
    return InOrder([Simple(word) for word in words])


# --- what is built ------------------------------------------------------------------------------------------------

@cache
def _built_rows(built: frozenset[str]) -> dict[str, Row]:
    """The built top-level rows by name, in the table's order."""
    tops = {name.partition("|")[0] for name in built}
    return {name: row for name, row in COMMANDS.items() if name in tops}


def _built_subcommands(built: frozenset[str], row: Row) -> list[Row]:
    return [sub for sub in row.subcommands.values() if sub.name in built]


def _find(built: frozenset[str], name: str) -> Row | None:
    """The row of a built command named "get" or "client|list" in any case."""
    row = table.find(name)
    if row is None or (row.container is not None and row.name not in built):
        return None
    return row if row.name.partition("|")[0] in _built_rows(built) else None


# --- COMMAND, COMMAND INFO, COMMAND COUNT -------------------------------------------------------------------------

def _spec_info(spec: KeySpec) -> dict[bytes, Any]:
    """One key spec as COMMAND INFO shows it."""
    begins = {"index": {b"index": spec.position},
              "keyword": {b"keyword": spec.keyword, b"startfrom": spec.position},
              "unknown": {}}
    finds = {"range": {b"lastkey": spec.last, b"keystep": spec.step, b"limit": spec.limit},
             "keynum": {b"keynumidx": spec.number_at, b"firstkey": spec.first, b"keystep": spec.step},
             "unknown": {}}
    return {
        b"flags": _words(flag for flag in SPEC_FLAG_ORDER if flag in spec.flags),
        b"begin_search": {b"type": spec.begin.encode(), b"spec": begins[spec.begin]},
        b"find_keys": {b"type": spec.find.encode(), b"spec": finds[spec.find]},
    }


@cache
def row_info(built: frozenset[str], row: Row) -> list[Any]:
    """The ten fields of COMMAND INFO. Kept, since cluster clients ask for all of them on every start."""
    return [
        row.name.encode(), row.arity, _words(flag for flag in FLAG_ORDER if flag in row.flags),
        row.first_key, row.last_key, row.key_step,
        _words("@" + category for category in CATEGORIES if category in row.acl_categories),
        InOrder([tip.encode() for tip in row.tips]),
        InOrder([_spec_info(spec) for spec in row.key_specs]),
        InOrder([row_info(built, sub) for sub in _built_subcommands(built, row)]),
    ]


def command(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND: COMMAND INFO of everything."""
    return [row_info(server.built, row) for row in _built_rows(server.built).values()]


def command_info(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND INFO [name ...]: nil for each name that does not exist."""
    if len(args) == 2:
        return command(server, client, args)
    rows = [_find(server.built, _text(arg)) for arg in args[2:]]
    return [None if row is None else row_info(server.built, row) for row in rows]


def command_count(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND COUNT: subcommands do not count."""
    return len(_built_rows(server.built))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


# --- COMMAND LIST -------------------------------------------------------------------------------------------------

def _by_module(value: str) -> Callable[[Row], bool]:
    return lambda row: False


def _by_category(value: str) -> Callable[[Row], bool]:
    return lambda row: value.lower() in row.acl_categories


def _by_pattern(value: str) -> Callable[[Row], bool]:
    return lambda row: glob.match(value.encode(), row.name.encode(), True)


def command_list(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN pattern]: commands and subcommands."""
    rows = _built_rows(server.built)
    every = [one for row in rows.values() for one in (row, *_built_subcommands(server.built, row))]
    if len(args) == 2:
        return [row.name.encode() for row in every]
    if len(args) != 5 or args[2].lower() != b"filterby":
        raise CommandError(errors.SYNTAX)
    kinds = {b"module": _by_module, b"aclcat": _by_category, b"pattern": _by_pattern}
    kind = kinds.get(args[3].lower())
    if kind is None:
        raise CommandError(errors.SYNTAX)
    fits = kind(_text(args[4]))
    return [row.name.encode() for row in every if fits(row)]


# --- COMMAND GETKEYS ----------------------------------------------------------------------------------------------

def _inner(server: Any, args: list[bytes]) -> tuple[Row, list[bytes]]:
    """The command that COMMAND GETKEYS was given, checked as Redis checks it."""
    inner = args[2:]
    row = table.lookup(inner)
    if row is None or _find(server.built, row.name) is None:
        raise CommandError(errors.INVALID_COMMAND)
    if not row.has_keys:
        raise CommandError(errors.NO_KEY_ARGUMENTS)
    if not row.arity_fits(len(inner)):
        raise CommandError(errors.INVALID_ARGUMENT_COUNT)
    return row, inner


def command_getkeys(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND GETKEYS command [argument ...]"""
    row, inner = _inner(server, args)
    return [inner[place] for place, _ in table.keys_of(row, inner)]


def command_getkeysandflags(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND GETKEYSANDFLAGS command [argument ...]: pairs of a key and what happens to it."""
    row, inner = _inner(server, args)
    return [[inner[place], _words(flag for flag in SPEC_FLAG_ORDER if flag in flags)]
            for place, flags in table.keys_of(row, inner)]


# --- COMMAND DOCS -------------------------------------------------------------------------------------------------

_ARGUMENT = re.compile(r"(?P<name>[^\s:={}()@?*+^~']+)(?::(?P<type>[a-z-]+))?(?P<open>[{(])?")
_MARKS = re.compile(r"(?:=(?P<token>[^\s@?*+^~'{}()]+))?(?:@(?P<spec>\d+))?(?P<flags>[?*+]*)"
                    r"(?:\^(?P<since>[\d.]+))?(?:~(?P<deprecated>[\d.]+))?(?:'(?P<shown>[^']*)')?")


def parse_arguments(text: str) -> list[dict[bytes, Any]]:
    """The arguments column of docs.tsv, in COMMAND DOCS's form. Raises ValueError where the grammar is broken."""
    arguments, place = _arguments(text, 0)
    if place != len(text):
        raise ValueError(f"arguments: unexpected {text[place:]!r}")
    return arguments


def _arguments(text: str, place: int) -> tuple[list[dict[bytes, Any]], int]:
    found = []
    while place < len(text) and text[place] not in "})":
        head = _ARGUMENT.match(text, place)
        if head is None:
            raise ValueError(f"arguments: unexpected {text[place:]!r}")
        place = head.end()
        inside = None
        if head["open"]:
            inside, place = _arguments(text, place)
            if text[place:place + 1] != {"{": "}", "(": ")"}[head["open"]]:
                raise ValueError(f"arguments: unclosed {head['name']!r}")
            place += 1
        marks = _MARKS.match(text, place)
        assert marks is not None
        found.append(_argument(head, inside, marks))
        place = marks.end()
        if text[place:place + 1] == " ":
            place += 1
    return found, place


def _argument(head: re.Match[str], inside: list[dict[bytes, Any]] | None, marks: re.Match[str]) -> dict[bytes, Any]:
    kind = {"{": "oneof", "(": "block", None: head["type"] or "pure-token"}[head["open"]]
    said: dict[bytes, Any] = {b"name": head["name"].encode(), b"type": kind.encode()}
    shown = marks["shown"] or (head["name"] if inside is None else None)
    if shown:
        said[b"display_text"] = shown.encode()
    if marks["spec"]:
        said[b"key_spec_index"] = int(marks["spec"])
    if marks["token"]:
        said[b"token"] = b"" if marks["token"] == '""' else marks["token"].encode()
    if marks["since"]:
        said[b"since"] = marks["since"].encode()
    if marks["deprecated"]:
        said[b"deprecated_since"] = marks["deprecated"].encode()
    if marks["flags"]:
        names = {"?": "optional", "*": "multiple", "+": "multiple_token"}
        said[b"flags"] = _words(names[mark] for mark in marks["flags"])
    if inside is not None:
        said[b"arguments"] = inside
    return said


@cache
def load_docs() -> dict[str, tuple[str, ...]]:
    """docs.tsv: name -> complexity, deprecated since, replaced by, summary, arguments; "" for none.

    Read at first use.
    """
    docs = {}
    for line in Path(__file__).with_name("docs.tsv").read_text("utf-8").splitlines():
        if not line.startswith("#"):
            name, *fields = line.split("\t")
            docs[name] = tuple("" if field == "-" else field for field in fields)
    return docs


@cache
def row_docs(built: frozenset[str], row: Row) -> dict[bytes, Any]:
    """What COMMAND DOCS says of one command. Kept: redis-cli asks for all of them on every start."""
    complexity, deprecated, replaced_by, summary, arguments = load_docs().get(row.name, ("", "", "", "", ""))
    said: dict[bytes, Any] = {b"summary": summary.encode(), b"since": row.since.encode(), 
                             b"group": row.group.replace("_", "-").encode()}
    if complexity:
        said[b"complexity"] = complexity.encode()
    if row.doc_flags:
        said[b"doc_flags"] = _words(sorted(row.doc_flags))
    if deprecated:
        said[b"deprecated_since"] = deprecated.encode()
    if replaced_by:
        said[b"replaced_by"] = replaced_by.encode()
    if arguments:
        said[b"arguments"] = parse_arguments(arguments)
    subcommands = _built_subcommands(built, row)
    if subcommands:
        said[b"subcommands"] = {sub.name.encode(): row_docs(built, sub) for sub in subcommands}
    return said


def command_docs(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND DOCS [name ...]: a map; names that do not exist are left out."""
    if len(args) == 2:
        rows: Iterable[Row | None] = _built_rows(server.built).values()
    else:
        rows = [_find(server.built, _text(arg)) for arg in args[2:]]
    return {row.name.encode(): row_docs(server.built, row) for row in rows if row is not None}


def command_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """COMMAND HELP"""
    return help_lines("COMMAND", [
        "(no subcommand)",
        "    Describe all commands.",
        "COUNT",
        "    How many commands there are.",
        "LIST [FILTERBY (MODULE <module>|ACLCAT <category>|PATTERN <pattern>)]",
        "    The names of commands.",
        "INFO [<command-name> ...]",
        "    Describe these commands, or all.",
        "DOCS [<command-name> ...]",
        "    What these commands do and which arguments they take, or of all.",
        "GETKEYS <full-command>",
        "    The keys in a whole command.",
        "GETKEYSANDFLAGS <full-command>",
        "    The keys in a whole command, and what it does to them.",
    ])


HANDLERS: Final[dict[str, Handler]] = {
    "command": command,
    "command|count": command_count,
    "command|info": command_info,
    "command|docs": command_docs,
    "command|list": command_list,
    "command|getkeys": command_getkeys,
    "command|getkeysandflags": command_getkeysandflags,
    "command|help": command_help,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
