"""shardctl: looks at a running shardd, and tells it what to do.

    shardctl [--json] [where to ask] COMMAND [words and options of the command] [--json] [where to ask]

Owns: the command line, whom to ask (source.py), and the exit codes. Does not own what a subcommand does: each is in a
module of its own, which also says what its JSON fields are.

Exit codes: 0 all is well; 1 it answered, and the answer is bad: something is down, refused, or different; 2 the command
line asks for what cannot be; 3 nobody answers, or not us. Errors are one line on stderr that says what was wrong,
where, and what to do.
"""

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

from shardd.base.errors import CommandError
from shardd.cluster.topology import TopologyError
from shardd.ctl import backup, clients, config, doctor, importing, latency, restore, slots, status, top, tree
from shardd.ctl.command import App, Command
from shardd.ctl.link import EXIT_BAD, EXIT_OK, CtlError, Login, UsageError
from shardd.ctl.show import Screen
from shardd.ctl.source import Late, Source, open_source

COMMANDS: Final[dict[str, Command]] = {
    command.name: command for part in (status, slots, clients, top, latency, doctor, config, tree, backup, restore,
                                       importing)
    for command in part.COMMANDS}
"""Every subcommand, in the order of the help."""

_INTERRUPTED: Final = 130
"""As a shell reports SIGINT."""

_ABOUT: Final = "Looks at a running shardd, and tells it what to do."

_EPILOG: Final = """\
  These options may stand before the command or behind it. Where nothing is said, the tree whose dir is the working
  directory is asked, else the server on 127.0.0.1:6379. On the server's own host any of its ports leads to its
  supervisor, as long as this user may open the supervisor's socket.

exit codes:
  0 all is well   1 the answer is bad   2 wrong command line   3 nobody answers

environment:
  SHARDD_AUTH     the password, where --pass is not given
  NO_COLOR        no colours on a terminal

shardctl COMMAND --help explains a command and its JSON fields."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="shardctl", add_help=False, description=_ABOUT, epilog=_EPILOG,
                                   usage="shardctl COMMAND [WORD ...] [option ...]", parents=[_common(None)],
                                   formatter_class=argparse.RawDescriptionHelpFormatter)
    root.add_argument("-v", "--version", action="version", version=f"shardctl {_version()}",
                      help="show the version and exit")
    commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True, title="commands", prog="shardctl")
    common = _common(argparse.SUPPRESS)
    for command in COMMANDS.values():
        one = commands.add_parser(command.name, help=command.help, parents=[common], add_help=False,
                                  description=textwrap.fill(command.about, 100), epilog=_epilog_of(command),
                                  formatter_class=argparse.RawDescriptionHelpFormatter)
        command.arguments(one)
    return root


def _common(default: str | None) -> argparse.ArgumentParser:
    """What may stand before the command, as with redis-cli, and behind it; there what was not given must not count, or
    it would take away what stands before."""
    common = argparse.ArgumentParser(add_help=False, argument_default=default)
    common.add_argument("--help", action="help", help="show this help and exit")
    common.add_argument("--json", action="store_true", help="JSON instead of text, for scripts")
    where = common.add_argument_group("where to ask")
    where.add_argument("--dir", metavar="DIR", help="the server's dir; asks the supervisor at DIR/run/supervisor.sock")
    where.add_argument("--conf", metavar="FILE", help="the server's configuration file: takes dir from it")
    where.add_argument("-h", dest="host", metavar="HOST", help="ask a server, proxy or engine, over TCP [127.0.0.1]")
    where.add_argument("-p", dest="port", metavar="PORT", type=_port, help="its port [6379]")
    where.add_argument("-s", "--socket", dest="socket", metavar="PATH", help="a Unix socket: a supervisor's or a "
                       "server's")
    where.add_argument("-u", dest="uri", metavar="URI", help="redis://[user[:password]@]host[:port]")
    where.add_argument("--user", metavar="NAME", help="user for AUTH [default]")
    where.add_argument("-a", "--pass", dest="password", metavar="PASSWORD", help="password for AUTH")
    return common


def _epilog_of(command: Command) -> str:
    lines = []
    if command.examples:
        lines += ["examples:", *(f"  shardctl {example}" for example in command.examples), ""]
    width = max(map(len, command.fields), default=0)
    lines += ["fields of --json:"]
    for name, meaning in command.fields.items():
        lines += textwrap.wrap(f"{name:<{width}}  {meaning}", 110, initial_indent="  ",
                               subsequent_indent=" " * (width + 4))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """The console script. Ends the process with the exit code."""
    sys.stdout.reconfigure(errors="backslashreplace")     # type: ignore[union-attr]
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """One invocation; returns the exit code. argparse ends the process by itself, with 2, for a wrong command line."""
    options = parser().parse_args(argv)
    command = COMMANDS[options.command]
    try:
        with Late(lambda: _source(options, command)) if command.late else _source(options, command) as source:
            code = command.run(App(options, Screen(options.json), source))
        sys.stdout.flush()
        return code
    except CtlError as error:
        print(f"shardctl: {error}", file=sys.stderr)
        return error.exit_code
    except (CommandError, TopologyError) as error:
        print(f"shardctl: the server answers: {error}", file=sys.stderr)
        return EXIT_BAD
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK


def _source(options: argparse.Namespace, command: Command) -> Source:
    """The source that the command line names. Raises CtlError."""
    host, port, user, password = options.host, options.port, options.user, options.password
    if options.uri is not None:
        if host is not None or port is not None:
            raise UsageError("-u names host and port already: leave -h and -p away")
        host, port, user, password = _of_uri(options.uri, user, password)
    named = [name for name, given in (("--dir", options.dir), ("--conf", options.conf), ("-s", options.socket),
                                      ("-h, -p or -u", host if host is not None else port)) if given is not None]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other: give one of them")
    if password is None:
        password = os.environ.get("SHARDD_AUTH")
    if user is not None and password is None:
        raise UsageError("--user wants a password too: give --pass, or SHARDD_AUTH in the environment")
    return open_source(directory=options.dir, conf=options.conf, path=options.socket, host=host, port=port,
                       login=Login(user, password), as_server=command.asks_server)


def _of_uri(uri: str, user: str | None, password: str | None) -> tuple[str, int, str | None, str | None]:
    """Host, port, user and password. Raises UsageError."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"-u {uri}: {error}") from None
    if parts.scheme not in ("redis", "valkey") or not parts.hostname:
        raise UsageError(f"-u {uri}: it has the form redis://[user[:password]@]host[:port]")
    return (parts.hostname, port or 6379, user or (unquote(parts.username) if parts.username else None),
            password or (unquote(parts.password) if parts.password else None))


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError
    return port


_port.__name__ = "port"  # argparse names the type in its message


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("shardd")
    except metadata.PackageNotFoundError:
        return "0"


if __name__ == "__main__":
    main()
