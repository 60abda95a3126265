"""Random numbers for choices: which member SPOP takes, which keys are sampled. Not for secrets, which want os.urandom.

splitmix64 (Guy Steele, Doug Lea, Christine Flood: Fast Splittable Pseudorandom Number Generators, 2014; the constants
are David Stafford's variant 13): a counter that goes on by an odd constant, and a mixer that makes 64 bits of it in
which each bit of the counter counts. Three multiplications, no division, 64 bits of state, seeded from the system.
"""
import os

import cython
from cython.cimports.libc.stdint import uint64_t

_GOLDEN = cython.declare(uint64_t, 0x9E3779B97F4A7C15)
_MIX_1 = cython.declare(uint64_t, 0xBF58476D1CE4E5B9)
_MIX_2 = cython.declare(uint64_t, 0x94D049BB133111EB)

_state = cython.declare(uint64_t, int.from_bytes(os.urandom(8), "little"))


@cython.cfunc
@cython.nogil
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def random_bits() -> uint64_t:
    """64 random bits."""
    global _state
    bits: uint64_t
    _state += _GOLDEN
    bits = _state
    bits = (bits ^ (bits >> 30)) * _MIX_1
    bits = (bits ^ (bits >> 27)) * _MIX_2
    return bits ^ (bits >> 31)


def seed(state: int) -> None:
    """Begin anew: the same seed gives the same numbers, which tests want."""
    global _state
    _state = cython.cast(uint64_t, state)


def bits() -> int:
    """What C gets from random_bits, for tests and plain modules."""
    return random_bits()
