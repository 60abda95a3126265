"""shardctl restart, reload and logs: what the supervisor does while one watches.

Owns: sending the supervisor's streaming verbs and showing what comes. Does not own what they do (supervisor/control.py
describes them): bulk strings, one sentence or log line each, until a simple string (done) or an error (refused, or
stopped half-way).
"""

import argparse
import re
from collections.abc import Iterator
from typing import Any, Final

from shardd.base.errors import CommandError
from shardd.ctl.command import App, Command
from shardd.ctl.facts import text
from shardd.ctl.link import EXIT_BAD, EXIT_OK, Connection, CtlError, UsageError
from shardd.wire.values import Simple

_FOR_EVER: Final = 0.0
"""A restart waits for children, and followed logs for something to happen."""

_LOG_LINE: Final = re.compile(r"(\d+):([A-Z]) (\d+ \w+ \d+ [\d:.]+) ([.\-*#]) (.*)", re.DOTALL)
_LEVELS: Final = {".": "debug", "-": "verbose", "*": "notice", "#": "warning"}
_ROLES: Final = {"V": "supervisor", "M": "engine", "P": "proxy"}


def stream(connection: Connection, *words: str | int) -> Iterator[str]:
    """The lines of a streaming verb. Raises CommandError for an error at its end, Unreachable where it breaks off."""
    connection.send(*words)
    while True:
        reply = connection.receive(_FOR_EVER)
        if isinstance(reply, CommandError):
            raise CommandError(reply.text)
        if isinstance(reply, Simple):
            return
        yield text(reply)


def explained(error: str) -> str:
    """A verb's error for a person: without ERR, and with the reason where the supervisor does not know the verb."""
    error = error.removeprefix("ERR ")
    if error.startswith(("unknown command", "unknown subcommand")):
        return f"{error}: this supervisor is older than shardctl"
    return error


def _progress(app: App, *words: str) -> int:
    """Shows a verb's sentences as they come; as JSON, all of them at its end."""
    steps, error = [], None
    try:
        for line in stream(app.source.control(), *words):
            steps.append(line)
            if not app.as_json:
                app.screen.line(line, flush=True)
    except CommandError as failure:
        error = str(failure)
    if app.as_json:
        app.screen.json({"ok": error is None, "steps": steps, "error": error})
    elif error is not None:
        raise CtlError(_advice(explained(error)))
    return EXIT_OK if error is None else EXIT_BAD


def _advice(error: str) -> str:
    if "would lose" in error and "--lose-data" not in error:
        return f"{error}. If they may be lost, add --lose-data"
    return error


_PROGRESS_FIELDS: Final = {
    "ok": "whether it was done to the end", "steps": "what was said on the way: sentences, in order",
    "error": "why it was refused or stopped; null where it was not"}


# --- restart, reload ----------------------------------------------------------------------------------------------

def target(words: list[str]) -> list[str]:
    """`engine 0`, `engine-0`, `ENGINES`, `all` -> the supervisor's words. Raises UsageError."""
    parts = " ".join(words).lower().replace("-", " ").split()
    if len(parts) == 1 and parts[0] in ("engines", "proxies", "all"):
        return parts
    if len(parts) == 2 and parts[0] in ("engine", "proxy") and parts[1].isdecimal():
        return parts
    raise UsageError(f"restart {' '.join(words)}: say what: all, engines, proxies, 'engine N' or 'proxy N'")


def restart(app: App) -> int:
    """SHARDD RESTART."""
    words = [word.upper() for word in target(app.options.what)]
    return _progress(app, "SHARDD", "RESTART", *words, *(["LOSE-DATA"] if app.options.lose_data else []))


def reload(app: App) -> int:
    """SHARDD RELOAD."""
    return _progress(app, "SHARDD", "RELOAD")


def _restart_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="+", metavar="WHAT", help="all, engines, proxies, engine N or proxy N")
    parser.add_argument("--lose-data", action="store_true", help="restart engines although their keys are lost by it, "
                        "as nothing is on disk")


# --- logs ---------------------------------------------------------------------------------------------------------

LOG_FIELDS: Final = {
    "line": "the whole line; one JSON object per line of output",
    "pid": "process id; null where the line has another form", "role": "supervisor, engine or proxy; null likewise",
    "time": "as in the line; null likewise", "level": "debug, verbose, notice or warning; null likewise",
    "message": "the rest of the line; null likewise"}


def parse_log(line: str) -> dict[str, Any]:
    """The parts of a log line."""
    match = _LOG_LINE.match(line)
    found: dict[str, Any] = {"line": line} | dict.fromkeys(("pid", "role", "time", "level", "message"))
    if match is not None:
        pid, role, time, level, message = match.groups()
        found |= {"pid": int(pid), "role": _ROLES.get(role), "time": time, "level": _LEVELS[level], "message": message}
    return found


def logs(app: App) -> int:
    """SHARDD LOGS."""
    options = app.options
    who = " ".join(options.who).lower().replace("-", " ").split()
    if not (who in ([], ["all"], ["supervisor"]) or (len(who) == 2 and who[0] in ("engine", "proxy")
                                                     and who[1].isdecimal())):
        raise UsageError(f"logs {' '.join(options.who)}: say whose: all, supervisor, 'engine N' or 'proxy N'")
    if options.lines < 0:
        raise UsageError("logs -n: a number of lines, 0 or more")
    words = [*(who or ["all"]), "COUNT", options.lines, *(["FOLLOW"] if options.follow else [])]
    for line in stream(app.source.control(), "SHARDD", "LOGS", *words):
        if app.as_json:
            app.screen.json(parse_log(line), lines=True)
        else:
            level = parse_log(line)["level"]
            app.screen.line(line, "yellow" if level == "warning" else "", flush=True)
    return EXIT_OK


def _log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("who", nargs="*", metavar="WHO", help="all, supervisor, engine N or proxy N [all]")
    parser.add_argument("-n", "--lines", type=int, default=100, metavar="N", help="the latest so many lines [100]")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is logged from now on")


COMMANDS: Final = (
    Command("restart", "restart engines or proxies, one after another", "Restarts processes one after another, and "
            "says each step. Proxies hand their listening sockets over, so no connection is refused; engines whose "
            "keys would be lost are restarted only with --lose-data. Exit code 1 where it was refused or stopped "
            "half-way.", restart,
            _PROGRESS_FIELDS, _restart_arguments,
            examples=("restart proxies", "restart engine 0 --lose-data", "restart all")),
    Command("reload", "read the configuration file again", "Has the supervisor read its configuration file again, and "
            "says what has changed and what needs a restart. Where the file has a mistake nothing is changed, and the "
            "exit code is 1.", reload, _PROGRESS_FIELDS),
    Command("logs", "what the processes logged; -f follows", "Shows the latest lines that supervisor, engines and "
            "proxies logged, from the supervisor's memory. With --json each line is a JSON object.", logs, LOG_FIELDS,
            _log_arguments, examples=("logs -n 20", "logs engine 1 -f")),
)
