"""Emptying a table that is to go, so that no step of it is long.

    chains   0 ........ start ........ end ............ last
             | pages are back | swept now | still there     |

A sweep (structures/table.py) frees the entries, a few chains at a time. What is left at the end is the bucket array: 64
MiB for five million entries, and to give that much back to the system in one go takes some 12 ms. So the pages behind
the sweep are given back as it goes on, 256 KiB at a time, and releasing the array costs nothing in the end.

Owns nothing. The table stays sound throughout: a page that was given back reads as empty buckets.
"""
import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.shardd.structures.alloc import discard_lines
from cython.cimports.shardd.structures.table import Bucket, EntryVisitor, Table, table_sweep

BLOCK = cython.declare(uint64_t, 4096)              # buckets whose pages go back at a time: 256 KiB
MAPPED_BUCKETS = cython.declare(uint64_t, 16384)    # an array of so many is mapped by itself (alloc.LINES_MAP_MIN)

bucket_p = cython.typedef(cython.pointer(Bucket))
table_p = cython.typedef(cython.pointer(Table))


@cython.cfunc
@cython.exceptval(check=False)
def _give_back(array: bucket_p, buckets: uint64_t, start: uint64_t, end: uint64_t) -> cython.void:
    """The pages of whole blocks that end among the emptied buckets start ... end - 1."""
    first: uint64_t = start - start % BLOCK
    last: uint64_t = end - end % BLOCK
    if buckets >= MAPPED_BUCKETS and last > first:
        discard_lines(array, first * cython.sizeof(Bucket), last * cython.sizeof(Bucket))


@cython.cfunc
@cython.exceptval(check=False)
def table_drain(t: table_p, start: uint64_t, chains: uint64_t, condemn: EntryVisitor,
                context: cython.p_void) -> uint64_t:
    """table_sweep from chain `start` on, where `condemn` takes every entry and nothing is added: where to go on, 0 at
    the end. The first call has start 0.
    """
    old: uint64_t = cython.cast(uint64_t, t.old_mask) + 1 if t.old != cython.NULL else 0
    total: uint64_t = old + t.mask + 1
    next: uint64_t
    end: uint64_t
    if t.b == cython.NULL:
        return 0
    next = table_sweep(t, start, chains, condemn, context)
    end = next if next else total
    if start < old:
        _give_back(t.old, old, start, min(end, old))
    if end > old:
        _give_back(t.b, total - old, start - old if start > old else 0, end - old)
    return next
