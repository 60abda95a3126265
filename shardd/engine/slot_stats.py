"""What each slot has cost: time, bytes of requests and bytes of replies, as CLUSTER SLOT-STATS shows them.

Owns: the counters, and the engine's reply: up to 16,384 slots are ordered and written without a Python object for
each, since no command may hold the loop for long. Does not own which command counts for which slot (dispatch), how
many keys a slot has (the keyspace), or what the arguments mean (commands.cluster).

Counted while cluster-slot-stats-enabled is on, and kept when it is turned off, as in Valkey 8 (cluster_slot_stats.c).
The 384 KiB of counters come with the first time that it is turned on.
"""
import cython
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.clock import ticks_per_us
from cython.cimports.shardd.commands.args import arg_bytes
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import CMD_MOVABLE, Command, Registry
from cython.cimports.shardd.engine.slot_stats import Ranked, SlotUse
from cython.cimports.shardd.keyspace.database import Database
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.reply import Reply
from cython.cimports.shardd.wire.request import Arg

from shardd.base import limits
from shardd.commands import cluster, table

arg_p = cython.typedef(cython.pointer(Arg))
ranked_p = cython.typedef(cython.pointer(Ranked))
keys_p = cython.typedef(cython.pointer(uint32_t))

_SLOTS = cython.declare(cython.int, limits.SLOTS)
_KEY_COUNT = cython.declare(cython.int, cluster.METRICS.index(b"key-count"))
_CPU = cython.declare(cython.int, cluster.METRICS.index(b"cpu-usec"))
_BYTES_IN = cython.declare(cython.int, cluster.METRICS.index(b"network-bytes-in"))
_BYTES_OUT = cython.declare(cython.int, cluster.METRICS.index(b"network-bytes-out"))
# Their names as they stand in the reply.
_NAMES = cython.declare(list, [b"$%d\r\n%s\r\n" % (len(name), name) for name in cluster.METRICS])


@cython.final
@cython.no_gc
@cython.cclass
class SlotStats:
    """The counters of one engine. `add` may be called only while `enabled`."""

    def __dealloc__(self):
        free(self.use)

    def enable(self, on: bool) -> None:
        """cluster-slot-stats-enabled. Raises MemoryError."""
        if on and self.use == cython.NULL:
            self.use = cython.cast(cython.pointer(SlotUse), calloc(_SLOTS, cython.sizeof(SlotUse)))
            if self.use == cython.NULL:
                raise MemoryError
        self.enabled = on

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count(self, c: cython.pointer(Command), row: object, internal: cython.bint, argv: cython.pointer(Arg),
              argc: cython.int, spent: uint64_t, bytes_in: uint64_t, bytes_out: uint64_t) -> cython.int:
        """Count a command's cost for its slot. Only an internal one may have keys of several: they get equal parts, and
        the first one the rest."""
        i: cython.int = c.first_key
        places: list
        if 0 < i < argc and (not internal or c.first_key == c.last_key):
            self.add(key_slot(argv[i].p, argv[i].n), spent, bytes_in, bytes_out)
            return 0
        if not 0 < i < argc and not c.flags & CMD_MOVABLE:
            return 0
        places = table.route_keys(row, [arg_bytes(argv + i) for i in range(argc)])
        if not places:
            return 0
        if not internal:
            del places[1:]
        parts: uint64_t = len(places)
        for i in places:
            self.add(key_slot(argv[i].p, argv[i].n), spent // parts, bytes_in // parts, bytes_out // parts)
        i = places[0]
        self.add(key_slot(argv[i].p, argv[i].n), spent % parts, bytes_in % parts, bytes_out % parts)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def figure(self, metric: cython.int, slot: uint32_t, keys: uint32_t) -> uint64_t:
        """One of the figures of a slot. metric: its place in cluster.METRICS."""
        if metric == _KEY_COUNT:
            return keys
        if self.use == cython.NULL:
            return 0
        if metric == _CPU:
            return cython.cast(uint64_t, self.use[slot].ticks / ticks_per_us())
        return self.use[slot].bytes_in if metric == _BYTES_IN else self.use[slot].bytes_out

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell(self, ctx: Context, slot: uint32_t, keys: uint32_t) -> cython.int:
        """Write the entry of one slot."""
        reply: Reply = ctx.reply
        metrics: cython.int = _BYTES_OUT + 1 if self.enabled else 1
        metric: cython.int
        name: bytes
        reply.array(2)
        reply.integer(slot)
        reply.map(metrics)
        for metric in range(metrics):
            name = _NAMES[metric]
            reply.raw(cython.cast(cython.p_char, name), len(name))
            reply.integer(self.figure(metric, slot, keys))
        return 0

    def reset(self) -> None:
        """CONFIG RESETSTAT."""
        if self.use != cython.NULL:
            memset(self.use, 0, _SLOTS * cython.sizeof(SlotUse))


# --- the order ----------------------------------------------------------------------------------------------------

@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _before(a: ranked_p, b: ranked_p) -> cython.bint:
    return a.rank < b.rank or (a.rank == b.rank and a.slot < b.slot)


@cython.cfunc
@cython.exceptval(check=False)
def _sift(heap: ranked_p, place: cython.int, n: cython.int) -> cython.void:
    """Let the entry at `place` sink until none below it comes later."""
    one: Ranked = heap[place]
    child: cython.int = 2 * place + 1
    while child < n:
        if child + 1 < n and _before(cython.address(heap[child]), cython.address(heap[child + 1])):
            child += 1
        if not _before(cython.address(one), cython.address(heap[child])):
            break
        heap[place] = heap[child]
        place = child
        child = 2 * place + 1
    heap[place] = one


@cython.cfunc
@cython.exceptval(check=False)
def _first_of(all_of_them: ranked_p, n: cython.int, wanted: cython.int) -> cython.void:
    """Put the first `wanted` of the n entries in order at the front: a heap of the best so far, then sorted."""
    i: cython.int
    swapped: Ranked
    for i in range(wanted // 2 - 1, -1, -1):
        _sift(all_of_them, i, wanted)
    for i in range(wanted, n):
        if _before(cython.address(all_of_them[i]), cython.address(all_of_them[0])):
            all_of_them[0] = all_of_them[i]
            _sift(all_of_them, 0, wanted)
    for i in range(wanted - 1, 0, -1):
        swapped = all_of_them[0]
        all_of_them[0] = all_of_them[i]
        all_of_them[i] = swapped
        _sift(all_of_them, 0, i)


@cython.cfunc
@cython.exceptval(check=False)
def _count_keys(db: Database, keys: keys_p) -> cython.void:
    slot: cython.int
    if db.slots != cython.NULL:
        for slot in range(_SLOTS):
            keys[slot] += db.slots[slot].t.used


@cython.cfunc
@cython.exceptval(-1, check=False)
def slot_stats_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """CLUSTER SLOT-STATS SLOTSRANGE first last | ORDERBY metric [LIMIT n] [ASC | DESC]: of the slots that are ours."""
    i: cython.int
    cluster.check_enabled(ctx.server)
    order = cluster.slot_order(ctx.server.config, [arg_bytes(argv + i) for i in range(argc)])
    ranges = ctx.server.topology.ranges_of(ctx.server.node_id)
    keys: keys_p = cython.cast(keys_p, calloc(_SLOTS, cython.sizeof(uint32_t)))
    found: ranked_p = cython.cast(ranked_p, calloc(_SLOTS, cython.sizeof(Ranked)))
    try:
        if keys == cython.NULL or found == cython.NULL:
            raise MemoryError
        return _answer(ctx, order, ranges, keys, found)
    finally:
        free(keys)
        free(found)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _answer(ctx: Context, order: object, ranges: object, keys: keys_p, found: ranked_p) -> cython.int:
    """Write the reply. keys, found: room for every slot, all zero."""
    stats: SlotStats = ctx.server.dispatcher.slot_stats
    db: Database
    slot: cython.int
    first: cython.int
    last: cython.int
    i: cython.int
    n: cython.int = 0
    lowest: cython.int = order.first
    highest: cython.int = order.last
    metric: cython.int = cluster.METRICS.index(order.metric) if order.metric else -1
    wanted: cython.int
    descending: cython.bint = order.descending
    for db in ctx.keyspace.databases:
        _count_keys(db, keys)
    for first, last in ranges:
        for slot in range(max(first, lowest), min(last, highest) + 1):
            found[n].slot = slot
            if metric >= 0:
                found[n].rank = stats.figure(metric, slot, keys[slot])
                if descending:
                    found[n].rank = ~found[n].rank
            n += 1
    wanted = min(n, cython.cast(cython.int, order.limit))
    if metric >= 0:
        _first_of(found, n, wanted)
    ctx.reply.array(wanted)
    for i in range(wanted):
        stats.tell(ctx, found[i].slot, keys[found[i].slot])
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_slot_stats(registry: Registry) -> cython.int:
    """Add the command."""
    registry.hot("cluster|slot-stats", slot_stats_command)
    return 0
