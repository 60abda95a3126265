"""SORT's BY and GET patterns, where the keys that they name are on other engines.

A proxy has the engine of the key to sort say which keys it lacks, asks their engines, and tells it what they said; then
SORT runs there, and finds what it needs (Context.texts).

    SHARDD LACKS key cursor count pattern ...     [next cursor, count, [pattern's place, engine's id, [key ...]] ...],
                                                  for a piece of the elements; nil where there is nothing to sort
    SHARDD TEXTS pattern key ...                  the string, or the field, of each key, nil where there is none
    SHARDD LEARN pattern key text ...             what TEXTS has said, without what is nil; kept with the guests
                                                  of the connection

Owns: those three. Does not own what a pattern is (commands.sort) or pieces of elements (engine.pieces).
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.sort import Pattern
from cython.cimports.shardd.engine.dispatch import Dispatcher
from cython.cimports.shardd.engine.guests import Guests, guest_row, guests_of, only_internal
from cython.cimports.shardd.engine.pieces import reply_piece
from cython.cimports.shardd.engine.words import Words
from cython.cimports.shardd.keyspace.entry import TYPE_LIST, TYPE_SET, TYPE_ZSET, entry_type
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.cluster.topology import NOBODY

arg_p = cython.typedef(cython.pointer(Arg))


@cython.cfunc
def _piece(ctx: Context, key: arg_p, e: bytep, at: cython.pointer(int64_t), count: cython.pointer(int64_t)) -> list:
    """Elements from a cursor on, which moves on."""
    start: cython.Py_ssize_t = ctx.reply.len
    w: Words = Words()
    piece: Arg
    i: cython.int
    at[0] = reply_piece(ctx, key, e, at[0], count)
    text: bytes = (ctx.reply.buf + start)[:ctx.reply.len - start]
    ctx.reply.truncate(start)
    piece.p = cython.cast(bytep, cython.cast(cython.p_char, text))
    piece.n = len(text)
    w.add_piece(cython.address(piece), False)
    return [arg_bytes(w.argv + i) for i in range(0, w.argc, 2 if entry_type(e) == TYPE_ZSET else 1)]


@cython.cfunc
@cython.exceptval(-1, check=False)
def lacks_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD LACKS key cursor count pattern ..."""
    at: int64_t
    count: int64_t
    i: cython.int
    slot: cython.int
    e: bytep
    element: bytes
    key: bytes
    pattern: Pattern
    dispatcher: Dispatcher = ctx.server.dispatcher
    groups: dict = {}
    only_internal(ctx, argv, argc)
    if not arg_int64(argv + 3, cython.address(at)) or not arg_int64(argv + 4, cython.address(count)) \
            or at < 0 or count < 0:
        return ctx.error(errors.SYNTAX)
    e = ctx.db.find(cython.address(ctx.key))
    if e == cython.NULL or (entry_type(e) != TYPE_LIST and entry_type(e) != TYPE_SET and entry_type(e) != TYPE_ZSET):
        return ctx.reply.null()
    owners: object = ctx.server.topology.owners if ctx.server.topology is not None else ()
    elements: list = _piece(ctx, argv + 2, e, cython.address(at), cython.address(count))
    for i in range(5, argc):
        pattern = Pattern(arg_bytes(argv + i))
        if pattern.before is None:
            continue
        for element in elements:
            key = pattern.before + element + pattern.after
            slot = key_slot(cython.cast(bytep, cython.cast(cython.p_char, key)), len(key))
            if dispatcher.cluster and not dispatcher.owned[slot]:
                if not owners or owners[slot] == NOBODY:
                    raise CommandError(errors.CLUSTERDOWN_SLOT)
                groups.setdefault((i - 5, owners[slot]), {})[key] = None
    return ctx.reply.value([at, count, [
        [place, ctx.server.topology.engines[owner].id, list(keys)] for (place, owner), keys in groups.items()]])


@cython.cfunc
@cython.exceptval(-1, check=False)
def texts_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD TEXTS pattern key ..."""
    i: cython.int
    pattern: Pattern
    only_internal(ctx, argv, argc)
    pattern = Pattern(arg_bytes(argv + 2))
    ctx.reply.array(argc - 3)
    for i in range(3, argc):
        ctx.reply.value(pattern.at(ctx, arg_bytes(argv + i)))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def learn_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD LEARN pattern key text ..."""
    i: cython.int
    pattern: Pattern
    guests: Guests
    only_internal(ctx, argv, argc)
    guests = guests_of(ctx)
    pattern = Pattern(arg_bytes(argv + 2))
    for i in range(3, argc - 1, 2):
        guests.texts[arg_bytes(argv + i), pattern.field] = arg_bytes(argv + i + 1)
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_patterns(registry: Registry) -> cython.int:
    """Register the commands."""
    registry.add(guest_row("lacks", -5, "readonly", "index:2|range:0,1,0|ro+access"), lacks_command, None)
    registry.add(guest_row("texts", -3, "readonly", "index:3|range:-1,1,0|ro+access"), texts_command, None)
    return registry.add(guest_row("learn", -3, "readonly", "-"), learn_command, None)
