"""Who may connect, and who is cut off: one rule book for the engine and the proxy.

Owns: maxclients, protected-mode, timeout, client-query-buffer-limit and client-output-buffer-limit. Does not own the
sockets, or what a session does with its bytes. The limits are read from the configuration when it changes, so that a
session pays attribute reads only.
"""
import errno
import os
from typing import Any, Final

from shardd.base import errors
from shardd.base.clock import mono_ms
from shardd.base.errors import ConfigError
from shardd.base.limits import RESERVED_FDS
from shardd.base.log import Log
from shardd.base.options import Config
from shardd.base.process import open_files, room_for_clients
from shardd.net.client import Client, ClientFlag, Clients

_LOOPBACK: Final = ("127.", "[::1]")


def is_local(transport: Any) -> bool:
    """Whether the other end is on this host: it came over a Unix socket or a loopback address."""
    return transport.is_unix or transport.peer.startswith(_LOOPBACK)


def kind_of(client: Client) -> str:
    """The client's class, as CLIENT LIST TYPE and client-output-buffer-limit know it."""
    return "pubsub" if client.flags & ClientFlag.PUBSUB else "normal"


class ConnectionLimits:
    """The limits in force. `clients` is the registry they are counted in."""

    def __init__(self, config: Config, clients: Clients, log: Log, stats: Any) -> None:
        """stats: has rejected_connections, output_limit_closes (counted here)."""
        self.config, self.clients, self.log, self.stats = config, clients, log, stats
        self.query_buffer_bytes_max = 0
        self.output_limits: dict[str, tuple[int, int, int]] = {}
        self.idle_timeout_s = 0
        self.elsewhere = 0      # clients of other processes that count towards maxclients, as far as is known
        self._sent: dict[int, int] = {}     # client's id -> bytes it had taken at the last sweep, where more wait
        for name in ("client-query-buffer-limit", "client-output-buffer-limit", "timeout"):
            config.subscribe(name, self._reload)
        self._reload(None)
        self._make_room()
        config.subscribe("maxclients", self._more_clients)
        config.subscribe("requirepass", self._password_changed)

    def _reload(self, _value: object) -> None:
        config = self.config
        self.query_buffer_bytes_max = config["client-query-buffer-limit"]
        self.output_limits = config["client-output-buffer-limit"]
        self.idle_timeout_s = config["timeout"]

    def _make_room(self) -> None:
        """Enough descriptors for maxclients, or fewer clients, as in Redis. ConfigError where there is none for any."""
        wanted = self.config["maxclients"]
        before = open_files(0)
        fit = room_for_clients(wanted)
        if fit < 1:
            raise ConfigError(f"maxclients '{wanted}': Your current 'ulimit -n' of {before} is not enough for the "
                              "server to start. Please increase your open file limit to at least "
                              f"{RESERVED_FDS + 1}. Exiting.")
        if fit < wanted:
            self.config.lower("maxclients", fit)
            for text in (f"You requested maxclients of {wanted} requiring at least {wanted + RESERVED_FDS} max file "
                         "descriptors.",
                         f"Server can't set maximum open files to {wanted + RESERVED_FDS} because of OS error: "
                         f"{os.strerror(errno.EPERM)}.",
                         f"Current maximum open files is {fit + RESERVED_FDS}. maxclients has been reduced to {fit} to "
                         "compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'."):
                self.log.warning(text)
        elif (now := open_files(0)) > before:
            self.log.notice(f"Increased maximum number of open files to {now} (it was originally set to {before}).")

    def _more_clients(self, wanted: int) -> None:
        fit = room_for_clients(wanted)
        if fit < wanted:
            raise ConfigError(errors.too_many_clients(max(1, fit)))

    def _password_changed(self, password: str) -> None:
        """Who is in stays in, and without a password nobody is kept out, as in Redis."""
        if not password:
            for client in self.clients.by_id.values():
                client.authenticated = True

    def refuses(self, transport: Any) -> bool:
        """Whether a new connection may not stay; it was told why."""
        if len(self.clients) + self.elsewhere >= self.config["maxclients"]:
            reason = errors.MAX_CLIENTS
        elif self._protected(transport):
            reason = errors.PROTECTED_MODE
        else:
            return False
        self.clients.reject()
        self.stats.rejected_connections += 1
        try:
            os.write(transport.fd, b"-" + reason + b"\r\n")
        except OSError:
            pass  # it is gone already, or does not read: both are its loss
        return True

    def _protected(self, transport: Any) -> bool:
        return self.config["protected-mode"] and not self.config["requirepass"] and not is_local(transport)

    # --- what a session reports ---------------------------------------------------------------------------------

    def check_output(self, client: Client) -> None:
        """Cut off a client whose unsent replies passed the hard limit, or the soft one for too long."""
        queued = client.transport.out_len
        if client.flags & ClientFlag.INTERNAL:
            return
        hard_bytes, soft_bytes, soft_s = self.output_limits[kind_of(client)]
        if hard_bytes and queued > hard_bytes:
            self._cut_off(client, "hard", queued)
        elif soft_bytes and queued > soft_bytes:
            now = mono_ms() / 1000
            if not client.over_soft_since:
                client.over_soft_since = now
            elif now - client.over_soft_since > soft_s:
                self._cut_off(client, "soft", queued)
        else:
            client.over_soft_since = 0

    def cut_off_subscriber(self, client: Client, queued: int) -> None:
        """A message takes a subscriber over the hard limit of its class."""
        self._cut_off(client, "hard", queued)

    def _cut_off(self, client: Client, which: str, queued: int) -> None:
        self.stats.output_limit_closes += 1
        self.log.warning(f"Client id={client.id} addr={client.transport.peer} scheduled to be closed for overcoming of "
                         f"the {which} output buffer limit ({queued} bytes queued)")
        client.transport.close("client-output-buffer-limit")

    def check_queued(self, client: Client) -> None:
        """Cut off a client that has queued more than a request may be long: it counts as one request, as in Redis."""
        if client.multi_bytes > self.query_buffer_bytes_max:
            self.stats.query_limit_closes += 1
            self.log_query_buffer(client, client.multi_bytes)
            client.transport.close("client-query-buffer-limit")

    def log_query_buffer(self, client: Client, size: int) -> None:
        """A client sent a request longer than client-query-buffer-limit and is being closed."""
        self.log.warning(f"Closing client id={client.id} addr={client.transport.peer} that reached the query buffer "
                         f"limit ({size} bytes)")

    def log_browser(self, client: Client) -> None:
        """A client sent a line of HTTP: somebody may be making a browser talk to us. It is being closed."""
        self.log.warning(f"Possible SECURITY ATTACK detected: POST or Host: from {client.transport.peer}. "
                         "Connection closed.")

    def log_protocol_error(self, client: Client, text: bytes) -> None:
        """A client sent bytes that are not the protocol and is being closed."""
        self.log.verbose(f"Protocol error from client id={client.id} addr={client.transport.peer}: "
                         f"{text.decode('latin-1')}")

    # --- what time brings ---------------------------------------------------------------------------------------

    def sweep(self) -> None:
        """Cut off clients that are idle for longer than `timeout`, or over the soft limit; about once a second."""
        any_soft = any(soft for _, soft, _ in self.output_limits.values())
        if not self.idle_timeout_s and not any_soft:
            return
        now_ms = mono_ms()
        sent: dict[int, int] = {}
        for client in list(self.clients.by_id.values()):
            transport = client.transport
            if transport is None or transport.closing or client.flags & ClientFlag.INTERNAL:
                continue
            if transport.out_len and any_soft:
                self.check_output(client)
            if transport.out_len:
                # who takes in a long reply is not idle
                sent[client.id] = transport.bytes_out
                if transport.bytes_out != self._sent.get(client.id):
                    client.active_ms = now_ms
            elif transport.reading_paused or client.flags & ClientFlag.BLOCKED:
                client.active_ms = now_ms       # it waits for us: for an engine, or for the end of CLIENT PAUSE
            if client.flags & ClientFlag.PUBSUB:
                continue                        # it listens
            if self.idle_timeout_s and now_ms - client.active_ms > self.idle_timeout_s * 1000:
                self.log.verbose(f"Closing idle client id={client.id} addr={transport.peer}")
                transport.close("timeout")
        self._sent = sent
