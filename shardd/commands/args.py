"""Reading arguments: what hot handlers share when they look at slices."""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.keyspace.entry import entry_type
from cython.cimports.shardd.structures.number import parse_int64
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors

arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
NEVER = cython.declare(int64_t, 9223372036854775807)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arg_is(arg: arg_p, word: cython.pointer(cython.const[cython.char]), n: cython.Py_ssize_t) -> cython.bint:
    """Whether the argument is `word` (lower case, `n` bytes), in either case."""
    i: cython.Py_ssize_t
    c: uint8_t
    if arg.n != n:
        return False
    for i in range(n):
        c = arg.p[i]
        if (c + 32 if 65 <= c <= 90 else c) != word[i]:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arg_int64(arg: arg_p, value: cython.pointer(int64_t)) -> cython.bint:
    """Whether the argument is a canonical 64-bit integer; `value` then holds it."""
    return parse_int64(arg.p, arg.n, value)


@cython.cfunc
def arg_bytes(arg: arg_p) -> bytes:
    """A copy of the argument."""
    return arg.p[:arg.n]


@cython.cfunc
@cython.exceptval(-1, check=False)
def expiry_unix_ms(ctx: Context, arg: arg_p, unit_ms: int64_t, relative: cython.bint, command: str,
                   when: cython.pointer(int64_t)) -> cython.bint:
    """The expiry of SET, GETEX and SETEX in unix ms: positive, and within 64 bits once in ms.

    False where the argument is not that; the error is replied then.
    """
    value: int64_t
    if not arg_int64(arg, cython.address(value)):
        ctx.error(errors.NOT_INTEGER)
        return False
    if value <= 0 or (unit_ms != 1 and value > NEVER // 1000):
        ctx.error(errors.invalid_expire(command))
        return False
    value *= unit_ms
    if relative:
        if value > NEVER - ctx.keyspace.now_ms:
            ctx.error(errors.invalid_expire(command))
            return False
        value += ctx.keyspace.now_ms
    when[0] = value
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def of_type(ctx: Context, e: bytep, type: uint32_t) -> cython.bint:
    """Whether `e` is NULL or an entry of this type; where not, the client is told so."""
    if e == cython.NULL or entry_type(e) == type:
        return True
    ctx.error(errors.WRONG_TYPE)
    return False
