"""What an entry says of its use, in 24 bits, and how LFU counts.

    LRU    | seconds of the last use, unix time modulo 2^24                    |
    LFU    | minutes of the last use, modulo 2^16        | counter, 0 to 255   |

The counter is Redis's: a logarithmic one (Morris, 1978) that also decays. With lfu-log-factor 10, some 1,000,000 uses
take it to 255. LRU counts seconds, since that is the resolution of Redis's clock (LRU_CLOCK_RESOLUTION).
"""
import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.shardd.structures.random import random_bits

from shardd.base import limits

LFU_INIT = cython.declare(uint32_t, limits.LFU_COUNTER_INITIAL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lfu_decayed(access: uint32_t, minutes: uint32_t, decay_minutes: cython.int) -> uint32_t:
    """The counter less one for every `decay_minutes` since the last use; minutes: the clock now."""
    stamp: uint32_t = access >> 8
    elapsed: uint32_t = (0x10000 + minutes - stamp) & 0xFFFF     # both have 16 bits, and the clock goes round
    counter: uint32_t = access & 255
    periods: uint32_t
    if decay_minutes <= 0:
        return counter
    periods = elapsed // cython.cast(uint32_t, decay_minutes)
    return counter - periods if counter > periods else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lfu_used(access: uint32_t, minutes: uint32_t, decay_minutes: cython.int, log_factor: cython.int) -> uint32_t:
    """The 24 bits after one more use: decayed, then one more with probability 1 / ((counter - 5) * log_factor + 1)."""
    counter: uint32_t = lfu_decayed(access, minutes, decay_minutes)
    base: uint64_t
    if counter < 255:
        base = (counter - LFU_INIT if counter > LFU_INIT else 0) * cython.cast(uint64_t, log_factor) + 1
        if random_bits() % base == 0:
            counter += 1
    return ((minutes & 0xFFFF) << 8) | counter
