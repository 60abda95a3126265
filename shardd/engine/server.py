"""The engine as its plain command handlers see it: configuration, clients, keyspace, topology and statistics.

Owns: what happens when the configuration or the topology changes, and a stop on request. Does not own the event loop
(main.py), what runs by the clock (cron.py) or the order of things in a command (dispatch.py).

One object of this class exists per engine. Plain handlers get it as `server`; the proxy has an object with the same
first attributes, so that shared handlers (commands/connection.py, introspect.py) run in both.
"""
import os
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

from shardd.base import errors, limits
from shardd.base.child import Parent
from shardd.base.clock import mono_ms, now_ms, now_us
from shardd.base.log import Log
from shardd.base.options import Config
from shardd.cluster import view
from shardd.cluster.outage import Outage
from shardd.cluster.topology import Topology
from shardd.commands import connection
from shardd.commands.context import Context
from shardd.commands.pubsub import EventPublisher
from shardd.commands.registry import Registry
from shardd.engine.appendonly import AppendOnly
from shardd.engine.backup import Backup
from shardd.engine.dispatch import Dispatcher
from shardd.engine.hold import Hold
from shardd.engine.loading import Loading
from shardd.engine.memory import CLIENT_OBJECTS_BYTES, Memory
from shardd.engine.persistence import Persistence
from shardd.engine.snapshot import Snapshots
from shardd.engine.stats import Stats
from shardd.journal.stream import Stream
from shardd.keyspace import events, inspection
from shardd.keyspace.database import Keyspace
from shardd.keyspace.eviction import Evictor
from shardd.keyspace.expiry import Expirer
from shardd.keyspace.keysizes import Keysizes
from shardd.keyspace.rehash import Rehasher
from shardd.net.channels import Channels
from shardd.net.client import Client, Clients
from shardd.net.client_eviction import ClientEviction
from shardd.net.pause import Pause
from shardd.net.policy import ConnectionLimits
from shardd.net.reactor import Reactor
from shardd.structures import chunks
from shardd.wire.reply import Reply


class Server:
    """One engine.

    config, clients, mode ("standalone" or "cluster"), databases, built (names of all commands, "client|list" included)
    are what the proxy's object has too; keyspace, registry, journal, stats, dispatcher, reactor, topology, node_id and
    the rest are the engine's alone.
    """

    def __init__(self, config: Config, log: Log, node_id: str = "", rewrite_path: str | None = None) -> None:
        """node_id: 40 hex digits, which engine of the topology this is.

        rewrite_path: the file that CONFIG REWRITE rewrites, "" for none, None for the one that `config` was read from.
        """
        self.config, self.log = config, log
        self.node_id = node_id
        self.rewrite_path = rewrite_path if rewrite_path is not None else config.path
        self.run_id = secrets.token_hex(20)
        self.replication_id = secrets.token_hex(20)
        self.started = now_us() / 1e6     # unix time, seconds
        self.port = 0
        self.databases: int = config["databases"]
        self.mode = "cluster" if config["cluster-enabled"] else "standalone"
        self.clients = Clients()
        self.stats = Stats()
        self.latency = self.stats.latency
        self.limits = ConnectionLimits(config, self.clients, log, self.stats)
        chunks.use_huge_pages(not config["disable-thp"])
        self.keyspace = Keyspace(self.databases)
        self.keyspace.set_time(now_ms())
        self.expirer = Expirer(self.keyspace)
        self.journal = Stream()
        self.keyspace.sink = self.journal
        self.registry = Registry()
        self.context = Context()
        self.context.keyspace, self.context.journal, self.context.reply = self.keyspace, self.journal, Reply()
        self.channels = self.context.channels = Channels()
        self.channels.over_limit = self.limits.cut_off_subscriber
        self.event_publisher = EventPublisher(self.channels)
        self.context.server, self.context.on_error = self, self.stats.count_error
        self.context.cluster = self.mode == "cluster"
        self.dispatcher = Dispatcher(self.context, self.registry, self.stats)
        self.dispatcher.cluster = self.context.cluster
        self.dispatcher.announce = self.wrong_slot
        self.dispatcher.hold = Hold(self.dispatcher)
        self.evictor = self.dispatcher.evictor = Evictor(self.keyspace)
        self.evictor.latency = self.latency
        self.pause = Pause(self.dispatcher)
        self.client_eviction = ClientEviction(self.clients, log, self._buffered, connection.describe)
        self.reactor = Reactor()
        self.reactor.after_batch = self.dispatcher.end_of_batch
        self.evictor.reactor = self.reactor
        self.topology: Topology | None = None
        self.built: frozenset[str] = frozenset()
        self.expire_enabled = True      # DEBUG SET-ACTIVE-EXPIRE
        self.cron_paused = False        # DEBUG PAUSE-CRON
        self.longest_step_us = 0        # the cron's longest step, by the wall, and the most CPU time of one
        self.longest_step_cpu_us = 0
        self.steps_us = 0               # all of the cron's steps
        self.view = view                # for the cluster commands, which lie below the cluster package
        self.memory = Memory(self)
        self.parent: Parent | None = None       # the supervisor
        self.snapshots = Snapshots(self)
        self.aof = AppendOnly(self)
        self.persistence = Persistence(self)
        self.backup = Backup(self)
        self.on_shutdown: Callable[[bool | None, bool], bool] = lambda save, force: False
        self.save_at_stop: bool | None = None   # SHARDD STOP
        self.rehasher = Rehasher(self.keyspace)
        self.keysizes = Keysizes(self.keyspace)
        self.hz: int = config["hz"]     # what dynamic-hz makes of it
        self._outage = Outage()
        self._follow_config()

    # --- configuration ------------------------------------------------------------------------------------------

    def _follow_config(self) -> None:
        """Apply what CONFIG SET may change, now and whenever it does."""
        def follow(name: str, apply: Callable[[Any], None]) -> None:
            self.config.subscribe(name, apply)
            apply(self.config[name])

        def set_keyspace(field: str) -> Callable[[Any], None]:
            return lambda value: setattr(self.keyspace, field, value)

        follow("slowlog-log-slower-than", self.stats.set_slower_than)
        follow("slowlog-max-len", self._set_slowlog_max)
        follow("latency-monitor-threshold", self.stats.set_monitor_threshold)
        follow("cluster-slot-stats-enabled",
               lambda on: self.dispatcher.slot_stats.enable(on and self.mode == "cluster"))
        follow("latency-tracking", lambda value: setattr(self.stats, "tracking", value))
        follow("maxmemory", self._set_maxmemory)
        follow("maxmemory-policy", self._set_policy)
        follow("maxmemory-clients", self._set_maxmemory_clients)
        follow("maxmemory-samples",
               lambda value: setattr(self.evictor, "samples", min(value, limits.EVICTION_SAMPLES_MAX)))
        follow("maxmemory-eviction-tenacity", self.evictor.set_tenacity)
        follow("lazyfree-lazy-eviction", lambda value: setattr(self.evictor, "lazy", value))
        follow("lazyfree-lazy-expire", set_keyspace("lazy_expire"))
        follow("lfu-log-factor", set_keyspace("lfu_log_factor"))
        follow("lfu-decay-time", set_keyspace("lfu_decay_minutes"))
        follow("proto-max-bulk-len", self._set_bulk_max)
        follow("lazyfree-lazy-user-del", lambda value: setattr(self.context, "lazy_delete", value))
        for option, field in (("hash-max-listpack-entries", "hash_max_entries"),
                              ("hash-max-listpack-value", "hash_max_value"),
                              ("list-max-listpack-size", "list_max_size"), ("list-compress-depth", "list_depth"),
                              ("zset-max-listpack-entries", "zset_max_entries"),
                              ("zset-max-listpack-value", "zset_max_value"),
                              ("set-max-intset-entries", "set_max_intset"),
                              ("set-max-listpack-entries", "set_max_entries"),
                              ("set-max-listpack-value", "set_max_value")):
            follow(option, partial(setattr, self.context, field))
        follow("loglevel", self.log.set_level)
        follow("notify-keyspace-events", self._set_events)
        follow("client-output-buffer-limit",
               lambda classes: setattr(self.channels, "unsent_bytes_max", classes["pubsub"][0]))
        follow("cluster-allow-pubsubshard-when-down",
               lambda allowed: setattr(self.dispatcher, "channels_when_down", allowed))

    def _set_slowlog_max(self, entries: int) -> None:
        self.stats.slowlog.entries_max = entries
        self.stats.slowlog.trim()

    def _set_events(self, letters: str) -> None:
        mask = events.mask_of(letters)
        self.event_publisher.mask = mask
        self.keyspace.set_events(mask, self.event_publisher)

    def _set_policy(self, policy: str) -> None:
        self.keyspace.lfu = "lfu" in policy
        self.keyspace.set_time(now_ms())
        self.evictor.set_policy(policy)

    def _set_maxmemory_clients(self, setting: int) -> None:
        self.client_eviction.set_limit(setting)
        self.reactor.after_batch = self._after_batch if setting else self.dispatcher.end_of_batch

    def _after_batch(self) -> None:
        self.dispatcher.end_of_batch()
        self.client_eviction.check()

    def _buffered(self) -> int:
        return self.reactor.buffer_bytes + self.clients.kept_bytes + CLIENT_OBJECTS_BYTES * len(self.clients.by_id)

    def _set_maxmemory(self, size: int) -> None:
        # nothing is evicted while the data comes
        self.evictor.maxmemory = size if not self.dispatcher.loading else 0
        self.client_eviction.set_maxmemory(size)
        if self.evictor.over:
            self.log.warning(f"maxmemory is {size} now, but {self.evictor.held_bytes} bytes are in use: keys will be "
                             "evicted, or commands that may need more memory refused, as maxmemory-policy says")
            if self.evictor.on_running is not None:
                self.evictor.on_running()

    def _set_bulk_max(self, size: int) -> None:
        self.dispatcher.parser.set_bulk_max(size)
        self.context.set_bulk_max(size)

    # --- topology -----------------------------------------------------------------------------------------------

    def install_topology(self, topology: Topology) -> bool:
        """Take over a newer slot map; whether it was newer. Keys of slots that are no longer ours stay, unreachable."""
        if self.topology is not None and topology.epoch <= self.topology.epoch:
            return False
        self.topology = topology
        owned = bytearray(limits.SLOTS)
        for first, last in topology.ranges_of(self.node_id):
            owned[first:last + 1] = b"\x01" * (last + 1 - first)
        self.dispatcher.set_slots(bytes(owned))
        self.dispatcher.drop_shard_channels()
        self._outage.follow(topology, mono_ms())
        self.check_cluster()
        self.log.notice(f"Topology epoch {topology.epoch}: {sum(owned)} of {limits.SLOTS} slots are ours")
        return True

    def check_cluster(self) -> None:
        """Refuse all keys, or those of writes, while the cluster is down; cron asks: time alone can make it so."""
        config = self.config
        down = 0
        if (self.topology is not None and config["cluster-require-full-coverage"]
                and self._outage.is_failure(mono_ms(), config["cluster-node-timeout"])):
            down = 2 if config["cluster-allow-reads-when-down"] else 1
        if bool(down) != bool(self.dispatcher.down):
            self.log.warning(f"Cluster state changed: {'fail' if down else 'ok'}")
        self.dispatcher.down = down

    def wrong_slot(self, client: Client, slot: int) -> bytes:
        """The error for a slot that is not ours: where it is, or that nobody serves it."""
        owner = self.topology.owner_of(slot) if self.topology is not None else None
        if owner is None:
            return errors.CLUSTERDOWN_SLOT
        host = view.endpoint(owner, view.host_of_peer(client.transport.local),
                             self.config["cluster-preferred-endpoint-type"])
        return errors.moved(slot, host or "", owner.client_port)

    # --- what handlers ask for ----------------------------------------------------------------------------------

    @property
    def uptime_s(self) -> int:
        """Seconds since this process started."""
        return int(now_us() / 1e6 - self.started)

    @property
    def busy_us(self) -> int:
        """Microseconds that this process did something, since its start or CONFIG RESETSTAT."""
        return self.reactor.busy_us + self.steps_us

    def used_memory(self) -> int:
        """Bytes in use; also notes the peak."""
        return self.memory.parts().used

    def note_memory(self) -> bool:
        """Cron: note the peak; whether more is in use than maxmemory."""
        self.memory.parts()
        return self.evictor.over

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT: every counter of INFO starts anew; the slow log and the memory's peak stay."""
        self.stats.reset()
        self.dispatcher.slot_stats.reset()
        self.registry.reset_statistics()
        self.clients.reset_counters()
        self.reactor.reset_counters()
        self.longest_step_us = self.longest_step_cpu_us = self.steps_us = 0
        self.keyspace.hits = self.keyspace.misses = self.keyspace.expired = self.keyspace.evicted = 0
        self.keyspace.lazy_freed = self.client_eviction.evicted = 0
        self.snapshots.forks = self.snapshots.fork_us = 0
        self.persistence.reset_statistics()
        self.aof.reset_statistics()

    def keys_in_slot(self, db: int, slot: int) -> int:
        """How many keys a slot has in one database."""
        return self.keyspace.databases[db].keys_in_slot(slot)

    def slot_keys(self, db: int, slot: int, count: int) -> list[bytes]:
        """Up to `count` keys of a slot in one database."""
        return inspection.slot_keys(self.keyspace.databases[db], slot, count)

    def shutdown(self, save: bool | None = None, force: bool = False) -> bool:
        """Stop this engine, or, under a supervisor, ask for the whole tree to stop. False where that cannot be done.

        save: SAVE (True), NOSAVE (False), None: by the rules. force: also where the data cannot be saved.
        """
        return self.on_shutdown(save, force)

    def begin_loading(self, loading: Loading) -> None:
        """Data is being read: from now on clients get -LOADING."""
        self.persistence.loading = loading
        self.dispatcher.loading = True
        self._set_maxmemory(self.config["maxmemory"])

    def end_loading(self) -> None:
        """All of it is there."""
        self.keyspace.set_time(now_ms())
        self.persistence.loaded()
        self.dispatcher.loading = False
        self._set_maxmemory(self.config["maxmemory"])

    def status(self) -> dict[str, Any]:
        """What SHARDD STATUS tells the supervisor."""
        loading = self.persistence.loading
        more = {"loading": loading.status()} if loading is not None else {}
        return {"pid": os.getpid(), "epoch": self.topology.epoch if self.topology else 0, "port": self.port,
                "uptime_s": self.uptime_s, "clients": len(self.clients), "keys": self.keyspace.total_keys(),
                "used_memory_bytes": self.used_memory(), "held_bytes": self.evictor.held_bytes,
                "maxmemory_bytes": self.config["maxmemory"], "ops": round(self.stats.rates()[0]), **more}
