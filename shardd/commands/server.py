"""The server as a whole: CONFIG, TIME, SLOWLOG, ROLE, REPLICAOF, SHUTDOWN and LOLWUT.

Owns: these commands, once for the engine and the proxy: nothing here knows the keyspace. Does not own what an option
does (base.options tells whoever subscribed), what is logged as slow (engine.stats), or how a process stops.

What is used of `server`: config (base.options.Config), rewrite_path, node_id ("" for a proxy), log, stats.slowlog,
mode, reset_statistics() and shutdown(save, force).
"""
from typing import Any, Final

from shardd.base import errors
from shardd.base.clock import now_us
from shardd.base.errors import CommandError
from shardd.base.limits import REDIS_VERSION
from shardd.base.option_table import OPTIONS
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import parse_integer
from shardd.net import policy
from shardd.net.client import ClientFlag
from shardd.wire.values import NO_REPLY, OK, Verbatim

SLOWLOG_SHOWN: Final = 10
"""Entries that SLOWLOG GET shows where it is not told how many, as in Redis."""

def is_local(client: Any) -> bool:
    """Whether a client is on this host: what the value `local` of the enable-* options means.

    A proxy's connection is, since it comes over a Unix socket: the proxy has asked the same about the client behind it.
    """
    return policy.is_local(client.transport)


def may_debug(server: Any, client: Any) -> bool:
    """Whether a client may use DEBUG (enable-debug-command); as in Redis, not even AUTH makes up for it."""
    who = server.config["enable-debug-command"]
    return who == "yes" or (who == "local" and is_local(client))


def time(server: Any, client: Any, args: list[bytes]) -> Any:
    """TIME: unix time as seconds and microseconds."""
    return [b"%d" % part for part in divmod(now_us(), 1_000_000)]


# --- CONFIG -------------------------------------------------------------------------------------------------------

def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def config_get(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG GET pattern [pattern ...]"""
    found = server.config.match([_text(pattern) for pattern in args[2:]])
    return {_raw(name): _raw(value) for name, value in found.items()}


def config_set(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG SET option value [option value ...]: all of them or none."""
    if len(args) % 2:
        raise CommandError(errors.SYNTAX)
    server.config.set_many(list(zip(args[2::2], args[3::2], strict=True)), is_local(client))
    return OK


def config_rewrite(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG REWRITE: the user's file.

    A child of the supervisor, which was started with a file made for it, writes there only what CONFIG SET has changed;
    an engine leaves out what it has a share of, since the file says the whole.
    """
    if not server.rewrite_path:
        raise CommandError(errors.CONFIG_NO_FILE)
    only: set[str] | None = None
    if server.rewrite_path != server.config.path:
        only = {name for name in server.config.set_names if not (server.node_id and OPTIONS[name].shared_out)}
    server.config.rewrite(server.rewrite_path, only)
    server.log.notice("CONFIG REWRITE executed with success.")
    return OK


def config_resetstat(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG RESETSTAT"""
    server.reset_statistics()
    return OK


def config_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """CONFIG HELP"""
    return help_lines("CONFIG", [
        "GET <pattern> [<pattern> ...]",
        "    The options whose names match, and their values.",
        "SET <option> <value> [<option> <value> ...]",
        "    Change options, all or none.",
        "RESETSTAT",
        "    Set the counters that INFO shows to zero.",
        "REWRITE",
        "    Bring the configuration file up to date.",
    ])


# --- SLOWLOG ------------------------------------------------------------------------------------------------------

def slowlog_get(server: Any, client: Any, args: list[bytes]) -> Any:
    """SLOWLOG GET [count]: [id, unix time, microseconds, arguments, address, name] each, newest first; -1: all."""
    if len(args) > 3:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    count: int | None = SLOWLOG_SHOWN
    if len(args) == 3:
        count = parse_integer(args[2])
        if count is None or count < -1:
            raise CommandError(errors.SLOWLOG_COUNT)
    entries = list(server.stats.slowlog.entries)
    return [list(entry) for entry in (entries if count == -1 else entries[:count])]


def slowlog_len(server: Any, client: Any, args: list[bytes]) -> Any:
    """SLOWLOG LEN"""
    return len(server.stats.slowlog.entries)


def slowlog_reset(server: Any, client: Any, args: list[bytes]) -> Any:
    """SLOWLOG RESET"""
    server.stats.slowlog.entries.clear()
    return OK


def slowlog_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """SLOWLOG HELP"""
    return help_lines("SLOWLOG", [
        "GET [<count>]",
        "    The latest entries (10 unless told, all with -1). Each has:",
        "    id, unix time, microseconds, arguments, the client's address and its name",
        "LEN",
        "    How many entries there are.",
        "RESET",
        "    Forget them all.",
    ])


# --- replication, as long as there is none ------------------------------------------------------------------------

def role(server: Any, client: Any, args: list[bytes]) -> Any:
    """ROLE: a primary at offset 0 without replicas."""
    return [b"master", 0, []]


def replicaof(server: Any, client: Any, args: list[bytes]) -> Any:
    """REPLICAOF NO ONE; there is nothing yet that could follow a primary."""
    if server.mode == "cluster":
        raise CommandError(errors.REPLICAOF_IN_CLUSTER)
    if args[1].lower() == b"no" and args[2].lower() == b"one":
        return OK
    raise CommandError(errors.REPLICAOF_NOT_YET)


# --- SHUTDOWN, LOLWUT ---------------------------------------------------------------------------------------------

def shutdown(server: Any, client: Any, args: list[bytes]) -> Any:
    """SHUTDOWN [NOSAVE | SAVE] [NOW] [FORCE] | ABORT: no reply where it succeeds, the connection closes.

    There are no replicas to wait for, so NOW changes nothing and there is never anything to ABORT. Where the data
    cannot be saved the server stays, unless FORCE says to stop all the same.
    """
    words = {word.lower() for word in args[1:]}
    if words - {b"nosave", b"save", b"now", b"force", b"abort"} or {b"nosave", b"save"} <= words:
        raise CommandError(errors.SYNTAX)
    if b"abort" in words:
        raise CommandError(errors.SYNTAX if len(words) > 1 else errors.SHUTDOWN_NOT_IN_PROGRESS)
    server.log.warning(f"User requested shutdown (client id={client.id} addr={client.transport.peer})")
    if not server.shutdown(True if b"save" in words else False if b"nosave" in words else None, b"force" in words):
        raise CommandError(errors.SHUTDOWN_FAILED)
    client.flags |= ClientFlag.CLOSE_AFTER_REPLY
    return NO_REPLY


_COLUMNS: Final = 64
_LOLWUT_ROWS: Final = 16


def lolwut(server: Any, client: Any, args: list[bytes]) -> Any:
    """LOLWUT [VERSION n] [...]: rule 90, row by row from a random start, and the version."""
    state = now_us() * 0x9E3779B97F4A7C15 % 2**_COLUMNS | 1
    lines = []
    for _ in range(_LOLWUT_ROWS):
        lines.append("".join("#" if state >> column & 1 else " " for column in range(_COLUMNS)).rstrip())
        state = (state << 1 ^ state >> 1) % 2**_COLUMNS
    return Verbatim("\n".join(lines) + f"\n\nOne engine per core, sixteen rows per visit. Redis ver. {REDIS_VERSION}\n")


HANDLERS: Final[dict[str, Handler]] = {
    "time": time,
    "config|get": config_get,
    "config|set": config_set,
    "config|rewrite": config_rewrite,
    "config|resetstat": config_resetstat,
    "config|help": config_help,
    "slowlog|get": slowlog_get,
    "slowlog|len": slowlog_len,
    "slowlog|reset": slowlog_reset,
    "slowlog|help": slowlog_help,
    "role": role,
    "replicaof": replicaof,
    "slaveof": replicaof,
    "shutdown": shutdown,
    "lolwut": lolwut,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
