"""Control links: RESP2 over Unix sockets between the supervisor, its children and shardctl.

Owns: the client end (supervisor to child; shardctl has a blocking one), the server end
(supervisor.sock), and this description. Does not own what the commands do, or the child's end: engines and proxies
answer in their own sessions, with the flag INTERNAL for a connection that came in over the control socket.

    <dir>/run/                       mode 0700: who can open these sockets is trusted, no AUTH is asked
      supervisor.sock                shardctl -> supervisor
      engine-<i>.sock                supervisor -> engine, and the proxies' data links
      proxy-<i>.sock                 supervisor -> proxy, and the other proxies
      engine-<i>.conf, proxy-<i>.conf   the options that the child was started with, mode 0600: passwords stay out of ps

A child learns its socket's path, its lifeline, its id and the sockets to listen on from the environment (base/child.py,
which also describes the lifeline's messages). The life of a child:

    supervisor                                         child
        | spawn, with SHARDD_CONTROL ...                 |
        |----------------------------------------------->| prctl, lifeline on the loop, listens on its control socket
        | connects, as soon as the socket answers        |
        |--- SHARDD TOPOLOGY <json> -------------------->| installs it where its epoch is newer
        |<-- +OK ----------------------------------------|
        |<== {"ready": true, "port": 40001} == lifeline =| listens on its TCP port
        |--- PING, every second ------------------------>|
        |<-- +PONG --------------------------------------|
        |--- SHARDD TOPOLOGY <json> -------------------->| after each change
        |--- SIGTERM, or the lifeline's end ------------>| clean stop

Commands on a child's control socket:

    PING                        +PONG
    SHARDD TOPOLOGY <json>      +OK; the JSON form of cluster/topology.py. An epoch that is not newer changes nothing.
    SHARDD TOPOLOGY             bulk: the JSON of what is installed, nil where nothing is
    SHARDD CONFIG <name> <text> ...
                                +OK; sets options of this process alone, as CONFIG SET does, protected ones as well.
                                Proxies get it when another proxy did a CONFIG SET (the engines had it from that proxy),
                                all when the configuration file was read again.
    SHARDD PROXY                +OK; the greeting of a proxy. What proxies ask each other: proxy/peers.py
    SHARDD DRAIN <ms>           +OK; a proxy accepts no more clients, lets those it has finish for at most so long,
                                closes those that are idle, and ends. Sent when a successor has taken its place.
    SHARDD STATUS               bulk: a JSON object; pid, epoch, port, uptime_s, clients, ops, used_memory_bytes and,
                                from an engine, keys. Fields may be added, and missing ones are shown as unknown.
    SHARDD STOP SAVE|NOSAVE     +OK; an engine shall, or shall not, write a snapshot at the SIGTERM that follows
    SHARDD METRICS              from a proxy; bulk: a JSON object of its own figures (proxy/info.py, metrics), for
                                the exporter, which asks engines for INFO

Commands on supervisor.sock:

    PING                        +PONG
    SHARDD STATUS               bulk: a JSON object (commands.py)
    SHARDD TOPOLOGY             bulk: the JSON of the topology
    SHUTDOWN [SAVE|NOSAVE]      +OK, then the tree stops; engines save, do not, or do as their save points say
    SHARDD RELOAD               stream: the configuration file is read again; what changed, and what that takes
    SHARDD RESTART <what> [LOSE-DATA]
                                stream: engines, proxies, all, engine <n> or proxy <n>, one after the other (rolling.py)
    SHARDD BACKUP <directory>   stream: a backup of all engines at one instant; "n% ..." is progress (backup.py)
    SHARDD RESTORE <directory> [REPLACE]
                                stream: a backup becomes the data; REPLACE where there are keys (restore.py)
    SHARDD LOGS [<who>] [COUNT <n>] [FOLLOW]
                                stream: the latest lines of engine <n>, proxy <n>, supervisor or all (default),
                                and, with FOLLOW, all that come until the caller closes the connection

A stream is any number of bulk strings, one sentence or line each, as they come, and then one simple string (+OK) or one
error. Who closes the connection meanwhile hears no more; a restart or reload goes on all the same.

Invariants: replies come in the order of the requests; a request that timed out keeps its place in that order. Requests
in flight are bounded by their callers: one PING, one TOPOLOGY and one STATUS at a time.
"""

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from shardd.base import limits
from shardd.base.errors import CommandError, unknown_command
from shardd.net.listen import unix_socket
from shardd.wire.plain import Decoder, ProtocolError, encode_command, encode_reply
from shardd.wire.values import OK

_READ_BYTES = 64 * limits.KIB


class LinkError(Exception):
    """The other end is not there, does not answer in time, or does not speak RESP2."""


class Link:
    """The client end of a control link. Requests may overlap; replies are matched in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._decoder = Decoder()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._error: str | None = None
        self._task = asyncio.ensure_future(self._read())

    @classmethod
    async def open(cls, path: str | os.PathLike[str]) -> "Link":
        """Connects to the Unix socket at `path`. Raises LinkError."""
        try:
            return cls(*await asyncio.open_unix_connection(os.fspath(path)))
        except OSError as error:
            raise LinkError(f"cannot connect to {path}: {error.strerror or error}") from None

    @property
    def closed(self) -> bool:
        return self._error is not None

    @property
    def peer_pid(self) -> int:
        """The process that listens at the other end."""
        sock = self._writer.get_extra_info("socket")
        pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        return int(pid)

    async def call(self, *words: str | bytes | int, timeout_ms: int = limits.CONTROL_REPLY_MS) -> Any:
        """One command's reply. Raises CommandError where it is an error, LinkError where there is none in time."""
        if self._error is not None:
            raise LinkError(self._error)
        if self._writer.is_closing():   # reset, and our reader has not been woken to hear of it
            raise LinkError("the other end closed the link")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._writer.write(encode_command(*words))
        try:
            value = await asyncio.wait_for(future, timeout_ms / 1000)
        except asyncio.TimeoutError:
            # the cancelled future keeps its place in line, so that a late answer goes to nobody
            raise LinkError(f"no answer within {timeout_ms} ms") from None
        if isinstance(value, CommandError):
            raise value
        return value

    def close(self, reason: str = "closed") -> None:
        """Ends the link at once; every waiting call gets a LinkError with `reason`."""
        if self._error is not None:
            return
        self._error = reason
        self._task.cancel()
        self._writer.transport.abort()
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(LinkError(reason))

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(_READ_BYTES):
                for value in self._decoder.feed(data):
                    if not self._waiting:
                        raise ProtocolError("a reply that nobody asked for")
                    future = self._waiting.popleft()
                    if not future.done():
                        future.set_result(value)
            reason = "the other end closed the link"
        except (OSError, ProtocolError) as error:
            reason = str(error)
        self.close(reason)


Handler = Callable[[list[bytes]], Awaitable[Any]]
"""A request's words -> the reply's value (wire.plain.encode_reply), or an async iterator for a stream, whose items are
its bulk strings. Raises CommandError, as the iterator may."""


class Server:
    """The server end: one handler behind a Unix socket of mode 0600."""

    def __init__(self, path: str | os.PathLike[str], handler: Handler) -> None:
        self.path = os.fspath(path)
        self._handler = handler
        self._server: asyncio.AbstractServer | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Listens; takes the place of a socket that a dead process left. Raises ConfigError or OSError."""
        sock = unix_socket(self.path, 0o600, limits.LISTEN_BACKLOG)
        self._server = await asyncio.start_unix_server(self._serve, sock=sock)

    async def stop(self) -> None:
        """Closes the listener, its connections and the socket's file."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for writer in list(self._writers):
            writer.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        decoder = Decoder()
        early = bytearray()     # what came while a stream was under way
        try:
            while data := bytes(early) or await reader.read(_READ_BYTES):
                early.clear()
                for request in decoder.feed(data):
                    value = await self._answer(request)
                    if isinstance(value, AsyncIterator):
                        value = await self._stream(value, reader, writer, early)
                    _reply(writer, value)
                await writer.drain()
        except ProtocolError as error:
            with contextlib.suppress(OSError):
                _reply(writer, CommandError(f"ERR Protocol error: {error}".encode()))
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _stream(self, items: AsyncIterator[bytes | str], reader: asyncio.StreamReader,
                      writer: asyncio.StreamWriter, early: bytearray) -> Any:
        """Sends the items of a stream; returns what ends it. Raises OSError where the caller is gone.

        early: gets what the caller sends meanwhile.
        """
        pump = asyncio.ensure_future(self._pump(items, writer))
        gone = asyncio.ensure_future(_gone(reader, early))
        try:
            await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
            if not pump.done():
                raise ConnectionResetError
            return pump.result()
        finally:
            for task in (pump, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):
                    await task

    @staticmethod
    async def _pump(items: AsyncIterator[bytes | str], writer: asyncio.StreamWriter) -> Any:
        try:
            async for item in items:
                _reply(writer, item)
                await writer.drain()
            return OK
        except CommandError as error:
            return error
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    async def _answer(self, request: Any) -> Any:
        if not isinstance(request, list) or not request or not all(isinstance(word, bytes) for word in request):
            raise ProtocolError("a request is an array of bulk strings")
        try:
            return await self._handler(request)
        except CommandError as error:
            return error


def _reply(writer: asyncio.StreamWriter, value: Any) -> None:
    """Raises ConnectionResetError where the caller is gone: writing to its closed transport is a RuntimeError."""
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(encode_reply(value))


async def _gone(reader: asyncio.StreamReader, early: bytearray) -> None:
    """Returns when the caller of a stream has closed the connection, or sends without end."""
    while (data := await reader.read(_READ_BYTES)) and len(early) < limits.CONTROL_MESSAGE_BYTES_MAX:
        early += data


def reject(words: list[bytes]) -> CommandError:
    """The error for a command that a control socket does not have."""
    return CommandError(unknown_command(words[0], words[1:]))


def json_bulk(value: Any) -> bytes:
    """A JSON reply."""
    return json.dumps(value, separators=(",", ":")).encode()
