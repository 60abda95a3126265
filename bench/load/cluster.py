"""Which engine owns which slot, as CLUSTER SLOTS tells it.

Owns: reading the reply. Does not own when it is asked (worker). CLUSTER SLOTS, not CLUSTER SHARDS: every server that
has a cluster mode answers it in the same form.
"""
from dataclasses import dataclass
from typing import Any

from bench.load.control import Address, Control, LoadError, Login, log_in
from shardd.base.errors import CommandError
from shardd.structures.slots import SLOTS


@dataclass(frozen=True)
class SlotMap:
    """nodes: addresses of those who own slots, in order of their first slot. owners: slot -> index into them, or -1."""

    nodes: list[Address]
    owners: list[int]


def parse(reply: Any, asked: Address) -> SlotMap:
    """CLUSTER SLOTS' reply: [[first, last, [host, port, id, ...], replica ...], ...]. A node without a host is where
    it was asked. Raises LoadError where this is something else or nobody owns anything."""
    nodes: list[Address] = []
    owners = [-1] * SLOTS
    try:
        for first, last, primary, *_ in sorted(reply):
            host = (primary[0] or b"").decode() if primary[0] not in (b"?", None) else ""
            node = Address(host or asked.host, int(primary[1]))
            if node not in nodes:
                nodes.append(node)
            for slot in range(first, last + 1):
                owners[slot] = nodes.index(node)
    except (TypeError, ValueError, IndexError, AttributeError):
        raise LoadError(f"{asked} answered CLUSTER SLOTS by something else") from None
    if not nodes:
        raise LoadError(f"{asked} is in a cluster in which nobody owns a slot")
    return SlotMap(nodes, owners)


def learn(address: Address, login: Login, timeout_s: float) -> SlotMap:
    """Ask one server. Raises LoadError."""
    try:
        control = Control(address, timeout_s)
        try:
            log_in(control, Login(login.user, login.password))
            return parse(control.call("CLUSTER", "SLOTS"), address)
        finally:
            control.close()
    except CommandError as error:
        raise LoadError(f"{address} is no cluster: {error.text.decode('utf-8', 'replace')}") from None
    except OSError as error:
        raise LoadError(f"no connection to {address}: {error}") from None
