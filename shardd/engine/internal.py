"""The SHARDD commands: what a supervisor and the proxies say to an engine over its control socket.

    SHARDD TOPOLOGY [json]      install, or show, the slot map
    SHARDD STATUS               a JSON object of figures
    SHARDD PROXY                +OK; the connection is a proxy's (control connections are internal already): from here
                                on a push `slow`, token comes in front of the reply of each command that went into the
                                slow log, whatever the protocol's version
    SHARDD SLOWLOG count        the entries of SLOWLOG GET, each with its token behind its six fields
    SHARDD CONFIG name text ... CONFIG SET by the supervisor, which may also change what is protected
    SHARDD COMMANDS             the names of all commands that this engine has
    SHARDD LATENCIES            a JSON object: command -> the histogram of its calls (structures.histogram, dump)
    SHARDD HOLD ms, RELEASE     serve this connection only, for a moment (engine.hold)
    SHARDD STOP SAVE|NOSAVE     what the SIGTERM that follows means for the data; without it the save points decide
    SHARDD BACKUP ...           this engine's part of a backup of the tree (engine.backup)

Those that carry values between engines (READ, LEND, COMPUTE, STORE, KEEP, DROP) are in engine.guests.

They exist on control connections only (ClientFlag.INTERNAL); any other client is told that there is no such command.
They are not rows of Redis's table and not part of COMMAND.
"""
import json
from collections.abc import Callable
from itertools import islice
from typing import Any

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.cluster.topology import Topology, TopologyError
from shardd.commands.table import Row
from shardd.engine import backup
from shardd.net.client import ClientFlag
from shardd.wire.values import OK

PREFIX = "shardd"


def topology(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD TOPOLOGY [json]"""
    if len(args) == 2:
        return server.topology.dumps() if server.topology is not None else None
    try:
        server.install_topology(Topology.loads(args[2]))
    except TopologyError as error:
        raise CommandError(f"ERR {error}".encode()) from None
    return OK


def status(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD STATUS"""
    return json.dumps(server.status())


def proxy(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD PROXY"""
    client.flags |= ClientFlag.PROXY
    return OK


def slowlog(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD SLOWLOG count"""
    log = server.stats.slowlog
    count = len(log.entries) if args[2] == b"-1" else int(args[2])
    return [[*entry, log.token(entry[0])] for entry in islice(log.entries, count)]


def commands(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD COMMANDS"""
    return sorted(server.built)


def config(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD CONFIG name text ..."""
    if len(args) % 2:
        raise CommandError(errors.SYNTAX)
    server.config.set_many(list(zip(args[2::2], args[3::2], strict=True)), local=True, trusted=True)
    return OK


def latencies(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD LATENCIES"""
    return json.dumps({name: histogram.dump() for name, histogram in server.registry.latencies().items()})


def hold(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD HOLD ms"""
    if not args[2].isdigit():
        raise CommandError(errors.NOT_INTEGER)
    server.dispatcher.hold.take(client, int(args[2]))
    return OK


def release(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD RELEASE"""
    server.dispatcher.hold.release(client)
    return OK


def stop(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHARDD STOP SAVE|NOSAVE"""
    word = args[2].upper()
    if word not in (b"SAVE", b"NOSAVE"):
        raise CommandError(errors.SYNTAX)
    server.save_at_stop = word == b"SAVE"
    return OK


def _internal(handler: Callable[[Any, Any, list[bytes]], Any]) -> Callable[[Any, Any, list[bytes]], Any]:
    def guarded(server: Any, client: Any, args: list[bytes]) -> Any:
        if not client.flags & ClientFlag.INTERNAL:
            raise CommandError(errors.unknown_command(args[0], args[1:]))
        return handler(server, client, args)
    return guarded


def rows() -> list[tuple[Row, Callable[[Any, Any, list[bytes]], Any] | None]]:
    """The container and its subcommands, with their handlers, for the registry."""
    container = _row(PREFIX, -2)
    pairs: list[tuple[Row, Callable[[Any, Any, list[bytes]], Any] | None]] = [(container, None)]
    for name, arity, handler in (("topology", -2, topology), ("status", 2, status), ("proxy", 2, proxy),
                                 ("slowlog", 3, slowlog), ("commands", 2, commands), ("config", -4, config),
                                 ("latencies", 2, latencies), ("hold", 3, hold), ("release", 2, release),
                                 ("stop", 3, stop), ("backup", -3, backup.command)):
        row = _row(f"{PREFIX}|{name}", arity)
        container.subcommands[name] = row
        pairs.append((row, _internal(handler)))
    return pairs


def _row(name: str, arity: int) -> Row:
    return Row("\t".join((name, "server", "0.1.0", str(arity), "admin,loading,stale,skip_slowlog", *("-" * 6))))
