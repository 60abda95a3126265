"""Every error text a client can read, once, and the two exceptions that carry errors upwards.

Owns: the texts (bytes without the leading dash, the error code first) and the functions for those with a parameter.
Does not own: when they are sent. A command handler raises `CommandError(SYNTAX)` or, in compiled code, hands the
bytes to the reply writer; both send `-` + text + CRLF.

Invariants: a text has no CR and no LF (the functions replace them, as Redis does), it starts with its code in capital
letters (`ERR`, `WRONGTYPE`, `MOVED` ...), and INFO's errorstats counts by that code.

The texts are those of Redis 7.2, since clients match on them.
"""

from shardd.base.limits import PORT_MAX


class CommandError(Exception):
    """A command failed, and the client is told.

    text: the whole error line without the leading dash and the CRLF, e.g. b"ERR syntax error".
    """

    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text

    @property
    def code(self) -> str:
        """The first word: what errorstats counts by."""
        return self.text.split(b" ", 1)[0].decode("latin-1")

    def __str__(self) -> str:
        return self.text.decode("utf-8", "replace")


class ConfigError(Exception):
    """A configuration file, a command line or a CONFIG SET does not hold. The message is for people, on stderr."""


class LoadError(Exception):
    """Data on disk cannot be loaded, and the server must not go on without it. The message is one sentence for people:
    which file, what is wrong with it, and what can be done."""


# --- what many families share -------------------------------------------------------------------------------------

WRONG_TYPE = b"WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = b"ERR syntax error"
NO_SUCH_KEY = b"ERR no such key"
SAME_OBJECT = b"ERR source and destination objects are the same"
NOT_INTEGER = b"ERR value is not an integer or out of range"
NOT_FLOAT = b"ERR value is not a valid float"
INVALID_CURSOR = b"ERR invalid cursor"
DB_INDEX_OUT_OF_RANGE = b"ERR DB index is out of range"
INVALID_FIRST_DB = b"ERR invalid first DB index"
INVALID_SECOND_DB = b"ERR invalid second DB index"
OOM = b"OOM command not allowed when used memory > 'maxmemory'."
OOM_ALLOCATION = b"OOM not enough memory for this value"
NO_KEY_ARGUMENTS = b"ERR The command has no key arguments"
INVALID_COMMAND = b"ERR Invalid command specified"
INVALID_ARGUMENT_COUNT = b"ERR Invalid number of arguments specified for command"
INVALID_ARGUMENTS = b"ERR Invalid arguments specified for command"

# --- RESTORE ------------------------------------------------------------------------------------------------------

BUSY_KEY = b"BUSYKEY Target key name already exists."
INVALID_RESTORE_TTL = b"ERR Invalid TTL value, must be >= 0"
INVALID_IDLE_TIME = b"ERR Invalid IDLETIME value, must be >= 0"
INVALID_FREQ = b"ERR Invalid FREQ value, must be >= 0 and <= 255"
WRONG_PAYLOAD = b"ERR DUMP payload version or checksum are wrong"
BAD_DATA_FORMAT = b"ERR Bad data format"

# --- strings ------------------------------------------------------------------------------------------------------

STRING_TOO_LONG = b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
OUT_OF_RANGE = b"ERR value is out of range"
OFFSET_OUT_OF_RANGE = b"ERR offset is out of range"
INCR_OVERFLOW = b"ERR increment or decrement would overflow"
DECR_OVERFLOW = b"ERR decrement would overflow"
INCR_NAN_ARGUMENT = b"ERR value is NaN or Infinity"
HASH_NOT_INTEGER = b"ERR hash value is not an integer"
HASH_NOT_FLOAT = b"ERR hash value is not a float"
SORT_NOT_DOUBLE = b"ERR One or more scores can't be converted into double"
GUEST_AT_HOME = b"ERR the key is in a slot of this engine, and no guest's, nothing was executed"
SORT_BY_ELSEWHERE = (b"ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different"
                     b" slots.")
SORT_GET_ELSEWHERE = (b"ERR GET option of SORT denied in Cluster mode when keys formed by the pattern may be in"
                      b" different slots.")
FIELD_EXPIRE_NEGATIVE = b"ERR invalid expire time, must be >= 0"
FIELDS_MISSING = b"ERR Mandatory argument FIELDS is missing or not at the right position"
FIELDS_NOT_AS_MANY = b"ERR The `numfields` parameter must match the number of arguments"
NUMFIELDS_NOT_POSITIVE = b"ERR Parameter `numFields` should be greater than 0"
NUMFIELDS_NOT_A_POSITIVE_INTEGER = b"ERR Number of fields must be a positive integer"
NUMFIELDS_INVALID = b"ERR invalid number of fields"
HSETEX_ONE_EXPIRY = b"ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
FNX_AND_FXX = b"ERR Only one of FXX or FNX arguments can be specified"
NUMKEYS_INVALID = b"ERR invalid numkeys value or out of range"
INCR_NAN = b"ERR increment would produce NaN or Infinity"
MUST_BE_POSITIVE = b"ERR value is out of range, must be positive"
NUMKEYS_NOT_POSITIVE = b"ERR numkeys should be greater than 0"
NUMKEYS_TOO_LARGE = b"ERR Number of keys can't be greater than number of args"
INDEX_OUT_OF_RANGE = b"ERR index out of range"
COUNT_NOT_POSITIVE = b"ERR count should be greater than 0"
COUNT_NEGATIVE = b"ERR COUNT can't be negative"
MAXLEN_NEGATIVE = b"ERR MAXLEN can't be negative"
RANK_ZERO = (
    b"ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from "
    b"the end of the list")
LIMIT_NEGATIVE = b"ERR LIMIT can't be negative"
LCS_NOT_STRINGS = b"ERR The specified keys must contain string values"
LCS_LEN_AND_IDX = b"ERR If you want both the length and indexes, please just use IDX."
LCS_OVER_BULK_LIMIT = b"ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"
LCS_NO_MEMORY = b"ERR Insufficient memory, failed allocating transient memory for LCS"

# --- sorted sets --------------------------------------------------------------------------------------------------

ZADD_XX_AND_NX = b"ERR XX and NX options at the same time are not compatible"
ZADD_GT_LT_NX = b"ERR GT, LT, and/or NX options at the same time are not compatible"
ZADD_INCR_PAIRS = b"ERR INCR option supports a single increment-element pair"
ZADD_NAN = b"ERR resulting score is not a number (NaN)"
RANGE_NOT_FLOAT = b"ERR min or max is not a float"
RANGE_NOT_STRING = b"ERR min or max not valid string range item"
RANGE_LIMIT = b"ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
RANGE_LEX_SCORES = b"ERR syntax error, WITHSCORES not supported in combination with BYLEX"
WEIGHT_NOT_FLOAT = b"ERR weight value is not a float"

# --- expiry and generic key commands ------------------------------------------------------------------------------

EXPIRE_NX_AND_OTHERS = b"ERR NX and XX, GT or LT options at the same time are not compatible"
EXPIRE_GT_AND_LT = b"ERR GT and LT options at the same time are not compatible"
LFU_POLICY_SELECTED = (
    b"ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between "
    b"policies at runtime LRU and LFU data will take some time to adjust.")
LFU_POLICY_NOT_SELECTED = (
    b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching "
    b"between policies at runtime LRU and LFU data will take some time to adjust.")

# --- connections --------------------------------------------------------------------------------------------------

NOAUTH = b"NOAUTH Authentication required."
NOAUTH_HELLO = (
    b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> "
    b"<pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
WRONGPASS = b"WRONGPASS invalid username-password pair or user is disabled."
AUTH_NO_PASSWORD = (
    b"ERR AUTH <password> called without any password configured for the default user. Are you sure your "
    b"configuration is correct?")
NOPROTO = b"NOPROTO unsupported protocol version"
PROTOCOL_VERSION_NOT_INTEGER = b"ERR Protocol version is not an integer or out of range"
INVALID_CLIENT_NAME = b"ERR Client names cannot contain spaces, newlines or special characters."
INVALID_CLIENT_ID = b"ERR Invalid client ID"
CLIENT_ID_NOT_POSITIVE = b"ERR client-id should be greater than 0"
NO_SUCH_CLIENT = b"ERR No such client"
MAX_AGE_NOT_INTEGER = b"ERR maxage is not an integer or out of range"
MAX_AGE_NOT_POSITIVE = b"ERR maxage should be greater than 0"
PAUSE_NOT_INTEGER = b"ERR timeout is not an integer or out of range"
TIMEOUT_NEGATIVE = b"ERR timeout is negative"
PAUSE_MODE = b"ERR CLIENT PAUSE mode must be WRITE or ALL"
UNBLOCK_REASON = b"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"
CACHING_WITHOUT_TRACKING = (
    b"ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled")
MAX_CLIENTS = b"ERR max number of clients reached"
PROTECTED_MODE = (
    b"DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
    b"default user. In this mode connections are only accepted from the loopback interface. If you want to connect "
    b"from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode "
    b"sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the "
    b"same host the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. "
    b"Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable the protected mode by "
    b"editing the Redis configuration file, and setting the protected mode option to 'no', and then restarting the "
    b"server. 3) If you started the server manually just for testing, restart it with the '--protected-mode no' "
    b"option. 4) Set up an authentication password for the default user. NOTE: You only need to do one of the above "
    b"things in order for the server to start accepting connections from the outside.")

PROTOCOL_BIG_MULTIBULK_COUNT = b"ERR Protocol error: too big mbulk count string"
PROTOCOL_MULTIBULK_LENGTH = b"ERR Protocol error: invalid multibulk length"
PROTOCOL_UNAUTH_MULTIBULK = b"ERR Protocol error: unauthenticated multibulk length"
PROTOCOL_BIG_BULK_COUNT = b"ERR Protocol error: too big bulk count string"
PROTOCOL_BULK_LENGTH = b"ERR Protocol error: invalid bulk length"
PROTOCOL_UNAUTH_BULK = b"ERR Protocol error: unauthenticated bulk length"
PROTOCOL_BIG_INLINE = b"ERR Protocol error: too big inline request"
PROTOCOL_UNBALANCED_QUOTES = b"ERR Protocol error: unbalanced quotes in request"

# --- transactions, and commands that wait -------------------------------------------------------------------------

MULTI_NESTED = b"ERR MULTI calls can not be nested"
EXEC_WITHOUT_MULTI = b"ERR EXEC without MULTI"
DISCARD_WITHOUT_MULTI = b"ERR DISCARD without MULTI"
WATCH_IN_MULTI = b"ERR WATCH inside MULTI is not allowed"
NOT_IN_MULTI = b"ERR Command not allowed inside a transaction"
EXEC_ABORTED = b"EXECABORT Transaction discarded because of previous errors."
TIMEOUT_NOT_FLOAT = b"ERR timeout is not a float or out of range"
TIMEOUT_OUT_OF_RANGE = b"ERR timeout is out of range"
UNBLOCKED = b"UNBLOCKED client unblocked via CLIENT UNBLOCK"


def exec_aborted(text: bytes) -> bytes:
    """EXEC itself is refused. text: of the error that it is refused for; a code ERR is left out, as in Redis."""
    return b"EXECABORT Transaction discarded because of: " + text.removeprefix(b"ERR ")


# --- cluster ------------------------------------------------------------------------------------------------------

CROSSSLOT = b"CROSSSLOT Keys in request don't hash to the same slot"
CLUSTERDOWN = b"CLUSTERDOWN The cluster is down"
CLUSTERDOWN_READ_ONLY = b"CLUSTERDOWN The cluster is down and only accepts read commands"
CLUSTERDOWN_SLOT = b"CLUSTERDOWN Hash slot not served"
CLUSTER_DISABLED = b"ERR This instance has cluster support disabled"
INVALID_SLOT_NUMBER = b"ERR Invalid slot"
SLOT_OUT_OF_RANGE = b"ERR Invalid or out of range slot"
SLOT_STATS_METRIC = b"ERR Unrecognized sort metric for ORDERBY."
SLOT_STATS_LIMIT = b"ERR Limit has to lie in between 1 and 16384 (maximum number of slots)."
SLOT_STATS_FILTERS = b"ERR Multiple filters of the same type are disallowed."
INVALID_SLOT_OR_COUNT = b"ERR Invalid slot or number of keys"

# --- persistence --------------------------------------------------------------------------------------------------

REWRITE_UNDER_WAY = b"ERR Background append only file rewriting already in progress"
REWRITE_FAILED = (b"ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
WAITAOF_OFF = b"ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled."

LOADING = b"LOADING Redis is loading the dataset in memory"
SAVE_UNDER_WAY = b"ERR Background save already in progress"
SAVE_OTHER_CHILD = (
    b"ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a "
    b"BGSAVE whenever possible.")
SAVE_FAILED = b"ERR"
MISCONF_RDB = (
    b"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that "
    b"may modify the data set are disabled, because this instance is configured to report errors during writes if RDB "
    b"snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB "
    b"error.")
DEBUG_RELOAD_OPTIONS = b"ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options."
DEBUG_RELOAD_FAILED = b"ERR Error trying to load the RDB dump, check server logs."


# --- server, config, slow log, debug ------------------------------------------------------------------------------

CONFIG_NO_FILE = b"ERR The server is running without a config file"
SLOWLOG_COUNT = b"ERR count should be greater than or equal to -1"
SHUTDOWN_FAILED = b"ERR Errors trying to SHUTDOWN. Check logs."
SHUTDOWN_NOT_IN_PROGRESS = b"ERR No shutdown in progress."
GENPASS_BITS = (
    b"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096")
REPLICAOF_IN_CLUSTER = b"ERR REPLICAOF not allowed in cluster mode."
REPLICAOF_NOT_YET = b"ERR REPLICAOF other than NO ONE is not supported yet"
DEBUG_NO_LISTPACK = b"ERR Not a listpack encoded object."
DEBUG_NO_HASH_TABLE = b"ERR The value stored at the specified key is not represented using an hash table"
DEBUG_DATABASE = b"ERR Out of range database"
RESP2_NOT_SUPPORTED = b"ERR RESP2 is not supported by this command"
DEBUG_PACKED_THRESHOLD = b"ERR argument must be a memory value bigger than 1 and smaller than 4gb"

HTTP_WORDS = frozenset((b"post", b"host:"))
"""Lines of HTTP that a browser would send; Redis ends such a connection without a word."""

# --- texts with a parameter ---------------------------------------------------------------------------------------

_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")

ARGUMENTS_SHOWN_BYTES = 128
"""How much of a command's name, and of all its arguments, an unknown-command error repeats."""


def _shown(raw: bytes, room: int = ARGUMENTS_SHOWN_BYTES) -> bytes:
    """At most `room` bytes of `raw`, cut at the first NUL as C's %.*s does."""
    return raw[:room].split(b"\0", 1)[0]


def one_line(text: bytes) -> bytes:
    """`text` without CR and LF at its end, others replaced by spaces: what a client sent cannot break the replies."""
    return text.rstrip(b"\r\n").translate(_ONE_LINE)


def shown_text(raw: bytes) -> str:
    """What a client, or a file, has sent, as far as a message for people repeats it."""
    return one_line(_shown(raw)).decode("utf-8", "backslashreplace")


def wrong_arity(name: str) -> bytes:
    """name: the full command name as COMMAND gives it, "get" or "client|kill"."""
    return b"ERR wrong number of arguments for '%s' command" % name.encode()


def unknown_command(name: bytes, arguments: list[bytes]) -> bytes:
    """The command does not exist. arguments: those after the name.

    At most 128 bytes of the name, and arguments until 128 bytes of them (quotes and blanks counted) are shown.
    """
    shown = b""
    for argument in arguments:
        if len(shown) >= ARGUMENTS_SHOWN_BYTES:
            break
        shown += b"'%s' " % _shown(argument, ARGUMENTS_SHOWN_BYTES - len(shown))
    return one_line(b"ERR unknown command '%s', with args beginning with: %s" % (_shown(name), shown))


def unknown_subcommand(container: bytes, subcommand: bytes) -> bytes:
    """A container command (CLIENT, CONFIG ...) has no such subcommand. container: the name as the client sent it."""
    return one_line(b"ERR unknown subcommand '%s'. Try %s HELP." % (_shown(subcommand), container.upper()))


def subcommand_syntax(container: bytes, subcommand: bytes) -> bytes:
    """The subcommand exists but its arguments make no sense."""
    return one_line(b"ERR unknown subcommand or wrong number of arguments for '%s'. Try %s HELP."
                    % (_shown(subcommand), container.upper()))


def no_input_key(name: str) -> bytes:
    """Algebra over no sorted set. name: the command's, in lower case."""
    return b"ERR at least 1 input key is needed for '%s' command" % name.encode()


def invalid_expire(name: str) -> bytes:
    """name: the full command name in lower case ("set", "expire")."""
    return b"ERR invalid expire time in '%s' command" % name.encode()


def unknown_argument(argument: bytes) -> bytes:
    """HSETEX met a word it does not know."""
    return one_line(b"ERR unknown argument: %s" % argument.split(b"\0", 1)[0])


def unsupported_option(option: bytes) -> bytes:
    """The EXPIRE family met an option it does not know."""
    return one_line(b"ERR Unsupported option %s" % option.split(b"\0", 1)[0])


def out_of_range_between(low: int, high: int) -> bytes:
    return b"ERR value is out of range, value must between %d and %d" % (low, high)


def expected_dollar(got: int) -> bytes:
    """A multibulk request whose item does not start with '$'. got: the byte there; a NUL ends the text, as in C."""
    return one_line((b"ERR Protocol error: expected '$', got '%c'" % got).split(b"\0", 1)[0])


def moved(slot: int, host: str, port: int) -> bytes:
    return b"MOVED %d %s:%d" % (slot, host.encode(), port)


def ask(slot: int, host: str, port: int) -> bytes:
    return b"ASK %d %s:%d" % (slot, host.encode(), port)


def slots_reversed(first: int, last: int) -> bytes:
    """CLUSTER SLOT-STATS SLOTSRANGE whose end is before its start."""
    return b"ERR Start slot number %d is greater than end slot number %d" % (first, last)


def unknown_node(name: bytes) -> bytes:
    return one_line(b"ERR Unknown node %s" % _shown(name))


def protected_command(name: str, option: str) -> bytes:
    """name: DEBUG or MODULE; option: the config option that would allow it."""
    return (b"ERR %s command not allowed. If the %s option is set to \"local\", you can run it from a local "
            b"connection, otherwise you need to set this option in the configuration file, and then restart the server."
            % (name.encode(), option.encode()))


PROTECTED_DEBUG = protected_command("DEBUG", "enable-debug-command")


def only_when_not_subscribed(name: str) -> bytes:
    """What a RESP2 client in subscribed mode may not call. name: the command's full one."""
    return (b"ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this "
            b"context" % name.encode())


def hello_syntax(option: bytes) -> bytes:
    return one_line(b"ERR Syntax error in HELLO option '%s'" % option.split(b"\0", 1)[0])


def unknown_client_type(name: bytes) -> bytes:
    return one_line(b"ERR Unknown client type '%s'" % name.split(b"\0", 1)[0])


def no_such_user(name: bytes) -> bytes:
    return one_line(b"ERR No such user '%s'" % name.split(b"\0", 1)[0])


def unknown_category(name: bytes) -> bytes:
    return one_line(b"ERR Unknown category '%s'" % name.split(b"\0", 1)[0])


def unrecognized_option(name: bytes) -> bytes:
    """CLIENT SETINFO met an attribute it does not know."""
    return one_line(b"ERR Unrecognized option '%s'" % name.split(b"\0", 1)[0])


def invalid_client_info(name: str) -> bytes:
    """name: the attribute of CLIENT SETINFO, lib-name or lib-ver."""
    return b"ERR %s cannot contain spaces, newlines or special characters." % name.encode()


def config_set_unknown(name: bytes) -> bytes:
    return one_line(b"ERR Unknown option or number of arguments for CONFIG SET - '%s'" % name.split(b"\0", 1)[0])


def config_set_failed(name: bytes, reason: bytes) -> bytes:
    """name: the option at fault as the client sent it; reason: a clause without a full stop."""
    return one_line(b"ERR CONFIG SET failed (possibly related to argument '%s') - %s"
                    % (name.split(b"\0", 1)[0], reason))


def too_many_clients(fit: int) -> str:
    """CONFIG SET maxclients beyond what the limit of open files allows. fit: how many it does."""
    return f"The operating system is not able to handle the specified number of clients, try with {fit}"


def no_ports(engines: int) -> str:
    """A first port from which not every engine gets one."""
    return f"no room for {engines} engines up to port {PORT_MAX}"


def config_rewrite_failed(reason: bytes) -> bytes:
    return one_line(b"ERR Rewriting config file: %s" % reason)


def debug_protocol(names: list[bytes]) -> bytes:
    """DEBUG PROTOCOL met a type it does not know. names: those it knows."""
    return b"ERR Wrong protocol type name. Please use one of the following: " + b"|".join(names)


def no_samples(event: bytes) -> bytes:
    """LATENCY GRAPH met an event that the monitor has not seen."""
    return one_line(b"ERR No samples available for event '%s'" % event.split(b"\0", 1)[0])


def misconf_aof(why: str) -> bytes:
    """The append-only file cannot be written. why: of the errno."""
    return b"MISCONF Errors writing to the AOF file: " + why.encode()


def check_failed(what: str) -> bytes:
    """DEBUG CHECK found a broken structure. what: the invariant."""
    return one_line(b"ERR Check failed: " + what.encode())


DIR_OF_TREE = ("the engines' directories are in it: stop shardd, move the whole directory, and start it with the new "
               "dir")
"""Why CONFIG SET dir is refused under a supervisor."""


# --- the proxy ----------------------------------------------------------------------------------------------------

NOT_EXECUTED = "the command was not executed"
"""How errors end that promise it. What is joined of several must not repeat the promise of one."""
EXECUTED_IN_PART = b"ERR an engine is down, the command may have been executed in part"


def engine_lost(index: int) -> bytes:
    """The engine, or its link, ended between a command's sending and its reply."""
    return b"ERR engine %d is down, the command may or may not have been executed" % index


def engine_unreachable(index: int) -> bytes:
    """The command was never sent: the engine did not come back in time. Cluster clients retry on the code."""
    return b"CLUSTERDOWN engine %d is down, %b" % (index, NOT_EXECUTED.encode())


def engine_silent(index: int) -> bytes:
    """The engine has not answered in the time there was; it may still do what it was asked."""
    return b"ERR engine %d does not answer" % index


def proxy_silent(index: int) -> bytes:
    """Another proxy of the tree is there and has not answered in the time there was; some of the clients are its."""
    return b"ERR proxy %d does not answer" % index


def engine_overloaded(index: int) -> bytes:
    """More is waiting for the engine than a proxy holds; the command was not sent."""
    return b"ERR engine %d is overloaded, %b" % (index, NOT_EXECUTED.encode())


PROXY_MEMORY = b"OOM command not allowed when the proxy holds more than 'proxy-memory-limit', it was not executed"


def not_through_proxy(name: str) -> bytes:
    """Engines have the command, but through a proxy its answer could be wrong. name: "get" or "client|list"."""
    return b"ERR '%s' is not supported through the proxy" % name.encode()


HOLD_TIME = b"ERR the time of a hold is out of range"
HOLD_OVER = b"ERR the hold is over, the command was not executed"
WRONG_PARTS = b"ERR the engines' replies do not fit together"

BACKUP_BUSY = b"BUSY another child process is at work"
BACKUP_NOT_HELD = b"ERR a backup begins while its connection holds the engine"


def backup_fork(reason: str) -> bytes:
    """The engine cannot fork."""
    return b"ERR cannot fork: " + reason.encode()
