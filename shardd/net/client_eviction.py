"""maxmemory-clients: where the clients of a process take more memory than that together, those that take most go.

As in Redis 7: clients are put into buckets by what they take, a power of two each, and are disconnected from the
fullest bucket down until the others fit. Who has said CLIENT NO-EVICT does not count and stays, and so do connections
within the tree. A percentage is one of maxmemory, and no limit while that is 0.

    <= 64 KiB | <= 128 KiB | ... | > 4 GiB          19 buckets

What is asked after each batch of events is only whether all buffers of the process, and all that its sessions keep, are
below the limit, a sum that is kept anyway; clients are looked at one by one where it is not.

Owns: the limit, who goes, how many did. Does not own the buffers (net.transport), or what bounds a single client
(net.policy).
"""
import sys
from collections.abc import Callable
from typing import Any, Final

from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.log import Log
from shardd.net.client import Client, ClientFlag, Clients

_BUCKET_FIRST_BITS: Final = 16
_BUCKETS: Final = 19


def client_bytes(client: Any) -> int:
    """What one client takes: its buffers, what is kept for it (a transaction's commands), its objects (tot-mem)."""
    transport = client.transport
    buffers = transport.in_cap + transport.out_cap if transport is not None else 0
    kept = max(client.kept_bytes, client.multi_bytes) + getattr(client, "held_bytes", 0)
    return buffers + kept + sys.getsizeof(client) + sys.getsizeof(transport)


def _bucket(size: int) -> int:
    return min(max(0, size.bit_length() - _BUCKET_FIRST_BITS), _BUCKETS - 1)


class ClientEviction:
    """The clients of one process, and how much they may take together."""

    def __init__(self, clients: Clients, log: Log, buffered: Callable[[], int], describe: Callable[[Any], str]) -> None:
        """buffered: bytes of all buffers of the process that clients have a part in, and of what is kept for them;
        describe: a client's line in CLIENT LIST, for the log."""
        self._clients, self._log, self._buffered, self._describe = clients, log, buffered, describe
        self._setting = 0
        self._maxmemory = 0
        self._quiet_bytes = 0       # up to here the last look has found that it is not the clients' doing,
        self._quiet_until_ms = 0    # for so long
        self.limit_bytes = 0        # in force; 0: none
        self.evicted = 0

    def set_limit(self, setting: int) -> None:
        """maxmemory-clients: bytes, or a percentage as a negative number."""
        self._setting = setting
        self._settle()

    def set_maxmemory(self, size: int) -> None:
        """maxmemory, of which a percentage is one."""
        self._maxmemory = size
        self._settle()

    def _settle(self) -> None:
        size = self._setting if self._setting >= 0 else -self._setting * self._maxmemory // 100
        # too little to talk to the server at all is nobody's wish
        self.limit_bytes = max(size, limits.CLIENTS_BYTES_MIN) if size else 0
        self._quiet_until_ms = 0

    def check(self) -> None:
        """Disconnect clients until the others fit; at most limits.CLIENTS_EVICTED_AT_ONCE, the rest next time."""
        if not self.limit_bytes:
            return
        buffered = self._buffered()
        if buffered <= self.limit_bytes or (buffered <= self._quiet_bytes and mono_ms() < self._quiet_until_ms):
            return
        buckets: list[list[tuple[int, Client]]] = [[] for _ in range(_BUCKETS)]
        total = 0
        for client in self._clients.by_id.values():
            if client.flags & (ClientFlag.NO_EVICT | ClientFlag.INTERNAL) or client.transport is None \
                    or client.transport.closing:
                continue
            size = client_bytes(client)
            total += size
            buckets[_bucket(size)].append((size, client))
        left = limits.CLIENTS_EVICTED_AT_ONCE
        for bucket in reversed(buckets):
            for size, client in bucket:
                if total <= self.limit_bytes or not left:
                    break
                self._log.notice(f"Evicting client: {self._describe(client)}")
                client.transport.close("maxmemory-clients")
                self.evicted += 1
                total -= size
                left -= 1
        self._quiet_bytes = buffered + self.limit_bytes // 16 if left else 0
        self._quiet_until_ms = mono_ms() + limits.CLIENTS_LOOK_MS
