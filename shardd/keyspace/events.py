"""Keyspace events: what a key event is, and who gets to hear of it.

Owns: the classes of events with their letters, and the base classes of whoever delivers them, and of who hears of
changes that no command asked for (the journal). Does not own which event a command makes (each handler says it, by
Context.notify), those that no command asked for (database.py, expiry.py) nor their way to a subscriber (the engine's
pub/sub).

    handler  --ctx.notify(NOTIFY_LIST, b"lpush", key)--> Database.notify --mask--> EventSink.event --> subscribers
    database --new, keymiss, expired-------------------------^

While notify-keyspace-events is empty, an event costs the test of one word, `Keyspace.notify_mask`.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.keyspace.events import (
    NOTIFY_ALL, NOTIFY_EVICTED, NOTIFY_EXPIRED, NOTIFY_GENERIC, NOTIFY_HASH, NOTIFY_KEY_MISS, NOTIFY_KEYEVENT,
    NOTIFY_KEYSPACE, NOTIFY_LIST, NOTIFY_MODULE, NOTIFY_NEW, NOTIFY_SET, NOTIFY_STREAM, NOTIFY_STRING, NOTIFY_ZSET)

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

_LETTERS: dict[str, int] = {
    "K": NOTIFY_KEYSPACE, "E": NOTIFY_KEYEVENT, "g": NOTIFY_GENERIC, "$": NOTIFY_STRING, "l": NOTIFY_LIST,
    "s": NOTIFY_SET, "h": NOTIFY_HASH, "z": NOTIFY_ZSET, "x": NOTIFY_EXPIRED, "e": NOTIFY_EVICTED,
    "t": NOTIFY_STREAM, "m": NOTIFY_KEY_MISS, "d": NOTIFY_MODULE, "n": NOTIFY_NEW, "A": NOTIFY_ALL}


def mask_of(letters: str) -> int:
    """The classes that a value of notify-keyspace-events asks for; 0 where neither K nor E says how to tell them.

    Raises KeyError for a letter that is none.
    """
    mask = 0
    letter: str
    for letter in letters:
        mask |= _LETTERS[letter]
    return mask if mask & (NOTIFY_KEYSPACE | NOTIFY_KEYEVENT) else 0


@cython.cclass
class EventSink:
    """Hears of each event of a class that is asked for."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def event(self, db: cython.int, kind: cython.uint, name: bytes, key: const_bytes,
              n: cython.Py_ssize_t) -> cython.int:
        """Deliver an event of class `kind` about the key of `n` bytes. Must not raise, and must not touch the keyspace:
        its caller may be half-way through a change."""
        return 0


@cython.cclass
class EffectSink:
    """Hears of changes that no command asked for: the expiry of keys and of fields, and the eviction of keys."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fields_deleted(self, db: cython.int, key: bytes, fields: list) -> cython.int:
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key_deleted(self, db: cython.int, p: const_bytes, n: cython.Py_ssize_t, lazy: cython.bint) -> cython.int:
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unit_over(self) -> cython.int:
        """What was told so far has nothing to do with what comes."""
        return 0
