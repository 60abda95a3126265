"""Collections as the keyspace sees them: a body behind a pointer, and what can be done with it.

    entry of a collection      [header] [key] [ body* ]          8 bytes of value, whatever the collection holds
                                                 |
                         (type, encoding) -> ValueOps: length, bytes, copy, free, check

`items` gives a list: of a list its elements (bytes), of a set its members, of a hash (field, value, expiry in Unix ms
or -1), of a sorted set (member, score as a float), in the structure's order.

A structure (a listpack, a hash table ...) registers its operations for the types that use it when its family is built;
the keyspace calls them where an entry is freed, measured, copied or checked. It owns the bodies of entries that are
gone and of too many blocks to be freed on the spot: those are freed a step at a time (value_free_step), so that no
deletion stalls the loop, whatever it deletes and whoever asked for it.

Invariants: a body belongs to one entry or to the list of those to be freed. An operation is registered before the first
entry of its type and encoding exists.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import monotonic_us
from cython.cimports.shardd.keyspace.values import ValueOps

AT_ONCE = cython.declare(uint64_t, 64)          # elements that are freed on the spot (LAZYFREE_THRESHOLD in Redis)
STEP_ELEMENTS = cython.declare(int64_t, 256)    # freed between two looks at the clock: some 20 us
TYPES = cython.declare(cython.int, 8)
ENCODINGS = cython.declare(cython.int, 16)

ops_p = cython.typedef(cython.pointer(ValueOps))

Doomed = cython.struct(ops=ops_p, body=cython.p_void)

_ops = cython.declare(ValueOps[128])
_doomed = cython.declare(cython.pointer(Doomed), cython.NULL)
_doomed_n = cython.declare(cython.size_t, 0)
_doomed_cap = cython.declare(cython.size_t, 0)
memset(_ops, 0, cython.sizeof(_ops))


@cython.cfunc
@cython.exceptval(-1, check=False)
def value_register(type: uint32_t, encoding: uint32_t, ops: ops_p) -> cython.int:
    """Say what can be done with bodies of this type and encoding."""
    assert type < TYPES and encoding < ENCODINGS
    _ops[type * ENCODINGS + encoding] = ops[0]
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def value_ops(type: uint32_t, encoding: uint32_t) -> ops_p:
    """The operations of this type and encoding."""
    return cython.address(_ops[type * ENCODINGS + encoding])


@cython.cfunc
@cython.exceptval(check=False)
def value_dispose(type: uint32_t, encoding: uint32_t, body: cython.p_void) -> cython.void:
    """Free a body that no entry has any more: now where it is small, else in steps."""
    global _doomed, _doomed_n, _doomed_cap
    ops: ops_p = value_ops(type, encoding)
    cap: cython.size_t
    grown: cython.p_void
    if not ops.packed and ops.length(body) > AT_ONCE:
        if _doomed_n == _doomed_cap:
            cap = 2 * _doomed_cap + 16
            grown = realloc(_doomed, cap * cython.sizeof(Doomed))
            if grown != cython.NULL:
                _doomed = cython.cast(cython.pointer(Doomed), grown)
                _doomed_cap = cap
        if _doomed_n < _doomed_cap:
            _doomed[_doomed_n].ops = ops
            _doomed[_doomed_n].body = body
            _doomed_n += 1
            return
    while not ops.free(body, 1 << 30):
        pass


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def value_pending() -> uint64_t:
    """How many bodies are still to be freed, or are in the middle of it."""
    return _doomed_n


@cython.cfunc
@cython.exceptval(check=False)
def value_free_step(deadline_us: int64_t) -> cython.bint:
    """Free until the monotonic clock says deadline_us; whether there is more."""
    global _doomed, _doomed_n, _doomed_cap
    last: cython.pointer(Doomed)
    while _doomed_n > 0:
        last = cython.address(_doomed[_doomed_n - 1])
        if last.ops.free(last.body, STEP_ELEMENTS):
            _doomed_n -= 1
        if monotonic_us() >= deadline_us:
            break
    if _doomed_n == 0 and _doomed_cap > 1024:
        free(_doomed)
        _doomed = cython.NULL
        _doomed_cap = 0
    return _doomed_n > 0
