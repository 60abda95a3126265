"""The end of a proxy whose successor serves: its clients finish, and nobody loses a reply.

Owns: which client is disconnected when. Does not own the listeners, which main has closed by then, or the connections.

    SHARDD DRAIN ms                                      ms over
        |  clients go on as before                          |  nobody is read from any more
        |  who was silent for limits.DRAIN_IDLE_MS          |  who has all replies is disconnected,
        |  is disconnected                                  |  the others when they have theirs
        '---------------------------------------------------'------------------------> no clients: the process ends

Who is silent is disconnected only when nothing of it is under way: no command in flight, no reply unsent, no piece of a
request here, and nothing in the kernel's buffer, which is asked at the last moment. What a client sends later than that
is not executed, and it sees the connection closed: clients connect again then, and reach the successor.

A client that goes on sending must not lose the replies that are still on their way to it: closing a socket with input
unread, or that gets more, resets the connection and throws them away. So its socket is only shut for writing, and what
comes is dropped, until the client has closed its end or limits.DRAIN_LINGER_MS are over.

Invariant: after ms no command is taken, so the drain ends with the last reply.
"""
import contextlib
import os
import select
import socket
from typing import Any

from shardd.base import limits
from shardd.base.clock import mono_ms


_READ_BYTES = 64 * limits.KIB


class Drain:
    """One drain. server: the ProxyServer; grace_ms: how long busy clients may go on."""

    def __init__(self, server: Any, grace_ms: int) -> None:
        self._clients = server.clients
        self._due_ms = mono_ms() + grace_ms
        self._goodbyes: dict[int, _Goodbye] = {}
        """By the client's id."""

    def step(self) -> bool:
        """Disconnect whom it is time for; whether all are gone. Called by cron."""
        now_ms = mono_ms()
        over = now_ms >= self._due_ms
        clients = list(self._clients.by_id.values())
        silent = [client for client in clients if _is_quiet(client)
                  and now_ms - client.transport.active_ms >= limits.DRAIN_IDLE_MS]
        sending = _with_input([client.transport.fd for client in silent])
        for client in clients if over else silent:
            if client.transport.fd not in sending and client.id not in self._goodbyes and not client.transport.closing:
                with contextlib.suppress(OSError):      # without a descriptor for it, it is closed as ever
                    self._goodbyes[client.id] = _Goodbye(client.transport)
                client.finish()
        for number, goodbye in list(self._goodbyes.items()):
            if goodbye.is_over(now_ms):
                del self._goodbyes[number]
        return not clients and not self._goodbyes


class _Goodbye:
    """A second descriptor of a client's socket, which keeps it from being reset when the transport closes its own."""

    def __init__(self, transport: Any) -> None:
        """Raises OSError where there is no descriptor left."""
        self._transport = transport
        self._sock = socket.socket(fileno=os.dup(transport.fd))
        self._due_ms = 0

    def is_over(self, now_ms: int) -> bool:
        """Whether the client has gone, or had its time; what it sends is dropped. Closes the descriptor then."""
        if self._transport.fd >= 0:
            return False        # replies are still due
        if not self._due_ms:
            self._due_ms = now_ms + limits.DRAIN_LINGER_MS
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        try:
            while self._sock.recv(_READ_BYTES, socket.MSG_DONTWAIT) and now_ms < self._due_ms:
                pass
        except (BlockingIOError, InterruptedError):
            if now_ms < self._due_ms:
                return False
        except OSError:
            pass
        self._sock.close()
        return True


def _is_quiet(client: Any) -> bool:
    """Whether nothing of the client is under way in this process."""
    transport = client.transport
    return (not transport.closing and client.in_flight == 0 and client.held_bytes == 0 and transport.out_len == 0
            and transport.in_len == 0)


def _with_input(fds: list[int]) -> set[int]:
    """Those of the descriptors that have something to read."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(0)} if fds else set()
