"""Which commands this engine has: the one place where families are registered."""
from typing import Any

from cython.cimports.shardd.commands.blocking import register_blocking, register_wait_keys
from cython.cimports.shardd.commands.dump import register_dump
from cython.cimports.shardd.commands.expire import register_expire
from cython.cimports.shardd.commands.hash_times import register_hash_times
from cython.cimports.shardd.commands.hashes import register_hashes
from cython.cimports.shardd.commands.keys import register_keys
from cython.cimports.shardd.commands.lcs import register_lcs
from cython.cimports.shardd.commands.lists import register_lists
from cython.cimports.shardd.commands.pubsub import register_pubsub
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.commands.set_algebra import register_set_algebra
from cython.cimports.shardd.commands.sets import register_sets
from cython.cimports.shardd.commands.sort import register_sort
from cython.cimports.shardd.commands.strings import register_strings
from cython.cimports.shardd.commands.strings_if import register_strings_if
from cython.cimports.shardd.commands.zset_algebra import register_zset_algebra
from cython.cimports.shardd.commands.zset_ranges import register_zset_ranges
from cython.cimports.shardd.commands.zsets import register_zsets
from cython.cimports.shardd.engine.guests import register_guests
from cython.cimports.shardd.engine.patterns import register_patterns
from cython.cimports.shardd.engine.slot_stats import register_slot_stats
from cython.cimports.shardd.engine.transactions import register_transactions
from cython.cimports.shardd.engine.waitaof import register_waitaof

from shardd.commands import (
    acl, append_only, cluster, connection, debug, facts, introspect, latency, memory, persistence)
from shardd.commands import server as server_commands
from shardd.engine import internal


def build_registry(server: Any) -> None:
    """Register every family with `server.registry` and tell the server what it can. server: engine.server.Server."""
    registry: Registry = server.registry
    register_strings(registry)
    register_strings_if(registry)
    register_hashes(registry)
    register_hash_times(registry)
    register_sets(registry)
    register_set_algebra(registry)
    register_lists(registry)
    register_sort(registry)
    register_zsets(registry)
    register_blocking(registry)
    register_zset_ranges(registry)
    register_zset_algebra(registry)
    register_lcs(registry)
    register_keys(registry)
    register_expire(registry)
    register_dump(registry)
    register_pubsub(registry)
    register_slot_stats(registry)
    register_transactions(registry)
    register_waitaof(registry)
    for family in (connection, introspect, server_commands, facts, memory, latency, debug, cluster, acl,
                   append_only, persistence):
        for name, handler in family.HANDLERS.items():
            registry.plain(name, handler)
    server.built = registry.names()
    for row, handler in internal.rows():
        registry.add_row(row, handler)
    register_guests(registry)
    register_wait_keys(registry)
    register_patterns(registry)
