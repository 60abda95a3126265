"""RESP2 and RESP3 with every distinction of the wire kept, for exact assertions. Slow and obvious on purpose.

    wire            value here
    +text           Status
    -text           Error (a value, never raised)
    :n              int
    $n              bytes
    $-1 and _       None
    *n              list
    *-1             NULL_ARRAY
    #t #f           bool
    ,text           Double, keeps its text
    (n              BigNumber
    =n fmt:text     Verbatim, keeps its format
    %n              dict (list keys become tuples)
    ~n              SetReply
    >n              Push

`==` is lenient only where Python is (True == 1); `same` is not.
"""

from collections.abc import Callable
from typing import Any


class _Text(str):
    """A str that equals only its own kind, so that Status("OK") is neither b"OK" nor Error("OK")."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str.__repr__(self)})"


class Status(_Text):
    """A simple string."""


class Error(_Text):
    """An error reply, with its code and without the dash."""

    @property
    def code(self) -> str:
        return self.partition(" ")[0]


class Verbatim(_Text):
    """A verbatim string; `format` is its three letters."""

    format = "txt"


class Double(float):
    """A RESP3 double; `text` is what stood on the wire."""

    text = ""


class BigNumber(int):
    """A RESP3 big number."""


class SetReply(list):
    """A RESP3 set, in the order of the wire."""


class Push(list):
    """An out-of-band RESP3 message."""


class _NullArray:
    def __repr__(self) -> str:
        return "NULL_ARRAY"

    def __bool__(self) -> bool:
        return False


OK = Status("OK")
NULL_ARRAY = _NullArray()


class ProtocolError(Exception):
    """The server sent something that is not RESP."""


def words(args: tuple) -> tuple:
    """One argument that is a str is split at blanks: words(("SET k v",)) == ("SET", "k", "v")."""
    if len(args) == 1 and isinstance(args[0], str):
        return tuple(args[0].split())
    return args


def to_bytes(arg: Any) -> bytes:
    """An argument as it goes over the wire: str as UTF-8, numbers as their text."""
    if isinstance(arg, (bytes, bytearray)):
        return bytes(arg)
    if isinstance(arg, float):
        return repr(arg).encode()
    return str(arg).encode("utf-8", "surrogateescape")


def encode(*args: Any) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = to_bytes(arg)
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def read_reply(readline: Callable[[], bytes], read: Callable[[int], bytes]) -> Any:
    """Reads one reply. `readline` returns a line with its CRLF, `read(n)` exactly n bytes; both raise at the end."""
    line = readline()
    kind, text = line[:1], line[1:-2]
    if line[-2:] != b"\r\n":
        raise ProtocolError(f"a line without CRLF: {line!r}")
    if kind == b"$":
        return _bulk(int(text), read)
    if kind == b":":
        return int(text)
    if kind == b"+":
        return Status(text.decode("latin-1"))
    if kind == b"-":
        return Error(text.decode("latin-1"))
    if kind in b"*~>":
        if text == b"-1" and kind == b"*":
            return NULL_ARRAY
        items = [read_reply(readline, read) for _ in range(int(text))]
        return items if kind == b"*" else SetReply(items) if kind == b"~" else Push(items)
    if kind == b"%":
        pairs = [(read_reply(readline, read), read_reply(readline, read)) for _ in range(int(text))]
        return {tuple(k) if isinstance(k, list) else k: v for k, v in pairs}
    return _scalar3(kind, text, read)


def _bulk(length: int, read: Callable[[int], bytes]) -> bytes | None:
    if length == -1:
        return None
    data = read(length + 2)
    if data[-2:] != b"\r\n":
        raise ProtocolError(f"a bulk string of {length} bytes does not end in CRLF")
    return data[:-2]


def _scalar3(kind: bytes, text: bytes, read: Callable[[int], bytes]) -> Any:
    if kind == b"_" and not text:
        return None
    if kind == b"#" and text in (b"t", b"f"):
        return text == b"t"
    if kind == b",":
        value = Double(text)
        value.text = text.decode()
        return value
    if kind == b"(":
        return BigNumber(text)
    if kind == b"=":
        data = _bulk(int(text), read)
        verbatim = Verbatim(data[4:].decode("latin-1"))
        verbatim.format = data[:3].decode()
        return verbatim
    raise ProtocolError(f"not a reply: {kind + text!r}")


def same(a: Any, b: Any) -> bool:
    """Whether two replies are the same on the wire, up to the order inside maps."""
    if type(a) is not type(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if isinstance(a, Double):
        return a.text == b.text
    if isinstance(a, Verbatim):
        return a == b and a.format == b.format
    return a == b
