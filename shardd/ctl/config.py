"""shardctl config: get and set options, write them to the file, and see where anything differs.

Owns: these four, and the comparison. Does not own the options (base/option_table.py), the file's syntax
(base/options.py), or what CONFIG does (proxy/aggregate.py).

    get       what the front says: a proxy of a tree, or the server that was named; and every process that says
              something else. The engines' shares of what is shared out should add up, and the rest be alike, but for
              what the supervisor gives each process itself (_OWN).
    diff      the running values against the file, as it would be read now
"""

import argparse
import contextlib
import os
from collections.abc import Iterable
from typing import Final

import psutil

from shardd.base.errors import CommandError, ConfigError
from shardd.base.option_table import BY_NAME, OPTIONS, engine_share
from shardd.base.options import Config
from shardd.ctl.command import App, Command
from shardd.ctl.facts import Info, mapping, text
from shardd.ctl.human import plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, CtlError, UsageError, ask, is_answer
from shardd.ctl.source import PROXY, Source

_OWN: Final = frozenset(("port", "bind", "unixsocket", "dir", "logfile", "pidfile", "cluster-enabled", "engines",
                        "proxies"))
"""Options that the supervisor sets for each child, or that a child has no use for."""

_PATHS: Final = frozenset(("logfile", "pidfile", "unixsocket"))
"""Relative ones are counted from `dir`, and running processes say the absolute path."""

_HIDDEN: Final = "(hidden)"


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `config`."""
    parser.add_argument("action", choices=("get", "set", "rewrite", "diff"), help="what to do")
    parser.add_argument("words", nargs="*", metavar="WORD", help="get: names or globs [*]; set: NAME VALUE ...")
    parser.add_argument("--rewrite", action="store_true", help="after set: write it to the configuration file too")
    parser.add_argument("--file", metavar="FILE", help="diff: the file to compare with [the one it was started with]")
    parser.add_argument("--secrets", action="store_true", help="show passwords")


FIELDS: Final = {
    "ok": "get: whether all processes agree; set, rewrite: true; diff: whether nothing differs",
    "values": "get: name -> value",
    "set": "set: name -> value as it is now",
    "rewritten": "set, rewrite: the file that was written; null for none",
    "file": "diff: the file",
    "differences": "get, diff: a list",
    "differences[].name": "the option",
    "differences[].process": "get: who has another value: engine 1 ...",
    "differences[].expected": "get: what it should have",
    "differences[].value": "get: what it has",
    "differences[].running": "diff: the value in force",
    "differences[].in_file": "diff: the value that the file gives",
    "differences[].where": "diff: file:line; default where the file does not name it",
    "differences[].takes": "diff: reload where the file's value can be taken over at once, restart where it cannot",
}
_MAPS: Final = ("values", "set")
"""Fields whose inner names are options."""


def config(app: App) -> int:
    """One of the four."""
    options = app.options
    if options.words and options.action in ("rewrite", "diff"):
        raise UsageError(f"config {options.action} takes no words: {' '.join(options.words)}")
    return {"get": get, "set": set_, "rewrite": rewrite, "diff": diff}[options.action](app)


def running(source: Source, *patterns: str) -> dict[str, str]:
    """What CONFIG GET says at the front. Raises CtlError."""
    try:
        found = mapping(source.front().call("CONFIG", "GET", *patterns))
    except CommandError as error:
        raise CtlError(f"CONFIG GET: {error}") from None
    return {name: text(value) for name, value in found.items()}


def shown(name: str, value: str, secrets: bool = False) -> str:
    """An option's value for people: a password only where it is asked for."""
    option = BY_NAME.get(name)
    return _HIDDEN if option is not None and option.sensitive and value and not secrets else value


# --- get ----------------------------------------------------------------------------------------------------------

def differences(source: Source, values: dict[str, str]) -> list[dict[str, str]]:
    """Which processes have other values than the front has."""
    found: list[dict[str, str]] = []
    front = source.front()
    if front.kind != PROXY:
        return found
    others = [node for node in source.nodes if node is not front and (node.kind != PROXY or source.is_local)]
    for kind in sorted({node.kind for node in others}):
        names = [name for name in values if name in OPTIONS and kind in OPTIONS[name].readers and name not in _OWN]
        nodes = [node for node in others if node.kind == kind]
        if not names:
            continue
        # `status` tells who does not answer
        answers = {node: {name: text(value) for name, value in mapping(answer).items()}
                   for node, answer in ask(nodes, "CONFIG", "GET", *names).items() if is_answer(answer)}
        for node, has in answers.items():
            for name in names:
                if OPTIONS[name].shared_out and _add_up(name, values[name], answers.values()):
                    continue
                expected = engine_share(name, values[name], len(source.engines)) if kind != PROXY else values[name]
                if name in has and has[name] != expected:
                    found.append({"name": name, "process": node.name, "expected": expected, "value": has[name]})
    return found


def _add_up(name: str, whole: str, answers: Iterable[dict[str, str]]) -> bool:
    """Whether the engines' shares of an option are the whole together: each follows what its engine uses."""
    return sum(int(has.get(name, 0)) for has in answers) == int(whole)


def get(app: App) -> int:
    """config get"""
    options = app.options
    values = running(app.source, *(options.words or ["*"]))
    if not values:
        raise CtlError(f"no option matches {' '.join(options.words)}")
    different = differences(app.source, values)
    secrets = options.secrets
    visible = {name: shown(name, value, secrets) for name, value in values.items()}
    for row in different:
        row |= {"expected": shown(row["name"], row["expected"], secrets),
                "value": shown(row["name"], row["value"], secrets)}
    if app.as_json:
        app.screen.json({"ok": not different, "values": visible, "differences": different})
        return EXIT_BAD if different else EXIT_OK
    app.screen.table(["option", "value"], [[name, value or '""'] for name, value in visible.items()])
    if different:
        app.screen.line()
        app.screen.table(["process", "option", "has", "should have"],
                         [[row["process"], row["name"], row["value"] or '""', row["expected"] or '""']
                          for row in different], title="Some processes have other values")
    return EXIT_BAD if different else EXIT_OK


# --- set, rewrite -------------------------------------------------------------------------------------------------

def set_(app: App) -> int:
    """config set"""
    words = app.options.words
    if not words or len(words) % 2:
        raise UsageError("config set: NAME VALUE pairs; quote a value that has blanks")
    names = [name.lower() for name in words[::2]]
    front = app.source.front()
    if front.kind != PROXY and len(app.source.engines) > 1:
        raise UsageError(f"{front.name} is one engine of a tree, and the others would not hear of it: ask a proxy's "
                         "address, or the supervisor with --dir")
    try:
        front.call("CONFIG", "SET", *words)
    except CommandError as error:
        raise CtlError(f"{error}{_hint(str(error))}") from None
    now = {name: value for name, value in running(app.source, *names).items() if name in names}
    path = _rewrite(app) if app.options.rewrite else None
    if app.as_json:
        app.screen.json({"ok": True, "set": {name: shown(name, value, app.options.secrets)
                                             for name, value in now.items()}, "rewritten": path})
    else:
        for name, value in now.items():
            app.screen.line(f"{name} is {shown(name, value, app.options.secrets) or 'empty'} now")
        app.screen.line(f"written to {path}" if path else "until the next start: --rewrite keeps it in the file")
    return EXIT_OK


def _hint(error: str) -> str:
    if "immutable" in error:
        return ": it is read at start alone. Put it into the configuration file, then `shardctl restart all`"
    if "protected" in error:
        return ": enable-protected-configs, which is read at start alone, would have to allow it"
    if "unknown option" in error.lower():
        return ": `shardctl config get '*'` lists them"
    return ""


def _rewrite(app: App) -> str | None:
    front = app.source.front()
    try:
        front.call("CONFIG", "REWRITE")
    except CommandError as error:
        raise CtlError(f"CONFIG REWRITE: {error}") from None
    return file_of(app.source)


def file_of(source: Source) -> str | None:
    """The configuration file that the server was started with."""
    try:
        return Info(source.front().call("INFO", "server")).text("config_file") or None
    except CommandError as error:
        raise CtlError(f"INFO: {error}") from None


def rewrite(app: App) -> int:
    """config rewrite"""
    path = _rewrite(app)
    if app.as_json:
        app.screen.json({"ok": True, "rewritten": path})
    else:
        app.screen.line(f"written to {path}")
    return EXIT_OK


# --- diff ---------------------------------------------------------------------------------------------------------

def load(path: str, cwd: str | None) -> Config:
    """The file as the server would read it now. cwd: where the server runs, for relative paths in it.

    Raises UsageError where it has a mistake or cannot be read.
    """
    path = os.path.abspath(path)
    try:
        with contextlib.chdir(cwd) if cwd else contextlib.nullcontext():
            loaded = Config.load([path], "shardctl")
            loaded.lower("dir", os.path.abspath(str(loaded["dir"])))
    except (ConfigError, OSError) as error:
        raise UsageError(str(error)) from None
    return loaded


def compare(values: dict[str, str], loaded: Config) -> list[dict[str, str]]:
    """Where running values differ from a file's. values: every option's."""
    found = []
    for name, option in OPTIONS.items():
        if name not in values:
            continue
        in_file, has = loaded.get_text(name), values[name]
        if name in _PATHS and in_file:
            in_file = os.path.join(str(loaded["dir"]), in_file)
        if has != in_file:
            found.append({"name": name, "running": has, "in_file": in_file, "where": loaded.origin(name),
                          "takes": "reload" if option.mutable else "restart"})
    return found


def supervisor_cwd(source: Source) -> str | None:
    """The working directory of the supervisor, from which relative paths count; None where that cannot be seen."""
    supervisor = source.status()["supervisor"] if source.is_local else None
    try:
        return psutil.Process(supervisor["pid"]).cwd() if supervisor else None
    except psutil.Error:
        return None


def diff(app: App) -> int:
    """config diff"""
    path = app.options.file or file_of(app.source)
    if path is None:
        raise UsageError("the server was started without a configuration file: name one with --file")
    if not app.options.file and not app.source.is_local:
        raise UsageError(f"the file {path} is on another host: run this there, or name a copy with --file")
    different = compare(running(app.source, "*"), load(path, supervisor_cwd(app.source)))
    for row in different:
        row |= {key: shown(row["name"], row[key], app.options.secrets) for key in ("running", "in_file")}
    if app.as_json:
        app.screen.json({"ok": not different, "file": path, "differences": different})
    elif not different:
        app.screen.line(f"what runs is what {path} says")
    else:
        app.screen.table(["option", "running", "in the file", "where", "takes"],
                         [[row["name"], row["running"] or '""', row["in_file"] or '""', row["where"], row["takes"]]
                          for row in different])
        app.screen.line()
        app.screen.line(f"{plural(len(different), 'difference')}. The file's value is taken over by `shardctl reload`, "
                        "or where it takes that by a restart; the running one is kept by `shardctl config rewrite`.")
    return EXIT_BAD if different else EXIT_OK


COMMANDS: Final = (
    Command("config", "get, set, write and compare options", "get shows options, and which processes have other "
            "values; set changes them on all processes; rewrite writes them to the configuration file; diff compares "
            "what runs with the file. Exit code 1 where get or diff found a difference.", config, FIELDS, arguments,
            examples=("config get 'max*'", "config set maxmemory 4gb --rewrite", "config diff")),
)
