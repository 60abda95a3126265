"""shardctl clients: who is connected to the proxies and to the engines, and ending connections.

Owns: reading CLIENT LIST of every process, choosing and sorting its lines. Does not own CLIENT itself.

Clients of all proxies share one space of ids; each engine has its own, for clients that come to it directly. The links
within the tree (a proxy's to its engines, the supervisor's) are left out unless --all asks for them.
"""

import argparse
import fnmatch
import operator
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from shardd.base.errors import CommandError
from shardd.ctl.command import App, Command
from shardd.ctl.facts import text
from shardd.ctl.human import human_bytes, human_seconds, number, plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, CtlError, Node, Unreachable, UsageError, ask, is_answer
from shardd.ctl.source import PROXY, Source

Row = dict[str, Any]

NAMES: Final = ("id", "addr", "laddr", "fd", "name", "age", "idle", "flags", "db", "sub", "psub", "ssub", "multi",
                "qbuf", "qbuf-free", "argv-mem", "multi-mem", "rbs", "rbp", "obl", "oll", "omem", "tot-mem", "events",
                "cmd", "user", "redir", "resp", "lib-name", "lib-ver")
"""The fields of CLIENT LIST of Redis 7.2. What a server adds is passed on."""

FIELDS: Final = {
    "ok": "whether every process gave its list, and every client that was to be killed is gone",
    "clients": "a list",
    "clients[].process": "who it is connected to: proxy 0, engine 1 ...",
    **{f"clients[].{name}": "as in CLIENT LIST" for name in NAMES},
    "silent": "processes that did not answer",
    "silent[].name": "engine 1 ...", "silent[].error": "why",
    "killed": "with `kill`: the ids that were",
    "gone": "with `kill`: the ids that were gone already",
}

_FIELD: Final = re.compile(r"([a-z-]+)=(\S*)")
_WHOLE: Final = re.compile(r"-?\d+")
_TEXTS: Final = ("name", "lib-name", "lib-ver")
_CONDITION: Final = re.compile(r"([a-z-]+)(!=|>=|<=|=|>|<)(.*)\Z", re.DOTALL)
_LINK: Final = re.compile(r"/run/(engine|proxy)-\d+\.sock")

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `clients`."""
    parser.add_argument("action", nargs="?", choices=("list", "kill"), default="list", help="what to do [list]")
    parser.add_argument("ids", nargs="*", type=int, metavar="ID", help="only the clients with these ids")
    parser.add_argument("-f", "--filter", action="append", default=[], metavar="CONDITION", type=condition,
                        help="only clients for which this holds: a field of CLIENT LIST or `process`, one of = != > < "
                        ">= <=, and a value (globs for = and !=; sizes such as 1mb); may be repeated")
    parser.add_argument("--on", metavar="PROCESS", help="only clients of these processes: proxies, engines, 'engine 0'")
    parser.add_argument("--sort", metavar="FIELD", default="id", help="by this field; numbers: the largest first, but "
                        "for id [id]")
    parser.add_argument("--reverse", action="store_true", help="the other way round")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="at most so many")
    parser.add_argument("--all", action="store_true", help="the links within the tree too")


# --- conditions ---------------------------------------------------------------------------------------------------

def condition(written: str) -> Callable[[Row], bool]:
    """A test for clients from `field=value`, `idle>60`, `name!=worker-*`. Raises argparse.ArgumentTypeError."""
    match = _CONDITION.match(written)
    if match is None:
        raise argparse.ArgumentTypeError(f"{written!r} is no condition: it has the form FIELD=VALUE, or != > < >= <=")
    name, sign, value = match.groups()
    if sign in ("=", "!="):
        return lambda row: fnmatch.fnmatchcase(str(_of(row, name)), value) == (sign == "=")
    try:
        bound = number(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{written!r}: {error}") from None
    return lambda row: _COMPARE[sign](_number_of(row, name), bound)


def _of(row: Row, name: str) -> Any:
    try:
        return row[name]
    except KeyError:
        raise UsageError(f"clients have no field {name!r}; they have {', '.join(row)}") from None


def _number_of(row: Row, name: str) -> float:
    value = _of(row, name)
    if not isinstance(value, int):
        raise UsageError(f"the field {name!r} is no number: compare it with = or !=")
    return value


# --- reading ------------------------------------------------------------------------------------------------------

def parse_line(line: str) -> Row:
    """A line of CLIENT LIST; whole numbers as such."""
    row: Row = {}
    for name, value in _FIELD.findall(line):
        row[name] = int(value) if name not in _TEXTS and _WHOLE.fullmatch(value) else value
    return row


def read(source: Source, nodes: Iterable[Node]) -> tuple[list[tuple[Node, Row]], dict[Node, Exception]]:
    """The clients of `nodes`, and those that did not answer.

    With a supervisor each proxy is asked for its own; else the one that is asked speaks for all of them.
    """
    nodes = list(nodes)
    answers = ask([node for node in nodes if node.kind != PROXY], "CLIENT", "LIST")
    proxies = [node for node in nodes if node.kind == PROXY]
    own = ask(proxies, "SHARDD", "CLIENT", "LIST") if source.is_local else {}
    older = [node for node in proxies if not is_answer(own.get(node, CommandError(b"not asked")))
             and not isinstance(own.get(node), Unreachable)]
    answers |= own | ask(older, "CLIENT", "LIST")
    found, silent = [], {}
    for node in nodes:
        answer = answers[node]
        if not is_answer(answer):
            silent[node] = answer
            continue
        for line in text(answer).splitlines():
            if row := parse_line(line):
                found.append((node, {"process": node.name} | row))
    return found, silent


def is_link(row: Row) -> bool:
    """Whether it is a connection within the tree."""
    return "U" in str(row.get("flags")) and _LINK.search(str(row.get("laddr"))) is not None


def chosen_nodes(source: Source, on: str | None) -> list[Node]:
    """What --on means. Raises UsageError."""
    if on is None:
        return list(source.nodes)
    word = " ".join(on.lower().replace("-", " ").split())
    found = [node for node in source.nodes if word in (node.name, node.kind, f"{node.kind}s", "all")
             or (node.kind == PROXY and word == "proxies")]
    if not found:
        names = ", ".join(node.name for node in source.nodes)
        raise UsageError(f"--on {on!r}: there is {names}; or say proxies or engines")
    return found


def order(found: list[tuple[Node, Row]], field: str, reverse: bool) -> None:
    """Sorts in place. Raises UsageError for a field that nobody has."""
    if found and not any(field in row for _, row in found):
        raise UsageError(f"--sort {field}: clients have the fields {', '.join(found[0][1])}")
    numbers = field != "id" and all(isinstance(row.get(field, 0), int) for _, row in found)
    blank: Any = 0 if numbers or field == "id" else ""
    found.sort(key=lambda pair: (pair[0].kind != PROXY, pair[0].index, pair[1].get("id", 0)))
    found.sort(key=lambda pair: pair[1].get(field, blank) if field != "id" else 0, reverse=numbers != reverse)


# --- the command --------------------------------------------------------------------------------------------------

def clients(app: App) -> int:
    """List, or kill."""
    options = app.options
    if options.action == "kill" and not options.ids and not options.filter:
        raise UsageError("clients kill: say which: ids, or conditions with --filter")
    found, silent = read(app.source, chosen_nodes(app.source, options.on))
    if not found and silent:
        raise next(iter(silent.values()))
    found = [(node, row) for node, row in found if (options.all or not is_link(row))
             and (not options.ids or row.get("id") in options.ids) and all(test(row) for test in options.filter)]
    order(found, options.sort, options.reverse)
    if options.limit is not None:
        found = found[:options.limit]
    result: dict[str, Any] = {
        "ok": not silent, "clients": [row for _, row in found],
        "silent": [{"name": node.name, "error": str(error)} for node, error in silent.items()]}
    if options.action == "kill":
        _kill(found, options.ids, result)
    if app.as_json:
        app.screen.json(result)
    else:
        _show(app, result)
    return EXIT_OK if result["ok"] else EXIT_BAD


def _kill(found: list[tuple[Node, Row]], ids: list[int], result: dict[str, Any]) -> None:
    seen: dict[int, Node] = {}
    for node, row in found:
        other = seen.setdefault(row["id"], node)
        if ids and row["id"] in ids and other is not node:
            raise UsageError(f"id {row['id']} is a client of {other.name} and of {node.name}: say which with --on")
    result["killed"], result["gone"] = [], [number for number in ids if number not in seen]
    for node, row in found:
        try:
            killed = node.call("CLIENT", "KILL", "ID", row["id"])
        except CommandError as error:
            raise CtlError(f"{node.name} did not kill client {row['id']}: {error}") from None
        result["killed" if killed else "gone"].append(row["id"])
    result["ok"] = result["ok"] and not result["gone"]


def _show(app: App, result: dict[str, Any]) -> None:
    screen = app.screen
    if "killed" in result:
        screen.line(f"killed {plural(len(result['killed']), 'client')}"
                    + (f"; gone already: {', '.join(map(str, result['gone']))}" if result["gone"] else ""))
    else:
        screen.table(["process", ">id", "addr", "name", "user", ">db", ">age", ">idle", "flags", "cmd", ">resp",
                      ">qbuf", ">omem", ">memory", "library"],
                     [[row["process"], row.get("id"), row.get("addr"), row.get("name") or None, row.get("user"),
                       row.get("db"), human_seconds(row.get("age")), human_seconds(row.get("idle")), row.get("flags"),
                       row.get("cmd"), row.get("resp"), human_bytes(row.get("qbuf")), human_bytes(row.get("omem")),
                       human_bytes(row.get("tot-mem")),
                       " ".join(filter(None, (row.get("lib-name"), row.get("lib-ver")))) or None]
                      for row in result["clients"]])
        screen.line()
        screen.line(plural(len(result["clients"]), "client"))
    for silent in result["silent"]:
        screen.line(f"{silent['name']}: {silent['error']}")


COMMANDS: Final = (
    Command("clients", "who is connected; sort, filter, kill", "Lists the clients of every proxy and engine, or ends "
            "connections. Exit code 1 where a process did not answer, or a client to be killed was gone.", clients,
            FIELDS, arguments, examples=(
                "clients --sort idle -n 10", "clients -f 'omem>1mb'", "clients -f 'name=worker-*' --on proxies",
                "clients kill 17 23", "clients kill -f 'idle>3600'")),
)
