"""Clients that are slow, half-open, huge, many or gone: what they cost, and that the others do not notice."""

import contextlib
import hashlib
import random
import resource
import socket
import struct
import threading
import time

import psutil
import pytest

from harness import OK, Closed, Conn, Error, Status, build, encode

PONG = Status("PONG")
MB = 1024 * 1024

pytestmark = pytest.mark.not_on("cluster", reason="its engines are those behind the proxy")


def eventually(condition, timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def info(r, name: str) -> int:
    return int(r("INFO").partition(f"\r\n{name}:".encode())[2].split(b"\r\n")[0])


# --- slow readers -----------------------------------------------------------------------------------------------------

def flood(conn: Conn, key: str, times: int) -> None:
    """Asks for `key` many times and reads nothing; returns when all is sent or the server has had enough."""
    with contextlib.suppress(Closed, OSError):
        conn.send(encode("GET", key) * times)


def drain(conn: Conn) -> int:
    """How many bytes still come before the server closes."""
    return len(conn.rest())


def test_a_slow_reader_gets_everything_in_the_end(r):
    value = random.Random(1).randbytes(100_000)
    r.must("SET", "big", value)
    conn = r.conn(rcvbuf_bytes=8192)
    conn.send(encode("GET", "big") * 200 + encode("PING"))
    assert r("PING") == PONG
    for _ in range(200):
        assert conn.read() == value
    assert conn.read() == PONG


def test_the_hard_output_limit_closes(r):
    r.must("SET", "big", b"x" * 100_000)
    with r.config(client_output_buffer_limit="normal 2097152 0 0"):
        conn = r.conn(rcvbuf_bytes=8192)
        number = conn("CLIENT ID")
        flood(conn, "big", 1000)
        assert eventually(lambda: r(f"CLIENT LIST ID {number}") == b"")
        assert drain(conn) < 50 * MB, "a hundred megabytes were asked for"
        assert r("GET big") == b"x" * 100_000, "others go on"
        ok = r.conn()
        assert ok.many(*["GET big"] * 10) == [b"x" * 100_000] * 10, "who reads may have more than the limit over time"


def test_the_soft_output_limit_closes_after_its_seconds(r):
    r.must("SET", "big", b"x" * 100_000)
    with r.config(client_output_buffer_limit="normal 0 1048576 1"):
        conn = r.conn(rcvbuf_bytes=8192)
        number = conn("CLIENT ID")
        flood(conn, "big", 200)
        assert eventually(lambda: r(f"CLIENT LIST ID {number}") == b"")
        assert drain(conn) < 20 * MB


def test_output_that_waits_is_given_back(r):
    r.must("SET", "big", b"x" * 100_000)
    before = info(r, "used_memory")     # an engine has a megabyte of slots for each database that was in use
    conns = [r.conn(rcvbuf_bytes=8192) for _ in range(5)]
    for conn in conns:
        flood(conn, "big", 40)
    for conn in conns:
        conn.close()
    assert eventually(lambda: info(r, "connected_clients") <= 3), r("CLIENT LIST")
    assert eventually(lambda: info(r, "used_memory") < before + 8 * MB), (info(r, "used_memory"), r("MEMORY STATS"))


# --- huge requests ----------------------------------------------------------------------------------------------------

def send_in_pieces(conn: Conn, data: bytes, rng: random.Random, pieces: int) -> None:
    cuts = sorted(rng.randrange(len(data)) | 1 for _ in range(pieces))
    view = memoryview(data)
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if end > start:
            conn.sock.sendall(view[start:end])


@pytest.mark.parametrize("size, pieces", [(MB + 1, 500), (10 * MB + 7, 1000), (100 * MB + 3, 200)],
                         ids=["1MB", "10MB", "100MB"])
def test_huge_values_cut_at_odd_bytes(r, size, pieces):
    rng = random.Random(size)
    value = rng.randbytes(min(size, 3 * MB + 1)) * (size // (3 * MB + 1) + 1)
    value = value[:size]
    conn = r.conn(timeout_s=60)
    send_in_pieces(conn, encode("SET", "huge", value) + encode("STRLEN", "huge"), rng, pieces)
    assert conn.read() == OK
    assert conn.read() == size
    got = conn("GET huge")
    assert hashlib.sha1(got).digest() == hashlib.sha1(value).digest()
    assert conn("GETRANGE", "huge", size - 5, size + 5) == value[-5:]
    assert r("DEL huge") == 1
    assert eventually(lambda: info(r, "used_memory") < 90 * MB or size > 90 * MB and info(r, "used_memory") < 40 * MB)


def test_others_are_served_while_a_huge_value_arrives(r):
    conn = r.conn(timeout_s=60)
    data = encode("SET", "huge", b"v" * (20 * MB))
    for start in range(0, len(data), MB):
        assert r("PING") == PONG
        assert r("GET huge") is None
        conn.send(data[start:start + MB])
    assert conn.read() == OK
    assert r("STRLEN huge") == 20 * MB


def test_huge_requests_that_never_end_are_forgotten(r):
    base = info(r, "used_memory")
    conns = [r.conn() for _ in range(4)]
    for conn in conns:
        conn.send(b"*3\r\n$3\r\nSET\r\n$4\r\nhuge\r\n$30000000\r\n" + b"v" * (5 * MB))
    assert r("PING") == PONG
    for conn in conns:
        conn.close()
    assert eventually(lambda: info(r, "used_memory") < base + 8 * MB)
    assert r("EXISTS huge") == 0


def test_the_query_buffer_limit_closes(r):
    with r.config(client_query_buffer_limit=1 * MB):
        conn = r.conn()
        with contextlib.suppress(Closed, OSError):
            conn.send(encode("ECHO", b"x" * (4 * MB)) + encode("PING"))
        assert conn.rest() == b""
        assert r.conn()("ECHO", b"x" * 500_000) == b"x" * 500_000


@pytest.mark.not_on("oracle", reason="Redis 7.0 does not count arguments that are whole")
def test_the_query_buffer_limit_counts_small_arguments(r):
    with r.config(client_query_buffer_limit=1 * MB):
        conn = r.conn()
        with contextlib.suppress(Closed, OSError):
            conn.send(b"*100000\r\n" + b"$100\r\n%b\r\n" % (b"y" * 100) * 60_000)
        assert conn.rest() == b""


def test_a_bulk_longer_than_the_limit_is_a_protocol_error(r):
    with r.config(proto_max_bulk_len=2 * MB):
        conn = r.conn()
        assert conn.raw(b"*2\r\n$4\r\nECHO\r\n$2097153\r\n") == Error("ERR Protocol error: invalid bulk length")
        assert conn.closed()
        assert r.conn()("ECHO", b"x" * 2 * MB) == b"x" * 2 * MB


# --- many clients -----------------------------------------------------------------------------------------------------

@pytest.fixture
def many_files():
    """Room for thousands of sockets in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_connections(r, many_files):
    count = 3000
    conns = [r.conn() for _ in range(count)]
    for conn in conns:
        conn.send(encode("PING"))
    assert all(conn.read() == PONG for conn in conns)
    assert info(r, "connected_clients") >= count
    for number, conn in enumerate(conns):
        conn.send(encode("SET", f"k{number}", number) + encode("GET", f"k{number}"))
    for number, conn in enumerate(conns):
        assert conn.read() == OK
        assert conn.read() == str(number).encode()
    assert len(r("CLIENT LIST").splitlines()) >= count
    for conn in conns:
        conn.close()
    assert eventually(lambda: info(r, "connected_clients") < 20)
    assert r("DBSIZE") == count


def test_connections_that_come_and_go_at_once(r):
    errors = []

    def visit(number: int) -> None:
        try:
            for turn in range(40):
                with Conn(r.server.port) as conn:
                    if turn % 3:
                        assert conn("ECHO", f"{number}.{turn}") == f"{number}.{turn}".encode()
                    else:
                        conn.send(b"*2\r\n$4\r\nECHO\r\n$100\r\nabc")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=visit, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert eventually(lambda: info(r, "connected_clients") <= 5)


@pytest.mark.parametrize("kind", ["oracle", "engine", "tree"])
def test_maxclients(start, kind):
    server = start(kind, ready=False, maxclients=5)
    assert eventually(lambda: answers(server))
    conns = []
    refused = None
    for _ in range(8):
        conn = server.conn()
        conn.send(encode("PING"))
        try:
            reply = conn.read()
        except Closed:
            reply = Error("closed")
        if reply != PONG:
            refused = (reply, conn)
            break
        conns.append(conn)
    assert len(conns) in (4, 5), "five, less one that may not be gone yet"
    assert refused and refused[0] == Error("ERR max number of clients reached")
    assert refused[1].closed()
    assert conns[0]("SET k v") == OK
    assert info(conns[0], "rejected_connections") >= 1
    conns.pop().close()
    assert eventually(lambda: answers(server)), "there is room again"


def answers(server) -> bool:
    try:
        with server.conn() as conn:
            return isinstance(conn("DBSIZE"), int)
    except (OSError, Closed):
        return False


def test_the_idle_timeout(r):
    busy = r.conn()
    with r.config(timeout=1):
        idle = r.conn()
        assert idle("PING") == PONG
        start = time.monotonic()
        while time.monotonic() < start + 3:
            assert busy("PING") == PONG
            time.sleep(0.05)
        assert idle.closed()
        assert busy("PING") == PONG


# --- half-open and gone -----------------------------------------------------------------------------------------------

def test_half_closed_clients_get_their_replies(r):
    r.must("SET k v")
    conn = r.conn()
    conn.send(encode("PING") + encode("GET", "k") * 50 + encode("ECHO", "end"))
    conn.half_close()
    assert [conn.read() for _ in range(52)] == [PONG, *[b"v"] * 50, b"end"]
    assert conn.closed()


def test_a_cut_request_at_the_end_is_not_executed(r):
    conn = r.conn()
    conn.send(encode("SET", "whole", "v") + encode("SET", "cut", "vvvv")[:-3])
    conn.half_close()
    assert conn.read() == OK
    assert conn.closed()
    assert r("EXISTS cut") == 0
    assert r("GET whole") == b"v"


def reset(conn: Conn) -> None:
    """Ends a connection with RST."""
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def test_clients_that_vanish(r):
    r.must("SET", "big", b"x" * 1_000_000)
    for how in range(60):
        conn = r.conn(rcvbuf_bytes=8192)
        with contextlib.suppress(Closed, OSError):
            conn.send([encode("GET", "big") * 20, b"*3\r\n$3\r\nSET\r\n$1\r\nk", encode("SET", "k", "v") * 500,
                       encode("MGET", "big", "a", "b") * 3, b"", encode("QUIT") + encode("GET", "big")][how % 6])
        reset(conn)
    assert r("PING") == PONG
    assert r("STRLEN big") == 1_000_000
    assert eventually(lambda: info(r, "connected_clients") <= 5)


def test_replies_never_cross(r):
    """Many clients with pipelines of their own, some of which break off midway: each sees its own replies, in order."""
    errors = []

    def live(number: int) -> None:
        rng = random.Random(number)
        model: dict[str, bytes] = {}
        try:
            for _ in range(12):
                with Conn(r.server.port) as conn:
                    script = [step(rng, number, model) for _ in range(rng.randrange(1, 120))]
                    conn.send(b"".join(encode(*command) for command, _ in script))
                    if rng.random() < 0.25:
                        reset(conn)  # the writes may or may not have happened
                        model.clear()
                        number += 1000
                        continue
                    for command, expected in script:
                        reply = conn.read()
                        assert reply == expected, (command, expected, reply)
        except Exception as error:
            errors.append(error)

    def step(rng: random.Random, number: int, model: dict[str, bytes]) -> tuple[tuple, object]:
        keys = [f"{number}:{rng.randrange(8)}" for _ in range(rng.randrange(1, 5))]
        key, value = keys[0], f"{number}-{rng.randrange(10**6)}".encode() * rng.choice([1, 1, 1, 300])
        kind = rng.randrange(7)
        if kind == 0:
            model[key] = value
            return ("SET", key, value), OK
        if kind == 1:
            return ("GET", key), model.get(key)
        if kind == 2:
            return ("MGET", *keys), [model.get(one) for one in keys]
        if kind == 3:
            model.update(dict.fromkeys(keys, value))
            return ("MSET", *[word for one in keys for word in (one, value)]), OK
        if kind == 4:
            return ("DEL", *keys), sum(model.pop(one, None) is not None for one in keys)
        if kind == 5:
            return ("ECHO", value), value
        return ("NOSUCH", number), Error(f"ERR unknown command 'NOSUCH', with args beginning with: '{number}' ")

    threads = [threading.Thread(target=live, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors[0]


def test_a_deep_pipeline_that_is_read_late(r):
    conn = r.conn()
    count = 60_000
    sender = threading.Thread(target=conn.send, args=(b"".join(encode("ECHO", n) for n in range(count)),))
    sender.start()
    time.sleep(0.2)
    assert r("PING") == PONG
    for n in range(count):
        assert conn.read() == str(n).encode()
    sender.join()


ERRORS = ("SCAN abc", "SCAN 0 BOGUS 1", "SCAN 0 COUNT x", "SWAPDB 0 99", "SWAPDB a b", "SELECT 99", "HELLO x",
          "RENAME {t}x {t}y",
          "MOVE k 99", "KEYS", "CONFIG SET nosuch 1", "CONFIG SET timeout x", "DEBUG BOGUS", "CLIENT KILL ID 0", "MGET",
          "OBJECT BOGUS x", "CLUSTER BOGUS", "AUTH x", "NOSUCH", "MSETNX a 1 b", "COMMAND GETKEYS x", "SLOWLOG GET x",
          "EXPIRE k x", "SET k v EX 0", "INCR {t}text", "MEMORY USAGE k SAMPLES x", "FLUSHALL x", "LCS {t}x {t}y z")


@pytest.mark.not_on("oracle", reason="about our processes, which collect no cycles")
@pytest.mark.skipif(build.variant() == "asan", reason="AddressSanitizer keeps freed memory for a while")
def test_errors_leave_nothing_behind(r):
    """An exception that is part of a cycle would stay for ever: there is no cyclic collector to find it."""
    r.must("SET {t}text abc")
    conn = r.conn()
    conn.many(*ERRORS * 200)
    processes = [psutil.Process(r.server.process.pid), *r.server.children()]
    before = sum(process.memory_info().rss for process in processes)
    for _ in range(25):
        assert all(isinstance(reply, Error) for reply in conn.many(*ERRORS * 40))
    assert sum(process.memory_info().rss for process in processes) - before < 2 * MB


# --- addresses --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", ["oracle", "engine", "tree"])
def test_a_unix_socket(start, kind, tmp_path):
    path = str(tmp_path / "s.sock")
    server = start(kind, unixsocket=path, unixsocketperm="700")
    with Conn(path) as conn:
        assert conn("SET k v") == OK
        assert b"addr=" + path.encode() + b":0" in conn("CLIENT INFO")
    assert server.conn()("GET k") == b"v"


def outside_address() -> str | None:
    """An address of this machine that is not the loopback's."""
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return address.address
    return None


DENIED = ("DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the "
          "default user.")


@pytest.mark.skipif(outside_address() is None, reason="the machine has the loopback address alone")
@pytest.mark.parametrize("kind", ["oracle", "engine", "tree"])
@pytest.mark.parametrize("options, allowed",
                         [({}, False), ({"protected_mode": "no"}, True), ({"requirepass": "secret"}, True)],
                         ids=["default", "off", "password"])
def test_protected_mode(start, kind, options, allowed):
    server = start(kind, bind="0.0.0.0", **options)
    with Conn((outside_address(), server.port)) as conn:
        if allowed:
            assert conn("AUTH secret" if "requirepass" in options else "PING") in (OK, PONG)
        else:
            reply = conn.read()
            assert isinstance(reply, Error) and reply.startswith(DENIED)
            assert conn.closed()
    with server.conn() as conn:
        assert not isinstance(conn("AUTH secret" if "requirepass" in options else "PING"), Error)
