"""Keys, written over plain sockets: key:000000000000 and on, each once, all with values of one size.

The load generators of others pick keys at random; to measure memory, or a pause, every key has to come exactly once.
The names are those that valkey-benchmark and redis-benchmark ask for with -r, so that is what they find.

A round sends one pipeline on each connection, then reads all replies: a server always has work from every connection.
"""
import socket
import time
from collections.abc import Iterator, Sequence

from bench.servers import BenchError

KEY_BYTES = 16
_OK = b"+OK\r\n"


def template(value_bytes: int, expire_at_ms: int | None = None, value: bytes | None = None) -> bytes:
    """One SET with a %012d for the key's number. expire_at_ms: unix time, or None for keys that stay. value: without
    a "%"; None: so many bytes that are all the same."""
    if value is None:
        value = b"x" * value_bytes
    words = [b"SET", b"key:%012d", value]
    if expire_at_ms is not None:
        words += [b"PXAT", b"%d" % expire_at_ms]
    lengths = [KEY_BYTES if word.startswith(b"key:") else len(word) for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % pair for pair in zip(lengths, words))


def pipelines(keys: int, pipeline: int, *commands: bytes) -> Iterator[tuple[bytes, int]]:
    """The requests for keys 0 to keys - 1, up to `pipeline` commands each, and how many are in each. `commands` take
    turns within a request."""
    turns = [commands[i % len(commands)] for i in range(pipeline)]
    whole = b"".join(turns)
    for start in range(0, keys - keys % pipeline, pipeline):
        yield whole % tuple(range(start, start + pipeline)), pipeline
    if keys % pipeline:
        yield b"".join(turns[:keys % pipeline]) % tuple(range(keys - keys % pipeline, keys)), keys % pipeline


def fill(port: int, keys: int, value_bytes: int, *, pipeline: int = 64, clients: int = 50,
         expire_at_ms: int | None = None, commands: Sequence[bytes] = ()) -> float:
    """Write the keys; returns the seconds it took. Raises BenchError where a reply is not OK, or OSError.

    commands: templates that take turns, instead of one for values of `value_bytes` that expire at `expire_at_ms`.
    """
    socks = []
    start_s = time.monotonic()
    try:
        for _ in range(clients):
            socks.append(socket.create_connection(("127.0.0.1", port), 60))
        requests = pipelines(keys, pipeline, *(commands or [template(value_bytes, expire_at_ms)]))
        more = True
        while more:
            sent = []
            for sock in socks:
                request, count = next(requests, (b"", 0))
                if not count:
                    more = False
                    break
                sock.sendall(request)
                sent.append((sock, count))
            for sock, count in sent:
                _expect(sock, count)
    finally:
        for sock in socks:
            sock.close()
    return time.monotonic() - start_s


def _expect(sock: socket.socket, count: int) -> None:
    """Read `count` times OK."""
    replies = b""
    expected = _OK * count
    while len(replies) < len(expected):
        data = sock.recv(len(expected) - len(replies))
        if not data:
            raise BenchError("the server closed the connection while it was filled")
        replies += data
        if not expected.startswith(replies):
            wrong = next((line for line in replies.split(b"\r\n") if not b"+OK".startswith(line)), replies[:80])
            raise BenchError(f"the server refused a key: {wrong.decode('utf-8', 'replace')}")
