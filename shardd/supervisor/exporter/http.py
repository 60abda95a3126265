"""A small HTTP/1.1 server for pages that are read by GET: one request per connection.

Owns: sockets, the request line, time-outs and bounds. Does not own what is on the pages: a function from path and query
to a Page. Headers are read past: nothing here depends on them. Whoever is slow, sends too much or opens too many
connections (limits.METRICS_*) is closed; nothing here can hold up the event loop.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from shardd.base import limits
from shardd.net.listen import tcp_sockets

_METHODS = ("GET", "HEAD")


class Page(NamedTuple):
    """An answer. body: UTF-8 where it is text."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


def error_page(status: HTTPStatus, reason: str = "") -> Page:
    """A line of text."""
    return Page(f"{status.value} {reason or status.phrase}\n".encode(), status=status)


Handler = Callable[[str, dict[str, list[str]]], Awaitable[Page]]
"""(path, query) -> page."""


class HttpServer:
    """Serves `handler` on TCP sockets."""

    def __init__(self, handler: Handler, on_error: Callable[[str], None]) -> None:
        """on_error(text): a handler raised."""
        self._handler, self._on_error = handler, on_error
        self._servers: list[asyncio.AbstractServer] = []
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, bind: Sequence[str], port: int) -> list[str]:
        """Listens; returns where, for the log. Raises ConfigError."""
        listening = []
        for sock in tcp_sockets(bind, port, limits.METRICS_CONNECTIONS_MAX, options="metrics-bind and metrics-port"):
            listening.append(_shown(sock))
            self._servers.append(await asyncio.start_server(
                self._connected, sock=sock, limit=limits.METRICS_REQUEST_BYTES_MAX))
        return listening

    async def stop(self) -> None:
        """Closes listeners and connections."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for task in self._connections:
            task.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= limits.METRICS_CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await asyncio.wait_for(self._serve(reader, writer), limits.METRICS_CONNECTION_MS / 1000)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            method, page = "GET", error_page(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        else:
            method, page = await self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"))
        if writer.is_closing():     # whoever asked is gone: to write now would be a RuntimeError
            return
        lines = (f"HTTP/1.1 {page.status.value} {page.status.phrase}", f"Content-Type: {page.content_type}",
                 f"Content-Length: {len(page.body)}", "Connection: close")
        writer.write("\r\n".join((*lines, "", "")).encode() + (b"" if method == "HEAD" else page.body))
        await writer.drain()

    async def _answer(self, line: str) -> tuple[str, Page]:
        """The method and what to answer to a request line."""
        method, _, rest = line.partition(" ")
        target, _, version = rest.rpartition(" ")
        if not target or not version.startswith("HTTP/1."):
            return "GET", error_page(HTTPStatus.BAD_REQUEST)
        if method not in _METHODS:
            return "GET", error_page(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
        try:
            url = urlsplit(target)
            query = parse_qs(url.query, max_num_fields=limits.METRICS_QUERY_FIELDS_MAX)
        except ValueError:
            return method, error_page(HTTPStatus.BAD_REQUEST)
        try:
            return method, await self._handler(url.path, query)
        except Exception as error:      # a page that cannot be made must not end the supervisor
            self._on_error(f"The page {url.path} cannot be made: {type(error).__name__}: {error}")
            return method, error_page(HTTPStatus.INTERNAL_SERVER_ERROR)


def _shown(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
