"""Walking a table a batch at a time, for who reads all of it and nothing else: a snapshot, a DUMP.

    TableWalk w; walk_begin(&w, &table)
    n = walk_next(&w, entries, 64)          up to 64 pointers, all of them prefetched; 0 at the end

Entries lie anywhere in memory, so that a visitor which is handed one after the other waits for each. Here a batch is
asked for while the caller still works on the one before.

Touches nothing but the buckets, takes no Python object, and writes nowhere but into the walk and `out`: a forked child
may use it. The order is that of the buckets; an entry is met once.
"""
import cython
from cython.cimports.shardd.base.native import bytep, ctz, prefetch
from cython.cimports.shardd.structures.table import Bucket, Table
from cython.cimports.shardd.structures.walk import TableWalk

bucket_p = cython.typedef(cython.pointer(Bucket))
walk_p = cython.typedef(cython.pointer(TableWalk))
entry_p = cython.typedef(cython.pointer(bytep))

LINE = cython.declare(cython.int, 64)           # bytes; an entry of usual size lies in two cache lines


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def walk_begin(w: walk_p, t: cython.pointer(Table)) -> cython.void:
    """To the first bucket."""
    w.t = t
    w.b = cython.NULL
    if t.old != cython.NULL:
        w.array = t.old
        w.i = t.moved
        w.end = cython.cast(cython.size_t, t.old_mask) + 1
    else:
        w.array = t.b
        w.i = 0
        w.end = cython.cast(cython.size_t, t.mask) + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def walk_next(w: walk_p, out: entry_p, room: cython.int) -> cython.int:
    """The next entries, `room` at most, which is 7 or more: how many were put into `out`. 0: there are no more."""
    n: cython.int = 0
    bits: cython.uint
    b: bucket_p
    while w.array != cython.NULL and n + 7 <= room:
        b = w.b
        if b == cython.NULL:
            if w.i == w.end:
                if w.array == w.t.b:
                    w.array = cython.NULL
                else:
                    w.array = w.t.b
                    w.i = 0
                    w.end = cython.cast(cython.size_t, w.t.mask) + 1
                continue
            b = cython.address(w.array[w.i])
            w.i += 1
        bits = b.meta & 127
        while bits:
            out[n] = b.entry[ctz(bits)]
            prefetch(out[n])
            prefetch(out[n] + LINE)
            n += 1
            bits &= bits - 1
        w.b = cython.cast(bucket_p, b.entry[6]) if b.meta & 128 else cython.NULL
    return n
