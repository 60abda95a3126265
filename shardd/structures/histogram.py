"""How values are distributed: a log-linear histogram with a bounded relative error, of fixed size.

Owns: the counting of non-negative 64-bit integers (latencies, sizes; the unit is the caller's) so that any percentile
can be told to two or three significant digits, at a cost of some nanoseconds per value and without keeping the values.
Does not own units, or what is done with a percentile.

The layout is that of HdrHistogram (Gil Tene; HdrHistogram_c, hdr_histogram.c), so that percentiles and buckets agree
with what Redis and other tools show. A value keeps its highest bits and loses the rest. With `shift` bits more than
one kept, a *level* is a span of values that lose the same number of bits; the lowest loses none:

    level       values (shift = 7)      a bucket spans      buckets
      0             0 ...    255              1             0 ...  255
      1           256 ...    511              2           256 ...  383
      2           512 ...   1023              4           384 ...  511
      3          1024 ...   2047              8           512 ...  639
                     ...

    index of value v:    level = bits of (v | 255) - 8          255 = 2 << shift, less one
                         index = (level << shift) + (v >> level)

    v = 1000 = 11 1110 1000      level 2:  11 1110 10|00      index = 256 + 250 = 506: values 1000 ... 1003
                                           8 bits kept, 2 lost

Level 0 has 2 << shift buckets, every other one half as many, since `v >> level` then always has its top bit; the
formula makes the indices of all levels one row without gaps. A bucket spans at most v >> shift values, so that two
digits (1 %) take 2 << shift >= 200 buckets in level 0, three take 2,000.

    digits   shift   counters up to 1 s in ns      up to an hour in us      all 63 bits
      2        7           24 KiB                      26 KiB                57 KiB
      3       10          168 KiB                     184 KiB               432 KiB

Invariants: count is the sum of counts; min <= max where count > 0; counts beyond the bucket of `highest` do not exist:
a value above counts as `highest`, one below zero as zero. There is no decay: who wants a window records into a new one
and merges.
"""
from collections.abc import Mapping
from typing import Any

import cython
from cython.cimports.libc.math import ceil, nextafter
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.shardd.structures.histogram import Tally, tally_index, tally_record_n

tally_p = cython.typedef(cython.pointer(Tally))
counts_p = cython.typedef(cython.pointer(uint64_t))

_INT64_MAX = cython.declare(int64_t, 9223372036854775807)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def tally_init(t: tally_p, digits: cython.int, highest: int64_t) -> cython.bint:
    """Make an empty one for `digits` (2 or 3) significant digits and values up to `highest`; False: no memory."""
    t.shift = 7 if digits == 2 else 10
    t.highest = highest
    t.length = tally_index(t, highest) + 1
    t.counts = cython.cast(counts_p, calloc(t.length, cython.sizeof(uint64_t)))
    if t.counts == cython.NULL:
        return False
    tally_reset(t)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def tally_free(t: tally_p) -> cython.void:
    """Give the counters back."""
    free(t.counts)
    t.counts = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def tally_reset(t: tally_p) -> cython.void:
    """Forget all values."""
    memset(t.counts, 0, t.length * cython.sizeof(uint64_t))
    t.count = t.total = 0
    t.min = _INT64_MAX
    t.max = 0


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _bucket_lowest(t: tally_p, index: cython.int) -> int64_t:
    level: cython.int = (index >> t.shift) - 1
    if level <= 0:
        return index
    return cython.cast(int64_t, index - (level << t.shift)) << level


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _bucket_highest(t: tally_p, index: cython.int) -> int64_t:
    level: cython.int = (index >> t.shift) - 1
    if level < 0:
        level = 0
    return _bucket_lowest(t, index) + ((cython.cast(int64_t, 1) << level) - 1)


@cython.cfunc
def histogram_of(t: tally_p, digits: cython.int) -> Histogram:
    """A copy of the counters as an object. Raises MemoryError."""
    copy: Histogram = Histogram(digits, t.highest)
    memcpy(copy.t.counts, t.counts, t.length * cython.sizeof(uint64_t))
    copy.t.count, copy.t.total, copy.t.min, copy.t.max = t.count, t.total, t.min, t.max
    return copy


@cython.final
@cython.no_gc
@cython.cclass
class Histogram:
    """Values up to `highest`, told apart to `digits` (2 or 3) significant digits.

    C callers record with `record(value)` and `record_n(value, n)`, inline; plain ones with `add(value, n)`. Raises
    ValueError for other digits or a highest below 2, MemoryError.
    """

    def __cinit__(self, digits: cython.int = 2, highest: int64_t = _INT64_MAX):
        if not 2 <= digits <= 3:
            raise ValueError(f"{digits} significant digits: 2 or 3 are possible")
        if highest < 2:
            raise ValueError(f"highest is {highest}, below 2")
        self.digits = digits
        if not tally_init(cython.address(self.t), digits, highest):
            raise MemoryError

    def __dealloc__(self):
        tally_free(cython.address(self.t))

    def add(self, value: int64_t, n: uint64_t = 1) -> None:
        """Count `value` n times."""
        if n:
            tally_record_n(cython.address(self.t), value, n)

    def reset(self) -> None:
        """Forget all values."""
        tally_reset(cython.address(self.t))

    # --- what was counted -----------------------------------------------------------------------------------------

    @property
    def highest(self) -> int:
        """Values above count as this."""
        return self.t.highest

    @property
    def count(self) -> int:
        """How many values."""
        return self.t.count

    @property
    def total(self) -> int:
        """The sum of all values, modulo 2**64."""
        return self.t.total

    @property
    def min(self) -> int:
        """The lowest value, exactly; 0 where there is none."""
        return self.t.min if self.t.count else 0

    @property
    def max(self) -> int:
        """The highest value, exactly; 0 where there is none."""
        return self.t.max

    @property
    def mean(self) -> float:
        """The arithmetic mean, exactly; 0.0 where there is no value."""
        return cython.cast(cython.double, self.t.total) / self.t.count if self.t.count else 0.0

    def percentile(self, q: cython.double) -> int:
        """The highest value of the bucket where `q` per cent (0 ... 100) of all values are at or below; 0: no values.

        That is the nearest rank, ceil(q / 100 * count), and HdrHistogram's convention: never below the true value,
        and at most a bucket above. At 0 it is the first value's.
        """
        i: cython.int
        seen: uint64_t = 0
        rank: uint64_t
        if not self.t.count:
            return 0
        # a hair less, or 99.9 % of 1000 would be 999.0000000001 and so the last
        rank = cython.cast(uint64_t, ceil(nextafter(q / 100.0 * cython.cast(cython.double, self.t.count), 0.0)))
        if rank < 1:
            rank = 1
        if rank > self.t.count:
            rank = self.t.count
        for i in range(self.t.length):
            seen += self.t.counts[i]
            if seen >= rank:
                return _bucket_highest(cython.address(self.t), i)
        return self.t.max

    def count_upto(self, value: int64_t) -> int:
        """How many values are at or below `value`, as far as the buckets can tell: those of its whole bucket count."""
        i: cython.int
        seen: uint64_t = 0
        if value < 0:
            return 0
        if value >= self.t.highest:
            return self.t.count
        for i in range(tally_index(cython.address(self.t), value) + 1):
            seen += self.t.counts[i]
        return seen

    def buckets(self) -> list:
        """(highest value, count) of each bucket that has any, from the lowest."""
        i: cython.int
        found: list = []
        for i in range(self.t.length):
            if self.t.counts[i]:
                found.append((_bucket_highest(cython.address(self.t), i), self.t.counts[i]))
        return found

    def bucket_of(self, value: int64_t) -> tuple:
        """(lowest, highest) value of the bucket that `value` counts in."""
        i: cython.int = tally_index(cython.address(self.t), max(0, min(value, self.t.highest)))
        return _bucket_lowest(cython.address(self.t), i), _bucket_highest(cython.address(self.t), i)

    # --- several --------------------------------------------------------------------------------------------------

    @cython.overflowcheck(False)
    def merge(self, other: Histogram) -> None:
        """Count all that `other` has counted. Raises ValueError where its digits or its highest differ."""
        i: cython.int
        if other is None or other.digits != self.digits or other.t.highest != self.t.highest:
            raise ValueError("histograms of different shape")
        for i in range(self.t.length):
            self.t.counts[i] += other.t.counts[i]
        self.t.count += other.t.count
        self.t.total += other.t.total
        self.t.min = min(self.t.min, other.t.min)
        self.t.max = max(self.t.max, other.t.max)

    def copy(self) -> Histogram:
        """Another one with the same counts."""
        return histogram_of(cython.address(self.t), self.digits)

    def dump(self) -> dict:
        """All of it as a dict that JSON can carry; `load` makes a histogram of it again."""
        i: cython.int
        counts: list = []
        for i in range(self.t.length):
            if self.t.counts[i]:
                counts.append(i)
                counts.append(self.t.counts[i])
        return {"digits": self.digits, "highest": self.t.highest, "min": self.min, "max": self.max,
                "total": self.t.total, "counts": counts}

    @staticmethod
    def load(dumped: Mapping[str, Any]) -> Histogram:
        """What `dump` wrote. Raises ValueError or KeyError where it is no such dict."""
        self: Histogram = Histogram(dumped["digits"], dumped["highest"])
        counts: list = dumped["counts"]
        for index, n in zip(counts[::2], counts[1::2], strict=True):
            if not 0 <= index < self.t.length:
                raise ValueError(f"no bucket {index}")
            self.t.counts[cython.cast(cython.int, index)] = n
            self.t.count += cython.cast(uint64_t, n)
        self.t.total = dumped["total"]
        if self.t.count:
            self.t.min, self.t.max = dumped["min"], dumped["max"]
        return self

    def check(self) -> None:
        """Assert the invariants."""
        i: cython.int
        count: uint64_t = 0
        first: cython.int = -1
        last: cython.int = -1
        for i in range(self.t.length):
            count += self.t.counts[i]
            if self.t.counts[i]:
                first = i if first < 0 else first
                last = i
        assert count == self.t.count, f"{count} values are counted, {self.t.count} were recorded"
        if count:
            assert first == tally_index(cython.address(self.t), self.t.min), "min is in another bucket"
            assert last == tally_index(cython.address(self.t), self.t.max), "max is in another bucket"
