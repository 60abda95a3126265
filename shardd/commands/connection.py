"""The connection commands: PING, ECHO, AUTH, HELLO, SELECT, RESET, QUIT and CLIENT.

Owns: what these commands do to a `Client` (shardd.net.client), once for the engine and the proxy. Does not own: who may
run them before AUTH (the rows' no_auth flag, dispatch), dropping replies and closing connections (the session reads
`client.flags`), or any data.

What the handlers use of `server`: `config` (base.options.Config), `clients` (net.client.Clients), `mode` ("standalone"
or "cluster"), `databases` (int), `pause` (net.pause.Pause) and, where a client can listen to any, `channels`
(net.channels.Channels). A subcommand of CLIENT that is not listed here does not exist.

The one user is `default`: without requirepass any password is right for it, as in Redis.
"""

import hmac
from collections.abc import Iterable
from typing import Any, Final

from shardd.base import errors
from shardd.base.clock import mono_ms, now_ms
from shardd.base.errors import CommandError
from shardd.base.limits import REDIS_VERSION
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import parse_integer
from shardd.net.client import ClientFlag
from shardd.net.client_eviction import client_bytes
from shardd.net.pause import PAUSE_ALL, PAUSE_WRITE
from shardd.net.policy import kind_of
from shardd.wire.values import NO_REPLY, OK, Simple, Verbatim

DEFAULT_USER: Final = b"default"

CLIENT_TYPES: Final = {b"normal": "normal", b"master": "master", b"slave": "replica", b"replica": "replica",
                       b"pubsub": "pubsub"}
"""The names of CLIENT LIST TYPE. No client is a replica or a primary until replication exists."""

_RESET_FLAGS: Final = ~int(ClientFlag.ASKING | ClientFlag.READONLY | ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP
                           | ClientFlag.REPLY_SKIP_NEXT | ClientFlag.NO_TOUCH | ClientFlag.NO_EVICT) & 0xFFFF_FFFF


# --- the plain ones -----------------------------------------------------------------------------------------------

def ping(server: Any, client: Any, args: list[bytes]) -> Any:
    """PING [message]"""
    if len(args) > 2:
        raise CommandError(errors.wrong_arity("ping"))
    if client.flags & ClientFlag.PUBSUB and client.resp == 2:
        return [b"pong", args[1] if len(args) == 2 else b""]      # in the form of a message
    return args[1] if len(args) == 2 else Simple("PONG")


def echo(server: Any, client: Any, args: list[bytes]) -> Any:
    """ECHO message"""
    return args[1]


def quit_(server: Any, client: Any, args: list[bytes]) -> Any:
    """QUIT: the connection closes after the reply."""
    client.flags |= ClientFlag.CLOSE_AFTER_REPLY
    return OK


def select(server: Any, client: Any, args: list[bytes]) -> Any:
    """SELECT index; also with several engines, where every engine has every database."""
    index = parse_integer(args[1])
    if index is None:
        raise CommandError(errors.NOT_INTEGER)
    if not -2**31 <= index < 2**31:
        raise CommandError(errors.out_of_range_between(-2**31, 2**31 - 1))
    if not 0 <= index < server.databases:
        raise CommandError(errors.DB_INDEX_OUT_OF_RANGE)
    client.db = index
    return OK


def reset(server: Any, client: Any, args: list[bytes]) -> Any:
    """RESET: back to the state of a new connection; the library's name stays, as in Redis."""
    if client.subscriptions is not None:
        server.channels.leave_all(client)
    client.db = 0
    client.resp = 2
    client.name = b""
    client.user = DEFAULT_USER
    client.authenticated = not server.config["requirepass"]
    client.flags &= _RESET_FLAGS
    client.reset_session()
    return Simple("RESET")


# --- authentication -----------------------------------------------------------------------------------------------

def authenticate(server: Any, client: Any, user: bytes, password: bytes) -> None:
    """Check a password and mark the client. Raises CommandError WRONGPASS."""
    expected = server.config["requirepass"].encode("utf-8", "surrogateescape")
    right = not expected or hmac.compare_digest(expected, password)
    if user != DEFAULT_USER or not right:
        raise CommandError(errors.WRONGPASS)
    client.user = DEFAULT_USER
    client.authenticated = True


def auth(server: Any, client: Any, args: list[bytes]) -> Any:
    """AUTH [username] password"""
    if len(args) > 3:
        raise CommandError(errors.SYNTAX)
    if len(args) == 2 and not server.config["requirepass"]:
        raise CommandError(errors.AUTH_NO_PASSWORD)
    authenticate(server, client, args[1] if len(args) == 3 else DEFAULT_USER, args[-1])
    return OK


def hello(server: Any, client: Any, args: list[bytes]) -> Any:
    """HELLO [protover [AUTH username password] [SETNAME clientname]]"""
    version = 0
    if len(args) > 1:
        number = parse_integer(args[1])
        if number is None:
            raise CommandError(errors.PROTOCOL_VERSION_NOT_INTEGER)
        if number not in (2, 3):
            raise CommandError(errors.NOPROTO)
        version = number
    credentials: tuple[bytes, bytes] | None = None
    name: bytes | None = None
    place = 2
    while place < len(args):
        option, left = args[place].lower(), len(args) - place - 1
        if option == b"auth" and left >= 2:
            credentials = args[place + 1], args[place + 2]
            place += 3
        elif option == b"setname" and left >= 1:
            name = _checked_name(args[place + 1])
            place += 2
        else:
            raise CommandError(errors.hello_syntax(args[place]))
    if credentials is not None:
        authenticate(server, client, *credentials)
    if not client.authenticated:
        raise CommandError(errors.NOAUTH_HELLO)
    if name is not None:
        client.name = name
    if version:
        client.resp = version
    return {b"server": b"redis", b"version": REDIS_VERSION.encode(), b"proto": client.resp, b"id": client.id,
            b"mode": server.mode.encode(), b"role": b"master", b"modules": []}


# --- CLIENT: what a client says about itself ----------------------------------------------------------------------

def _printable(raw: bytes) -> bool:
    """Whether `raw` can stand in a line of CLIENT LIST: no blanks, no control characters, ASCII."""
    return all(0x21 <= byte <= 0x7E for byte in raw)


def _checked_name(raw: bytes) -> bytes:
    if not _printable(raw):
        raise CommandError(errors.INVALID_CLIENT_NAME)
    return raw


def client_id(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT ID"""
    return client.id


def client_getname(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT GETNAME"""
    return client.name or None


def client_setname(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT SETNAME name; an empty one takes the name away."""
    client.name = _checked_name(args[2])
    return OK


def client_setinfo(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT SETINFO LIB-NAME|LIB-VER value"""
    attribute = {b"lib-name": "lib_name", b"lib-ver": "lib_ver"}.get(args[2].lower())
    if attribute is None:
        raise CommandError(errors.unrecognized_option(args[2]))
    if not _printable(args[3]):
        raise CommandError(errors.invalid_client_info(args[2].decode()))
    setattr(client, attribute, args[3])
    return OK


def _switch(client: Any, flag: ClientFlag, word: bytes) -> Any:
    """ON or OFF for one flag."""
    if word.lower() == b"on":
        client.flags |= flag
    elif word.lower() == b"off":
        client.flags &= ~int(flag) & 0xFFFF_FFFF
    else:
        raise CommandError(errors.SYNTAX)
    return OK


def client_no_evict(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT NO-EVICT ON|OFF"""
    return _switch(client, ClientFlag.NO_EVICT, args[2])


def client_no_touch(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT NO-TOUCH ON|OFF"""
    return _switch(client, ClientFlag.NO_TOUCH, args[2])


def client_reply(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT REPLY ON|OFF|SKIP: only ON answers. SKIP drops the next command's reply, unless all are dropped."""
    word = args[2].lower()
    if word == b"on":
        client.flags &= ~int(ClientFlag.REPLY_OFF | ClientFlag.REPLY_SKIP) & 0xFFFF_FFFF
        return OK
    if word == b"off":
        client.flags |= ClientFlag.REPLY_OFF
    elif word == b"skip":
        if not client.flags & ClientFlag.REPLY_OFF:
            client.flags |= ClientFlag.REPLY_SKIP_NEXT
    else:
        raise CommandError(errors.SYNTAX)
    return NO_REPLY


_MAINT_OPTION: Final = b"moving-endpoint-type"
_MAINT_ENDPOINTS: Final = frozenset((b"internal-ip", b"internal-fqdn", b"external-ip", b"external-fqdn", b"none"))


def client_maint_notifications(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT MAINT_NOTIFICATIONS ON|OFF [moving-endpoint-type type]

    Libraries offer to be told of planned moves (redis-py's and go-redis's documentation describe the command; Redis
    itself has it in its commercial forms). It is accepted; there is never anything to tell: an engine that is restarted
    keeps its address, and slots that move are told by MOVED.
    """
    word, options = args[2].lower(), args[3:]
    if word not in (b"on", b"off") or len(options) % 2:
        raise CommandError(errors.SYNTAX)
    for name, value in zip(options[::2], options[1::2]):
        if name.lower() != _MAINT_OPTION or value.lower() not in _MAINT_ENDPOINTS:
            raise CommandError(errors.SYNTAX)
    return OK


# --- CLIENT: what does not exist yet ------------------------------------------------------------------------------

def client_getredir(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT GETREDIR: -1, since no client tracks keys."""
    return -1


def client_trackinginfo(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT TRACKINGINFO: no client tracks keys."""
    return {b"flags": {b"off"}, b"redirect": -1, b"prefixes": []}


def client_caching(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT CACHING YES|NO: refused, since no client tracks keys."""
    raise CommandError(errors.CACHING_WITHOUT_TRACKING)


def client_unblock(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNBLOCK id [TIMEOUT|ERROR]: 1 where that client was blocked."""
    if len(args) > 4:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    reason = args[3].lower() if len(args) == 4 else b"timeout"
    if reason not in (b"timeout", b"error"):
        raise CommandError(errors.UNBLOCK_REASON)
    number = parse_integer(args[2])
    if number is None:
        raise CommandError(errors.NOT_INTEGER)
    blocked = server.clients.by_id.get(number)
    return int(blocked is not None and blocked.unblock(reason == b"error"))


# --- CLIENT: waiting ----------------------------------------------------------------------------------------------

def client_pause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT PAUSE timeout [WRITE|ALL]"""
    if len(args) > 4:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    kind = {b"write": PAUSE_WRITE, b"all": PAUSE_ALL}.get(args[3].lower() if len(args) == 4 else b"all")
    if kind is None:
        raise CommandError(errors.PAUSE_MODE)
    time_ms = parse_integer(args[2])
    if time_ms is None:
        raise CommandError(errors.PAUSE_NOT_INTEGER)
    if time_ms < 0:
        raise CommandError(errors.TIMEOUT_NEGATIVE)
    server.pause.start(time_ms, kind)
    return OK


def client_unpause(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT UNPAUSE"""
    server.pause.stop()
    return OK


# --- CLIENT: looking at all of them -------------------------------------------------------------------------------

def _flag_letters(client: Any) -> str:
    """Redis's letters, in its order: P listens to channels, x in MULTI, b blocked, d a watched key has changed, c
    closing after the reply, A closing, U Unix socket, r READONLY, e and T for NO-EVICT and NO-TOUCH, N none."""
    letters = "P" if client.flags & ClientFlag.PUBSUB else ""
    if client.flags & ClientFlag.MULTI:
        letters += "x"
    if client.flags & ClientFlag.BLOCKED:
        letters += "b"
    if client.flags & ClientFlag.DIRTY_CAS:
        letters += "d"
    if client.flags & ClientFlag.CLOSE_AFTER_REPLY:
        letters += "c"
    if client.transport.closing:
        letters += "A"
    if client.transport.is_unix:
        letters += "U"
    if client.flags & ClientFlag.READONLY:
        letters += "r"
    if client.flags & ClientFlag.NO_EVICT:
        letters += "e"
    if client.flags & ClientFlag.NO_TOUCH:
        letters += "T"
    return letters or "N"


def describe(client: Any) -> str:
    """The client's line in CLIENT LIST, without the newline: the fields of Redis 7.2 in its order.

    Fields of features that do not exist yet have Redis's value for "none". The reply buffer is shared by all clients
    (rbs, rbp, obl 0); what the kernel has not taken yet is the output list (oll, omem).
    """
    transport = client.transport
    pending = transport.out_len
    channels, patterns, shard_channels = map(len, client.subscriptions or ((), (), ()))
    events = ("" if transport.reading_paused else "r") + ("w" if pending else "")
    return (f"id={client.id} addr={transport.peer} laddr={transport.local} fd={transport.fd} "
            f"name={client.name.decode()} age={max(0, now_ms() - client.created_ms) // 1000} "
            f"idle={max(0, mono_ms() - client.active_ms) // 1000} flags={_flag_letters(client)} db={client.db} "
            f"sub={channels} psub={patterns} ssub={shard_channels} multi={client.multi_count} "
            f"watch={client.watch_count} qbuf={transport.in_len} qbuf-free={transport.in_cap - transport.in_len} "
            f"argv-mem=0 multi-mem={client.multi_bytes} rbs=0 rbp=0 obl=0 oll={int(pending > 0)} omem={pending} "
            f"tot-mem={client_bytes(client)} "
            f"events={events} cmd={client.last_command or 'NULL'} user={client.user.decode('utf-8', 'replace')} "
            f"redir=-1 resp={client.resp} lib-name={client.lib_name.decode()} lib-ver={client.lib_ver.decode()}")


def _client_type(name: bytes) -> str:
    kind = CLIENT_TYPES.get(name.lower())
    if kind is None:
        raise CommandError(errors.unknown_client_type(name))
    return kind


def client_info(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT INFO"""
    return Verbatim(describe(client) + "\n")


def client_list(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT LIST [TYPE type] | [ID id ...]"""
    listed: Iterable[Any] = server.clients.by_id.values()
    if len(args) == 4 and args[2].lower() == b"type":
        kind = _client_type(args[3])
        listed = [one for one in listed if kind_of(one) == kind]
    elif len(args) > 3 and args[2].lower() == b"id":
        listed = _by_ids(server, args[3:])
    elif len(args) != 2:
        raise CommandError(errors.SYNTAX)
    return Verbatim("".join(describe(one) + "\n" for one in listed))


def _by_ids(server: Any, words: list[bytes]) -> list[Any]:
    found = []
    for word in words:
        number = parse_integer(word)
        if number is None:
            raise CommandError(errors.INVALID_CLIENT_ID)
        one = server.clients.by_id.get(number)
        if one is not None:
            found.append(one)
    return found


def client_kill(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT KILL ip:port, or CLIENT KILL [ID id] [TYPE type] [USER name] [ADDR a] [LADDR a] [SKIPME yes|no] [MAXAGE s]

    The first form answers OK or an error and may kill the caller; the second answers how many were killed. The links
    within the tree are nobody's to kill: one of a proxy carries the commands of many clients.
    """
    old_form = len(args) == 3
    wanted = {"addr": args[2].decode("utf-8", "replace")} if old_form else _kill_filters(args)
    skip_me = not old_form and wanted.pop("skipme", True)
    killed = 0
    for one in list(server.clients.by_id.values()):
        if one.transport.closing or not _matches(one, wanted) or (one is client and skip_me):
            continue
        if one.flags & ClientFlag.INTERNAL:
            continue
        killed += 1
        if one is client:
            client.flags |= ClientFlag.CLOSE_AFTER_REPLY
        else:
            one.transport.close("killed by CLIENT KILL")
    if not old_form:
        return killed
    if not killed:
        raise CommandError(errors.NO_SUCH_CLIENT)
    return OK


def _kill_filters(args: list[bytes]) -> dict[str, Any]:
    """The filters of the second form of CLIENT KILL; the last of each kind counts."""
    wanted: dict[str, Any] = {}
    for place in range(2, len(args), 2):
        if place + 1 >= len(args):
            raise CommandError(errors.SYNTAX)
        option, value = args[place].lower(), args[place + 1]
        if option == b"id":
            number = parse_integer(value)
            if number is None or number < 1:
                raise CommandError(errors.CLIENT_ID_NOT_POSITIVE)
            wanted["id"] = number
        elif option == b"type":
            wanted["type"] = _client_type(value)
        elif option == b"maxage":
            wanted["maxage"] = _max_age(value)
        elif option in (b"addr", b"laddr"):
            wanted[option.decode()] = value.decode("utf-8", "replace")
        elif option == b"user":
            if value != DEFAULT_USER:
                raise CommandError(errors.no_such_user(value))
            wanted["user"] = value
        elif option == b"skipme" and value.lower() in (b"yes", b"no"):
            wanted["skipme"] = value.lower() == b"yes"
        else:
            raise CommandError(errors.SYNTAX)
    return wanted


def _max_age(raw: bytes) -> int:
    """The seconds of CLIENT KILL MAXAGE, which is Redis 7.4's."""
    seconds = parse_integer(raw)
    if seconds is None:
        raise CommandError(errors.MAX_AGE_NOT_INTEGER)
    if seconds < 1:
        raise CommandError(errors.MAX_AGE_NOT_POSITIVE)
    return seconds


def _matches(one: Any, wanted: dict[str, Any]) -> bool:
    """Whether a client passes all filters. An unauthenticated client has no user yet."""
    return (("id" not in wanted or one.id == wanted["id"])
            and ("type" not in wanted or wanted["type"] == kind_of(one))
            and ("addr" not in wanted or one.transport.peer == wanted["addr"])
            and ("laddr" not in wanted or one.transport.local == wanted["laddr"])
            and ("user" not in wanted or one.user == wanted["user"])
            and ("maxage" not in wanted or (now_ms() - one.created_ms) // 1000 >= wanted["maxage"]))


# --- help ---------------------------------------------------------------------------------------------------------

def client_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """CLIENT HELP"""
    return help_lines("CLIENT", [
        "CACHING (YES|NO)",
        "    Whether keys of the next command are tracked: refused, there is no tracking.",
        "GETNAME",
        "    The name of this connection.",
        "GETREDIR",
        "    Where invalidations of tracked keys go: nowhere, there is no tracking.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    The line of CLIENT LIST for this connection.",
        "KILL <ip:port>",
        "    Close the connection from this address.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Close all connections that every option fits:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Where they come from.",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Where they arrived.",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      What they are.",
        "    * USER <username>",
        "      As whom they are authenticated.",
        "    * SKIPME (YES|NO)",
        "      Whether to spare this connection (default: yes).",
        "    * ID <client-id>",
        "      Their number.",
        "    * MAXAGE <seconds>",
        "      How long they have been connected at least.",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <client-id> [<client-id> ...]]",
        "    All connections, or those of a type or with one of the numbers.",
        "MAINT_NOTIFICATIONS (ON|OFF) [moving-endpoint-type <type>]",
        "    Accepted: there is nothing to be told of.",
        "NO-EVICT (ON|OFF)",
        "    Keep this connection when clients are closed to save memory.",
        "NO-TOUCH (ON|OFF)",
        "    Commands of this connection do not change the access time of keys.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Let commands, or those that change data, wait for so many milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Whether this connection gets replies.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Say which client library is at the other end.",
        "SETNAME <name>",
        "    Give this connection a name.",
        "TRACKINGINFO",
        "    How keys of this connection are tracked: not at all.",
        "UNBLOCK <client-id> [TIMEOUT|ERROR]",
        "    End the waiting of a blocked connection, as at its time-out or with an error.",
        "UNPAUSE",
        "    End a pause.",
    ])


HANDLERS: Final[dict[str, Handler]] = {
    "ping": ping,
    "echo": echo,
    "quit": quit_,
    "select": select,
    "reset": reset,
    "auth": auth,
    "hello": hello,
    "client|id": client_id,
    "client|getname": client_getname,
    "client|setname": client_setname,
    "client|setinfo": client_setinfo,
    "client|no-evict": client_no_evict,
    "client|no-touch": client_no_touch,
    "client|reply": client_reply,
    "client|info": client_info,
    "client|maint_notifications": client_maint_notifications,
    "client|getredir": client_getredir,
    "client|trackinginfo": client_trackinginfo,
    "client|caching": client_caching,
    "client|unblock": client_unblock,
    "client|pause": client_pause,
    "client|unpause": client_unpause,
    "client|list": client_list,
    "client|kill": client_kill,
    "client|help": client_help,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
