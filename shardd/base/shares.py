"""How what a whole server may use is divided among its engines: maxmemory.

    nobody uses more than 3/4 of an even share        even shares
    else, and there is room                           what each one uses, and an even part of the room that is left
    else                                              as much as each one uses, in proportion, cut to the whole

A share is never below a quarter of an even one, so that an engine which has had nothing so far can begin. The shares
always add up to the whole, but where that is less than a byte for each: 0 would mean no limit.

Owns: the rule. Pure functions. Does not own who asks the engines and tells them (supervisor.shares; proxy.aggregate
where a client sets the option).
"""
from collections.abc import Sequence

CROWDED_PERCENT = 75
"""Part of an even share from which on shares follow what is used: below it nobody is in need."""

FLOOR_PART = 4
"""A share is at least an even one divided by this."""


def even(total: int, engines: int) -> list[int]:
    """Equal shares; the first ones have what does not divide."""
    each, rest = divmod(total, engines)
    return [max(each + (place < rest), 1 if total else 0) for place in range(engines)]


def split(total: int, used: Sequence[int]) -> list[int]:
    """Shares of `total` for engines that use so much, both in bytes; all 0 where total is 0 (no limit)."""
    engines = len(used)
    shares = even(total, engines)
    if total < FLOOR_PART * engines or all(100 * use <= CROWDED_PERCENT * share for use, share in zip(used, shares)):
        return shares
    floor = total // (FLOOR_PART * engines)
    wanted = [max(use, floor) for use in used]
    room = total - sum(wanted)
    if room >= 0:
        return [want + part for want, part in zip(wanted, even(room, engines))] if room else wanted
    above, divided = sum(wanted) - floor * engines, total - floor * engines
    shares = [floor + (want - floor) * divided // above for want in wanted]
    shares[wanted.index(max(wanted))] += total - sum(shares)
    return shares
