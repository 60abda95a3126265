"""Values in pieces: what one engine says of a value so that another can make it again.

    [kind, length, next cursor, count, expiry in Unix ms or -1, piece]

Kind is the type as TYPE names it, "none" for a key that is known to be absent; but, as OBJECT ENCODING shows it, "raw"
for a short string that was changed in place, and "embstr" for an integer that INCRBYFLOAT has left as text. A piece is
a part of a string, or the elements of a collection as RESP has them in a reply, which is nearly the command that makes
them again: SADD, HSET, RPUSH, ZADD are run with slices of it; behind a hash's field and value stands the field's
expiry. Cursor 0 begins and ends; the next one goes with the count it came with. The value must not change meanwhile, so
whoever reads it in several pieces holds the engine.

Owns: how a value is cut, and what a piece consists of. Does not own where pieces go (engine.guests): here they are but
replies. Elements are read by commands, which this engine runs within another one.
"""
import cython
from cython.cimports.libc.stdint import int64_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import hash_expiry
from cython.cimports.shardd.commands.registry import Command, Registry
from cython.cimports.shardd.commands.zset_forms import reply_walk, zset_length
from cython.cimports.shardd.engine.words import Words, bulk_line
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    STR_EMBSTR, STR_INT, TYPE_HASH, TYPE_LIST, TYPE_SET, TYPE_STRING, TYPE_ZSET, View, entry_body, entry_bytes,
    entry_encoding, entry_expires, entry_expiry, entry_type, entry_view)
from cython.cimports.shardd.keyspace.fields import fields_expire
from cython.cimports.shardd.keyspace.values import ValueOps, value_ops
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors, limits

arg_p = cython.typedef(cython.pointer(Arg))
const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
command_p = cython.typedef(cython.pointer(Command))
ops_p = cython.typedef(cython.pointer(ValueOps))

_PIECE_BYTES = cython.declare(int64_t, limits.PIECE_BYTES)
_PIECE_ELEMENTS = cython.declare(int64_t, limits.PIECE_ELEMENTS)
_SHORT_MAX = cython.declare(cython.Py_ssize_t, 44)          # database.EMBSTR_MAX

KINDS = cython.declare(dict, {TYPE_STRING: b"string", TYPE_LIST: b"list", TYPE_SET: b"set", TYPE_ZSET: b"zset",
                              TYPE_HASH: b"hash"})
MAKERS = cython.declare(dict, {b"list": b"RPUSH", b"set": b"SADD", b"zset": b"ZADD", b"hash": b"HSET"})
_WHOLE = cython.declare(dict, {TYPE_LIST: (b"LRANGE", b"0", b"-1"), TYPE_SET: (b"SMEMBERS",), TYPE_HASH: (b"HGETALL",)})


# ---- commands within commands

@cython.cfunc
@cython.exceptval(-1, check=False)
def run_within(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """Run a command with a handler of the hot form; its arity is right. Its reply is at the end of ctx.reply."""
    registry: Registry = ctx.server.registry
    c: command_p = registry.lookup(argv, argc)
    key: Key = ctx.key
    i: cython.int
    if c == cython.NULL or c.hot == cython.NULL:
        return ctx.error(errors.unknown_command(arg_bytes(argv), [arg_bytes(argv + i) for i in range(1, argc)]))
    if 0 < c.first_key < argc:
        key_init(cython.address(ctx.key), argv[c.first_key].p, argv[c.first_key].n)
    else:
        ctx.key.p = cython.NULL         # what Context.other_key compares with
    try:
        c.hot(ctx, argv, argc)
    finally:
        ctx.key = key
    return 0


# ---- values as pieces

@cython.cfunc
@cython.exceptval(-1, check=False)
def _elements(ctx: Context, key: const_arg_p, type: cython.int, at: int64_t, count: int64_t) -> int64_t:
    """Reply with elements of a list, set or hash from cursor `at` on (count 0: all), in RESP2; the next cursor."""
    w: Words = Words()
    start: cython.Py_ssize_t = ctx.reply.len
    resp: cython.int = ctx.reply.resp
    p: bytep
    end: bytep
    following: int64_t = 0
    words: tuple
    if count == 0:
        words = _WHOLE[type]
    elif type == TYPE_SET or type == TYPE_HASH:
        words = (b"SSCAN" if type == TYPE_SET else b"HSCAN", b"%d" % at, b"COUNT", b"%d" % count)
    else:
        words = (b"LRANGE", b"%d" % at, b"%d" % (at + count - 1))
        following = at + count
    for word in words:
        w.add_bytes(word)
        if w.argc == 1:
            w.add(key.p, key.n)
    ctx.reply.resp = 2
    try:
        run_within(ctx, w.argv, w.argc)
    finally:
        ctx.reply.resp = resp
    if count and (type == TYPE_SET or type == TYPE_HASH):       # *2 $n cursor *n ...
        p = ctx.reply.buf + start
        end = ctx.reply.buf + ctx.reply.len
        bulk_line(cython.address(p), end, 42)
        n: int64_t = bulk_line(cython.address(p), end, 36)
        parse_int64(p, n, cython.address(following))
        rest: bytes = (p + n + 2)[:end - p - n - 2]
        ctx.reply.truncate(start)
        ctx.reply.raw(cython.cast(cython.p_char, rest), len(rest))
    return following


@cython.cfunc
@cython.exceptval(-1, check=False)
def _add_expiries(ctx: Context, e: bytep, start: cython.Py_ssize_t) -> cython.int:
    """Put behind each field and value of the array at `start` when the field expires, in Unix ms, or -1."""
    w: Words = Words()
    piece: Arg
    i: cython.int
    expire: cython.bint = fields_expire(e)
    text: bytes = (ctx.reply.buf + start)[:ctx.reply.len - start]
    ctx.reply.truncate(start)
    piece.p = cython.cast(bytep, cython.cast(cython.p_char, text))
    piece.n = len(text)
    w.add_piece(cython.address(piece), False)
    ctx.reply.array(w.argc // 2 * 3)
    for i in range(0, w.argc, 2):
        ctx.reply.bulk(w.argv[i].p, w.argv[i].n)
        ctx.reply.bulk(w.argv[i + 1].p, w.argv[i + 1].n)
        ctx.reply.bulk_int(hash_expiry(ctx, e, w.argv + i) if expire else -1)
    return 0


@cython.cfunc
def split_expiries(w: Words, first: cython.int) -> Words:
    """Leave in a command, of what follows its first words, fields and values; gives fields and their expiries."""
    found: Words = Words()
    i: cython.int = first
    kept: cython.int = first
    while i + 2 < w.argc:
        if w.argv[i + 2].p[0] != 45:        # a minus: it stays
            found.add(w.argv[i].p, w.argv[i].n)
            found.add(w.argv[i + 2].p, w.argv[i + 2].n)
        w.argv[kept] = w.argv[i]
        w.argv[kept + 1] = w.argv[i + 1]
        kept += 2
        i += 3
    w.argc = kept
    return found


@cython.cfunc
@cython.exceptval(-1, check=False)
def _ranked(ctx: Context, e: bytep, at: int64_t, count: int64_t) -> int64_t:
    """The same of a sorted set: members, each with its score, in a form that reads back exactly."""
    resp: cython.int = ctx.reply.resp
    ctx.reply.resp = 2
    try:
        reply_walk(ctx, e, at, max(0, min(count, zset_length(e) - at)), False, True)
    finally:
        ctx.reply.resp = resp
    return at + count


@cython.cfunc
@cython.exceptval(-1, check=False)
def _count(e: bytep) -> int64_t:
    """How many elements of a collection make a piece; 0: it is one."""
    ops: ops_p = value_ops(entry_type(e), entry_encoding(e))
    length: int64_t = ops.length(entry_body(e))
    count: int64_t
    if ops.packed:
        return 0
    count = min(max(_PIECE_BYTES * length // cython.cast(int64_t, entry_bytes(e)), 1), _PIECE_ELEMENTS)
    return 0 if length <= count else count


@cython.cfunc
@cython.exceptval(-1, check=False)
def reply_piece(ctx: Context, key: const_arg_p, e: bytep, at: int64_t, count: cython.pointer(int64_t)) -> int64_t:
    """Reply with the elements of a piece, in RESP2; the next cursor, 0 where there is no further one. count: set by the
    first piece, and to be handed on."""
    length: int64_t = value_ops(entry_type(e), entry_encoding(e)).length(entry_body(e))
    start: cython.Py_ssize_t = ctx.reply.len
    if at == 0:
        count[0] = _count(e)
    if entry_type(e) == TYPE_ZSET:
        at = _ranked(ctx, e, at, count[0] if count[0] else length)
    else:
        at = _elements(ctx, key, entry_type(e), at, count[0])
    if entry_type(e) == TYPE_HASH:
        _add_expiries(ctx, e, start)
    if at >= length and entry_type(e) != TYPE_SET and entry_type(e) != TYPE_HASH:
        return 0
    return at


@cython.cfunc
def piece_kind(e: bytep, view: cython.pointer(View)) -> bytes:
    """What LEND is told of a value; a string's bytes go into the view."""
    number: int64_t
    if entry_type(e) != TYPE_STRING:
        return KINDS[entry_type(e)]
    entry_view(e, view)
    if entry_encoding(e) == STR_EMBSTR and parse_int64(view.p, view.n, cython.address(number)):
        return b"embstr"
    if entry_encoding(e) != STR_EMBSTR and entry_encoding(e) != STR_INT and view.n <= _SHORT_MAX:
        return b"raw"
    return b"string"


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_piece(ctx: Context, k: cython.pointer(Key), argv: arg_p, argc: cython.int) -> cython.int:
    """READ and FETCH: key [cursor count]"""
    at: int64_t = 0
    count: int64_t = 0
    length: int64_t
    view: View
    start: cython.Py_ssize_t = ctx.reply.len
    e: bytep
    if argc != 3 and (argc != 5 or not arg_int64(argv + 3, cython.address(at))
                      or not arg_int64(argv + 4, cython.address(count)) or at < 0 or count < 0):
        return ctx.error(errors.SYNTAX)
    e = ctx.db.read(k) if at == 0 else ctx.db.find(k)
    if e == cython.NULL:
        return ctx.reply.null()
    kind: bytes = piece_kind(e, cython.address(view))
    expiry: int64_t = entry_expiry(e) if entry_expires(e) else -1
    if entry_type(e) == TYPE_STRING:
        length = view.n
        at = min(at, length)
        n: int64_t = min(length - at, _PIECE_BYTES)
        ctx.reply.raw(view.p + at, n)
        at = at + n if at + n < length else 0
    else:
        length = value_ops(entry_type(e), entry_encoding(e)).length(entry_body(e))
        at = reply_piece(ctx, argv + 2, e, at, cython.address(count))
    head: bytes = b"*6\r\n$%d\r\n%b\r\n:%d\r\n:%d\r\n:%d\r\n:%d\r\n$%d\r\n" % (
        len(kind), kind, length, at, count, expiry, ctx.reply.len - start)
    ctx.reply.insert(start, head)
    return ctx.reply.raw(b"\r\n", 2)
