"""RESP2 for control links, in plain Python: a decoder that takes input cut at any byte, and an encoder.

Owns: the five RESP2 types as Python values. Does not own a socket. The data path has compiled code for this
(wire.request, wire.reply, wire.scan); the supervisor and shardctl exchange a few messages per second and need neither.

    +text       Simple            $n    bytes, None for $-1
    -text       CommandError      *n    list, None for *-1
    :n          int

Requests are arrays of bulk strings, so that one decoder serves both ends.
"""

from typing import Any

from shardd.base import limits
from shardd.base.errors import CommandError, one_line
from shardd.wire.values import Simple

_DEPTH_MAX = 16
"""Nesting of arrays: no reply on a control link has more than four levels."""


class ProtocolError(Exception):
    """The peer does not speak RESP2, or its message is longer than limits.CONTROL_MESSAGE_BYTES_MAX."""


class _NeedMore(Exception):
    pass


class Decoder:
    """Bytes in, values out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Any]:
        """The values that `data` completes, in order. Raises ProtocolError; the decoder is of no use afterwards."""
        self._buffer += data
        values = []
        start = 0
        while start < len(self._buffer):
            try:
                value, end = self._value(start, 0)
            except _NeedMore:
                break
            values.append(value)
            start = end
        del self._buffer[:start]
        if len(self._buffer) > limits.CONTROL_MESSAGE_BYTES_MAX:
            raise ProtocolError("message too long")
        return values

    def _value(self, at: int, depth: int) -> tuple[Any, int]:
        end = self._buffer.find(b"\r\n", at)
        if end < 0:
            raise _NeedMore
        kind, line = self._buffer[at:at + 1], bytes(self._buffer[at + 1:end])
        at = end + 2
        if kind == b"+":
            return Simple(line.decode("utf-8", "replace")), at
        if kind == b"-":
            return CommandError(line), at
        try:
            number = int(line)
        except ValueError:
            raise ProtocolError(f"unexpected {kind + line[:32]!r}") from None
        if kind == b":":
            return number, at
        if kind not in (b"$", b"*") or not -1 <= number <= limits.CONTROL_MESSAGE_BYTES_MAX or depth > _DEPTH_MAX:
            raise ProtocolError(f"unexpected {kind + line[:32]!r}")
        if number == -1:
            return None, at
        if kind == b"$":
            if len(self._buffer) < at + number + 2:
                raise _NeedMore
            return bytes(self._buffer[at:at + number]), at + number + 2
        items = []
        for _ in range(number):
            item, at = self._value(at, depth + 1)
            items.append(item)
        return items, at


def encode_command(*words: str | bytes | int) -> bytes:
    """One request. str goes as UTF-8, int in decimal."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


def encode_reply(value: Any) -> bytes:
    """One reply: the RESP2 column of wire.values for None, int, bytes, str, Simple, list, tuple and CommandError.

    TypeError for anything else.
    """
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, Simple):
        return b"+%b\r\n" % one_line(value.encode())
    if isinstance(value, CommandError):
        return b"-%b\r\n" % one_line(value.text)
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    if isinstance(value, (list, tuple)):
        return b"*%d\r\n" % len(value) + b"".join(encode_reply(item) for item in value)
    raise TypeError(f"no reply form for {type(value).__name__}")
