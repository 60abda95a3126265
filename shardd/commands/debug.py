"""DEBUG: for tests, and for looking inside.

Owns: its subcommands. They are no rows of the table: Redis too knows DEBUG as one command. Does not own who may use it
(commands.server.may_debug). Those of Redis that are about what does not exist here
answer as unknown subcommands do. CHECK is ours: it walks all tables and the allocator's lists and names the first
invariant that does not hold.

What is used of `server`: config, log, keyspace, persistence, expire_enabled, cron_paused, replication_id, context.
"""
import re
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

from shardd.base import digest, errors
from shardd.base.errors import CommandError
from shardd.base.option_types import parse_memory
from shardd.commands.plain import Handler, help_lines
from shardd.commands.server import may_debug
from shardd.commands.table import parse_integer
from shardd.keyspace import chains, inspection
from shardd.keyspace.audit import check_database
from shardd.net.client import ClientFlag
from shardd.structures import alloc, arrays, glob, list_nodes
from shardd.wire.values import OK, Simple, Verbatim

PACKED_THRESHOLD_MAX: Final = 4 * 1024**3

LISTPACK_SHOWN_BYTES: Final = 64
"""Of each element: the log is for people."""

SLEEP_S_MAX: Final = 2.0**31
"""More than anybody waits, and less than the system's clock can count."""

_NUMBER: Final = re.compile(rb"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE: Final = re.compile(rb"\s*[+-]?\d+")


def _database(server: Any, client: Any) -> Any:
    return server.keyspace.databases[client.db]


# --- subcommands --------------------------------------------------------------------------------------------------

def seconds(raw: bytes) -> float:
    """SLEEP's argument: the number that it starts with; 0 where that is negative, or there is none, as in Redis."""
    number = _NUMBER.match(raw)
    return min(max(0.0, float(number[0])), SLEEP_S_MAX) if number else 0.0


def _sleep(server: Any, client: Any, args: list[bytes]) -> Any:
    """The engine stands still, which is the point."""
    time.sleep(seconds(args[2]))
    return OK


def _object(server: Any, client: Any, args: list[bytes]) -> Any:
    seen = inspection.describe(_database(server, client), args[2])
    if seen is None:
        raise CommandError(errors.NO_SUCH_KEY)
    return Simple(f"Value at:{seen['address']:#x} refcount:{seen['refcount']} encoding:{seen['encoding']} "
                  f"serializedlength:{seen['serialized']} lru:{seen['access']} lru_seconds_idle:{seen['idle']}"
                  f"{seen['more']}")


def _set_active_expire(server: Any, client: Any, args: list[bytes]) -> Any:
    number = _WHOLE.match(args[2])
    server.expire_enabled = bool(number and int(number[0]))
    return OK


def _pause_cron(server: Any, client: Any, args: list[bytes]) -> Any:
    number = _WHOLE.match(args[2])
    server.cron_paused = bool(number and int(number[0]))
    return OK


def _aof_flush_sleep(server: Any, client: Any, args: list[bytes]) -> Any:
    number = _WHOLE.match(args[2])
    server.aof.writer.flush_sleep_us = min(max(0, int(number[0])), 2**32 - 1) if number else 0
    return OK


def _nothing(server: Any, client: Any, args: list[bytes]) -> Any:
    """About what does not exist here, or is not to be told apart."""
    return OK


def _table_stats(server: Any, client: Any, args: list[bytes]) -> Any:
    number = parse_integer(args[2])
    if number is None:
        raise CommandError(errors.NOT_INTEGER)
    if not 0 <= number < len(server.keyspace.databases):
        raise CommandError(errors.DEBUG_DATABASE)
    return Verbatim(chains.database_chains(server.keyspace.databases[number]))


def _table_stats_of_key(server: Any, client: Any, args: list[bytes]) -> Any:
    text = chains.value_chains(_database(server, client), args[2])
    if text is None:
        raise CommandError(errors.NO_SUCH_KEY)
    if not text:
        raise CommandError(errors.DEBUG_NO_HASH_TABLE)
    return Verbatim(text)


def _match(server: Any, client: Any, args: list[bytes]) -> Any:
    return int(glob.match(args[2], args[3]))


def _change_replication_id(server: Any, client: Any, args: list[bytes]) -> Any:
    server.replication_id = secrets.token_hex(20)
    return OK


def _packed_threshold(server: Any, client: Any, args: list[bytes]) -> Any:
    """From how many bytes on an element gets a node of its own, of all lists of this process; 0: as it was."""
    size = parse_memory(args[2].decode("latin-1"))
    if size is None or not 0 <= size < PACKED_THRESHOLD_MAX:
        raise CommandError(errors.DEBUG_PACKED_THRESHOLD)
    list_nodes.set_packed_threshold(size)
    return OK


def _listpack(server: Any, client: Any, args: list[bytes]) -> Any:
    """What Redis prints to its standard output goes into the log."""
    items = inspection.packed_items(_database(server, client), args[2])
    if items is None:
        raise CommandError(errors.NO_SUCH_KEY)
    if not isinstance(items, list):
        raise CommandError(errors.DEBUG_NO_LISTPACK)
    server.log.notice(f"DEBUG LISTPACK: {len(items)} elements")
    for index, item in enumerate(items):
        server.log.notice(f"  {index}: {item[:LISTPACK_SHOWN_BYTES]!r}, {len(item)} bytes")
    return Simple("Listpack structure printed on stdout")


def _digest(server: Any, client: Any, args: list[bytes]) -> Any:
    return Simple(digest.dataset([inspection.key_digests(server.keyspace.databases)]).hex())


def _digest_keys(server: Any, client: Any, args: list[bytes]) -> Any:
    """What a dataset's digest is made of, for whoever joins several engines: database, sum of its keys, ..."""
    parts = inspection.key_digests(server.keyspace.databases)
    return [item for db, keys in parts.items() for item in (db, f"{keys:0{2 * digest.DIGEST_BYTES}x}".encode())]


def _digest_value(server: Any, client: Any, args: list[bytes]) -> Any:
    return [Simple(inspection.value_digest(_database(server, client), key).hex()) for key in args[2:]]


def _log(server: Any, client: Any, args: list[bytes]) -> Any:
    server.log.warning("DEBUG LOG: " + args[2].decode("utf-8", "replace"))
    return OK


def _error(server: Any, client: Any, args: list[bytes]) -> Any:
    raise CommandError(errors.one_line(args[2]))


def _reload(server: Any, client: Any, args: list[bytes]) -> Any:
    """Save everything, forget it, and load it again."""
    words = {word.lower() for word in args[2:]}
    if not words <= {b"merge", b"noflush", b"nosave"}:
        raise CommandError(errors.DEBUG_RELOAD_OPTIONS)
    server.persistence.reload(merge=b"merge" in words, flush=b"noflush" not in words, save=b"nosave" not in words)
    return OK


def _load_aof(server: Any, client: Any, args: list[bytes]) -> Any:
    """Forget everything, and load the append only file."""
    server.persistence.load_aof()
    return OK


def _check(server: Any, client: Any, args: list[bytes]) -> Any:
    try:
        for db in server.keyspace.databases:
            check_database(db)
        alloc.check()
        arrays.check()
    except AssertionError as error:
        raise CommandError(errors.check_failed(str(error))) from None
    return OK


_EXAMPLES: Final[dict[bytes, Any]] = {
    b"string": b"Hello World", b"integer": 12345, b"double": 3.141,
    b"bignum": 1234567999999999999999999999999999999, b"null": None, b"array": [0, 1, 2],
    b"set": {0, 1, 2}, b"map": {0: False, 1: True, 2: False},
    b"attrib": b"Some real reply following the attribute", b"push": b"Some real reply following the push reply",
    b"verbatim": Verbatim("This is a verbatim\nstring"), b"true": True, b"false": False}
"""DEBUG PROTOCOL's values, those of Redis."""

_BEFORE: Final[dict[bytes, bytes]] = {
    b"attrib": b"|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n",
    b"push": b">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n"}
"""What comes before the reply in RESP3."""


def _protocol(server: Any, client: Any, args: list[bytes]) -> Any:
    name = args[2].lower()
    if name not in _EXAMPLES:
        raise CommandError(errors.debug_protocol(list(_EXAMPLES)))
    if name in _BEFORE and client.flags & ClientFlag.INTERNAL:
        # on a link, a proxy would take it for a message of its own
        raise CommandError(errors.not_through_proxy("debug protocol " + name.decode()))
    if name in _BEFORE and client.resp == 3:
        server.context.reply.write_raw(_BEFORE[name])
    elif name == b"push":
        raise CommandError(errors.RESP2_NOT_SUPPORTED)
    return _EXAMPLES[name]


def _help(server: Any, client: Any, args: list[bytes]) -> Any:
    return help_lines("DEBUG", [
        "AOF-FLUSH-SLEEP <microsec>",
        "    Rest for so long before each write to the append only file.",
        "CHANGE-REPL-ID",
        "    Make a new replication id.",
        "CHECK",
        "    Walk all tables and the allocator; OK, or what is broken.",
        "DIGEST",
        "    A signature of all keys; equal data has equal signatures, here and in Redis.",
        "DIGEST-KEYS",
        "    What DIGEST is made of: numbers of databases, each with the sum of its keys' digests.",
        "DIGEST-VALUE <key> [<key> ...]",
        "    Signatures of these keys' values.",
        "ERROR <string>",
        "    Reply with this error.",
        "HTSTATS <dbid> [full]",
        "    How full the tables of a database are.",
        "HTSTATS-KEY <key> [full]",
        "    How full the table of a value is.",
        "LISTPACK <key>",
        "    Log the elements of a value that is one listpack.",
        "LOADAOF",
        "    Forget all keys and load the append only file.",
        "LOG <message>",
        "    Write a line to the log.",
        "OBJECT <key>",
        "    How a key is stored.",
        "PAUSE-CRON <0|1>",
        "    Whether nothing happens by the clock any more: no expiry, no freeing, no statistics, no time-outs.",
        "PROTOCOL <type>",
        "    An example of a type: string, integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "QUICKLIST-PACKED-THRESHOLD <size>",
        "    Elements of lists that are so large get a node of their own; 0: the default.",
        "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
        "    Save all keys, forget them and load them again. MERGE: of a key that is there twice the file's stays,",
        "    NOFLUSH: the keys stay, NOSAVE: the file is loaded as it is.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Whether keys that are due go before anybody asks for them.",
        "SLEEP <seconds>",
        "    Stand still for so long; decimals allowed.",
        "STRINGMATCH-LEN <pattern> <string>",
        "    1 where the glob matches the string, else 0.",
        "DICT-RESIZING <0|1>, DROP-CLUSTER-PACKET-FILTER <type>, JMAP,",
        "REPLYBUFFER <option> <value>, SET-DISABLE-DENY-SCRIPTS <0|1>, SET-SKIP-CHECKSUM-VALIDATION <0|1>",
        "    Accepted; no effect.",
    ])


SUBCOMMANDS: Final[dict[bytes, tuple[int, Callable[[Any, Any, list[bytes]], Any]]]] = {
    b"sleep": (3, _sleep),
    b"object": (3, _object),
    b"set-active-expire": (3, _set_active_expire),
    b"change-repl-id": (2, _change_replication_id),
    b"listpack": (3, _listpack),
    b"quicklist-packed-threshold": (3, _packed_threshold),
    b"protocol": (3, _protocol),
    b"pause-cron": (3, _pause_cron),
    b"htstats": (-3, _table_stats),
    b"htstats-key": (-3, _table_stats_of_key),
    b"stringmatch-len": (4, _match),
    b"jmap": (-2, _nothing),
    b"aof-flush-sleep": (3, _aof_flush_sleep),
    b"dict-resizing": (3, _nothing),
    b"drop-cluster-packet-filter": (3, _nothing),
    b"replybuffer": (4, _nothing),
    b"set-disable-deny-scripts": (3, _nothing),
    b"set-skip-checksum-validation": (3, _nothing),
    b"reload": (-2, _reload),
    b"loadaof": (2, _load_aof),
    b"digest": (2, _digest),
    b"digest-keys": (2, _digest_keys),
    b"digest-value": (-2, _digest_value),
    b"log": (3, _log),
    b"error": (3, _error),
    b"check": (2, _check),
    b"help": (2, _help),
}
"""Subcommand -> number of arguments as COMMAND gives it (negative: at least), and who does it."""


def debug(server: Any, client: Any, args: list[bytes]) -> Any:
    """DEBUG subcommand [argument ...]"""
    if not may_debug(server, client):
        raise CommandError(errors.PROTECTED_DEBUG)
    arity, handler = SUBCOMMANDS.get(args[1].lower(), (0, None))
    if handler is None or (len(args) != arity if arity > 0 else len(args) < -arity):
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    return handler(server, client, args)


HANDLERS: Final[dict[str, Handler]] = {"debug": debug}
"""Full lower-case command name -> handler, for whoever builds a registry."""
