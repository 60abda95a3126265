"""A value on its way from engine to engine: read in pieces where it is, lent in pieces where it is needed.

The pieces (engine.pieces) are bytes to us, so that a value of any size costs this process a copy of each piece, and
never more than one of them is here. The next one is read while the last one is being lent.
"""
from typing import Any, Final, NamedTuple

from proxy.backend import Engine
from proxy.joint.held import Held
from shardd.base import limits

READ: Final = [b"SHARDD", b"READ"]
"""Asks for the first piece of a key."""

GONE: Final = (b"none", 0, 0, 0, -1, b"")


class Value(NamedTuple):
    """What an engine says of a key, with its first piece. at: where the next one begins, 0 where there is none."""

    kind: bytes
    length: int
    at: int
    count: int
    expire_at_ms: int
    piece: bytes

    @classmethod
    def of(cls, reply: Any) -> "Value":
        """From the reply to READ, None for a key that is absent."""
        return cls(*GONE) if reply is None else cls(*reply)


def guest(key: bytes, value: Value) -> list[Any]:
    """What LEND, COMPUTE and STORE are told of a key, or of its first piece."""
    return [key, value.kind, value.piece]


def fits(values: list[Value]) -> bool:
    """Whether they can go along with a command, because they are whole, and not too much together."""
    return not any(value.at for value in values) and sum(len(value.piece) for value in values) <= 2 * limits.PIECE_BYTES


async def carry(held: Held, source: Engine, target: Engine, key: bytes, value: Value, read: list[bytes] = READ,
                name: bytes | None = None) -> None:
    """Lend a key of one engine, of which the first piece is here, to another, where it is called `name`. CommandError.

    The pieces behind the first are larger, as nobody else uses the engines meanwhile. A key that expires meanwhile is
    gone.
    """
    name = key if name is None else name
    count = value.count * limits.HELD_PIECES
    while value.at:
        _, reply = await held.ask([(target, [b"SHARDD", b"LEND", *guest(name, value)]),
                                   (source, [*read, key, value.at, count])])
        value = Value.of(reply)
        await held.go_on()
    await held.ask([(target, [b"SHARDD", b"LEND", *guest(name, value)])])
