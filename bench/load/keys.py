"""Which key comes next: numbers from 0 to keys - 1, drawn by a distribution.

Owns: the random numbers of a process and the distributions over them. Does not own what a number looks like in a key
(script).

    uniform      each as often as any other
    zipfian      the key of rank k (from 1 on) comes in proportion to 1 / k ** theta
    hot          a share of the keys (the lowest numbers) gets a share of the draws; uniform within both parts
    sequential   one after the other, each `step` behind the one before, from `start` on; around at the end

Zipfian draws take no table, whatever the number of keys and for every theta > 0, by rejection-inversion (Hoermann and
Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996). The density
1 / x ** theta has an integral that can be inverted:

    area(x) = (x ** (1 - theta) - 1) / (1 - theta)          log x where theta = 1

A number u drawn evenly between area(1.5) - 1 and area(keys + 0.5) is taken back to x; k = round(x) is right where u
lies in the part of k's strip, from k - 1/2 to k + 1/2, that is as large as k's probability, and else another u is
drawn: less than once in ten draws. `sure` is how far left of k an x may lie to be right without a look at the strip.

Ranks do not become numbers as they are, since neighbours would all be popular: number = rank * spread % keys, with a
spread that has no common divisor with keys, so that each rank has a number of its own.
"""
import math

import cython
from cython.cimports.libc.math import exp, expm1, fabs, log, log1p
from cython.cimports.libc.stdint import int64_t, uint64_t

_UNIFORM = cython.declare(cython.int, 0)
_ZIPFIAN = cython.declare(cython.int, 1)
_HOT = cython.declare(cython.int, 2)
_SEQUENTIAL = cython.declare(cython.int, 3)
_SMALL = cython.declare(cython.double, 1e-8)
_STEP = cython.declare(cython.double, 1.0 / (1 << 53))
_WORD = cython.declare(int64_t, 0xFFFFFFFF)
_GAMMA = cython.declare(uint64_t, 0x9E3779B97F4A7C15)
_MIX_A = cython.declare(uint64_t, 0xBF58476D1CE4E5B9)
_MIX_B = cython.declare(uint64_t, 0x94D049BB133111EB)

KINDS = ("uniform", "zipfian", "hot", "sequential")
KEYS_MAX = 10 ** 12
"""A number has 12 digits in a key."""

_GOLDEN = 0.6180339887498949


@cython.cfunc
@cython.exceptval(check=False)
def _area(x: cython.double, theta: cython.double) -> cython.double:
    """The integral of 1 / x ** theta from 1 to x, without the loss of digits near theta = 1."""
    log_x: cython.double = log(x)
    t: cython.double = (1.0 - theta) * log_x
    if fabs(t) > _SMALL:
        return expm1(t) / t * log_x
    return log_x * (1.0 + t * 0.5 * (1.0 + t / 3.0))


@cython.cfunc
@cython.exceptval(check=False)
def _place(area: cython.double, theta: cython.double) -> cython.double:
    """The x of an area."""
    t: cython.double = area * (1.0 - theta)
    if t < -1.0:
        t = -1.0        # rounding at the right end
    if fabs(t) > _SMALL:
        return exp(log1p(t) / t * area)
    return exp(area * (1.0 - t * (0.5 - t / 3.0)))


@cython.cfunc
@cython.exceptval(check=False)
def _density(x: cython.double, theta: cython.double) -> cython.double:
    return exp(-theta * log(x))


def spread_for(keys: int) -> int:
    """A factor near keys times the golden ratio, and small enough for 63 bits, that shares no divisor with keys."""
    factor = max(1, min(int(keys * _GOLDEN), (1 << 62) // keys))
    while math.gcd(factor, keys) != 1:
        factor -= 1
    return factor


@cython.final
@cython.cclass
class Keys:
    """A stream of key numbers.

    keys: how many there are. kind: one of KINDS. theta: of zipfian, above 0. hot_keys, hot_access: shares between 0
    and 1 of the keys and of the draws. start, step: of sequential. seed: the same seed gives the same stream.
    Raises ValueError.
    """

    def __init__(self, keys: int, kind: str = "uniform", *, theta: float = 0.99, hot_keys: float = 0.1,
                 hot_access: float = 0.9, start: int = 0, step: int = 1, seed: int = 0) -> None:
        if not 1 <= keys <= KEYS_MAX:
            raise ValueError(f"{keys} keys: 1 to {KEYS_MAX} are possible")
        if kind not in KINDS:
            raise ValueError(f"'{kind}' is no distribution: {', '.join(KINDS)}")
        if not 0 < theta <= 100:
            raise ValueError(f"theta is {theta}, not above 0 and at most 100")
        if not (0 < hot_keys <= 1 and 0 <= hot_access <= 1):
            raise ValueError("the shares of a hot set lie between 0 and 1")
        self.keys = keys
        self.kind = kind
        self.how = KINDS.index(kind)
        self.state = (seed * 0x9E3779B97F4A7C15 + 0x1234567) & 0xFFFFFFFFFFFFFFFF
        self.at = start % keys
        self.step = step % keys
        self.hot = min(keys, max(1, round(keys * hot_keys)))
        self.hot_access = hot_access if self.hot < keys else 1.0
        self.theta = theta
        self.area_first = _area(1.5, theta) - 1.0
        self.area_last = _area(keys + 0.5, theta)
        self.sure = 2.0 - _place(_area(2.5, theta) - _density(2.0, theta), theta)
        self.spread = spread_for(keys)

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def bits(self) -> uint64_t:
        """64 random bits: splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators")."""
        z: uint64_t
        self.state += _GAMMA
        z = self.state
        z = (z ^ (z >> 30)) * _MIX_A
        z = (z ^ (z >> 27)) * _MIX_B
        return z ^ (z >> 31)

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def below(self, n: int64_t) -> int64_t:
        """0 to n - 1. What is not quite even about it is below n / 2 ** 32."""
        if n <= _WORD:
            return cython.cast(int64_t, (self.bits() >> 32) * cython.cast(uint64_t, n) >> 32)
        return cython.cast(int64_t, (self.bits() >> 1) % cython.cast(uint64_t, n))

    @cython.cfunc
    @cython.exceptval(check=False)
    def fraction(self) -> cython.double:
        """0 <= x < 1, of 53 bits."""
        return cython.cast(cython.double, self.bits() >> 11) * _STEP

    @cython.cfunc
    @cython.exceptval(check=False)
    def rank(self) -> int64_t:
        """Zipfian: 1 to keys."""
        u: cython.double
        x: cython.double
        k: int64_t
        while True:
            u = self.area_last + self.fraction() * (self.area_first - self.area_last)
            x = _place(u, self.theta)
            k = cython.cast(int64_t, x + 0.5)
            if k < 1:
                k = 1
            elif k > self.keys:
                k = self.keys
            if k - x <= self.sure or u >= _area(k + 0.5, self.theta) - _density(k, self.theta):
                return k

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(check=False)
    def draw(self) -> int64_t:
        """The next number."""
        number: int64_t
        if self.how == _UNIFORM:
            return self.below(self.keys)
        if self.how == _ZIPFIAN:
            return (self.rank() - 1) * self.spread % self.keys
        if self.how == _HOT:
            if self.fraction() < self.hot_access:
                return self.below(self.hot)
            return self.hot + self.below(self.keys - self.hot)
        number = self.at
        self.at += self.step
        if self.at >= self.keys:
            self.at -= self.keys
        return number

    def draws(self, count: int) -> list[int]:
        """The next `count` numbers, for tests and plain callers."""
        return [self.draw() for _ in range(count)]

    def ranks(self, count: int) -> list[int]:
        """As `draws`, of zipfian ranks."""
        return [self.rank() for _ in range(count)]
