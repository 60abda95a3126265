"""The error replies that many bodies expect, as Redis 7.2 words them. Written out here once more on purpose: taken from
the product's own table they would prove nothing."""

from harness.resp import Error

SYNTAX = Error("ERR syntax error")
NOT_INT = Error("ERR value is not an integer or out of range")
NOT_FLOAT = Error("ERR value is not a valid float")
OVERFLOW = Error("ERR increment or decrement would overflow")
DECR_OVERFLOW = Error("ERR decrement would overflow")
NAN_OR_INF = Error("ERR increment would produce NaN or Infinity")
OFFSET = Error("ERR offset is out of range")
TOO_LONG = Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
NO_SUCH_KEY = Error("ERR no such key")
WRONGTYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
DB_RANGE = Error("ERR DB index is out of range")
CURSOR = Error("ERR invalid cursor")
CROSSSLOT = Error("CROSSSLOT Keys in request don't hash to the same slot")
NOAUTH = Error("NOAUTH Authentication required.")

INT64_MAX = 2**63 - 1
INT64_MIN = -2**63


def arity(name: str) -> Error:
    """Too few or too many arguments; a subcommand is named container|sub."""
    return Error(f"ERR wrong number of arguments for '{name}' command")


def expire_time(name: str) -> Error:
    """A time to live that is not positive or too large."""
    return Error(f"ERR invalid expire time in '{name}' command")


def unknown(name: str, *args: str) -> Error:
    """An unknown command, with the arguments that are quoted back."""
    quoted = "".join(f"'{arg}' " for arg in args)
    return Error(f"ERR unknown command '{name}', with args beginning with: {quoted}")


def unknown_subcommand(name: str, container: str) -> Error:
    """An unknown subcommand of a container command."""
    return Error(f"ERR unknown subcommand '{name}'. Try {container} HELP.")
