"""Several proxies on one port: to a client they are one server, with one sequence of ids and one list of clients."""

import contextlib
import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from harness.conn import Closed, Conn
from harness.resp import OK, Error, Status, encode
from harness.servers import Server

PONG = Status("PONG")
PROXIES = 3
ENGINES = 2

pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture(scope="module")
def tree() -> Iterator[Server]:
    with Server("tree", engines=ENGINES, proxies=PROXIES) as server:
        eventually(lambda: f"{PROXIES} proxies listen" in server.log())
        yield server


@pytest.fixture
def clean(tree: Server) -> Iterator[None]:
    yield
    eventually(lambda: on_every_proxy(tree, lambda conn: ids(conn) == [conn("CLIENT ID")]))


def eventually(check: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def proxy_of(conn: Conn) -> int:
    """Which proxy serves a connection, from its id."""
    return (conn("CLIENT ID") - 1) % PROXIES


def conn_at(tree: Server, index: int) -> Conn:
    """A connection to that proxy: the kernel chooses, so others are opened and closed until it does."""
    while True:
        conn = tree.conn()
        if proxy_of(conn) == index:
            return conn
        conn.close()


def on_every_proxy(tree: Server, check: Callable[[Conn], bool]) -> bool:
    for index in range(PROXIES):
        with conn_at(tree, index) as conn:
            if not check(conn):
                return False
    return True


@contextlib.contextmanager
def one_each(tree: Server) -> Iterator[list[Conn]]:
    """A connection to each proxy, and no other one."""
    conns: list[Conn] = []
    try:
        for index in range(PROXIES):
            conns.append(conn_at(tree, index))
        eventually(lambda: len(ids(conns[0])) == PROXIES)
        yield conns
    finally:
        for conn in conns:
            conn.close()


def listed(conn: Conn, *words: object) -> list[dict[str, str]]:
    text = conn.must("CLIENT", "LIST", *words)
    text = text.decode() if isinstance(text, bytes) else str(text)
    return [dict(field.split("=", 1) for field in line.split(" ")) for line in text.splitlines()]


def ids(conn: Conn, *words: object) -> list[int]:
    return [int(one["id"]) for one in listed(conn, *words)]


def process(tree: Server, index: int) -> psutil.Process:
    """A proxy's process."""
    return next(p for p in tree.children() if f"proxy-{index}.conf" in " ".join(p.cmdline()))


# --- one port ---------------------------------------------------------------------------------------------------------

def test_connections_spread_and_ids_are_unique(tree):
    conns = [tree.conn() for _ in range(60)]
    numbers = [conn("CLIENT ID") for conn in conns]
    assert len(set(numbers)) == len(numbers)
    assert {(number - 1) % PROXIES for number in numbers} == set(range(PROXIES))
    assert max(numbers) < 10_000, "small numbers, as people know them"
    for conn in conns:
        conn.close()


def test_ids_grow_over_all_proxies(tree):
    """A connection that is opened when the others have heard of the last one has a higher id, wherever it lands."""
    last = 0
    with contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(Conn(str(tree.dir / "run" / f"proxy-{index}.sock"))) for index in range(PROXIES)]
        for _ in range(12):
            with tree.conn() as conn:
                number = conn("CLIENT ID")
            assert number > last
            last = number
            eventually(lambda: all(proxy("SHARDD", "PEER", PROXIES, 0, 0)[0] >= last for proxy in proxies))


def test_every_proxy_shows_the_same_cluster(tree):
    with one_each(tree) as conns:
        for question in ("CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES", "CLUSTER MYID", "CLUSTER INFO"):
            assert len({repr(conn.must(question)) for conn in conns}) == 1, question


def test_a_change_of_the_topology_reaches_every_proxy(tree):
    with one_each(tree) as conns:
        epochs = [epoch(conn) for conn in conns]
        assert len(set(epochs)) == 1
        victim = next(p for p in tree.children() if "engine-0.conf" in " ".join(p.cmdline()))
        victim.kill()
        eventually(lambda: all(epoch(conn) > epochs[0] for conn in conns))
        eventually(lambda: all(b"cluster_state:ok" in conn.must("CLUSTER INFO") for conn in conns))
        eventually(lambda: all(conn("SET", f"k{n}", n) == OK for conn in conns for n in range(20)))
        assert len({repr(conn.must("CLUSTER SLOTS")) for conn in conns}) == 1


def epoch(conn: Conn) -> int:
    return int(re.search(rb"cluster_current_epoch:(\d+)", conn.must("CLUSTER INFO"))[1])


# --- one list of clients ----------------------------------------------------------------------------------------------

def test_client_list_is_of_all_proxies(tree):
    with one_each(tree) as conns:
        for number, conn in enumerate(conns):
            assert conn("CLIENT", "SETNAME", f"c{number}") == OK
        numbers = sorted(conn("CLIENT ID") for conn in conns)
        for conn in conns:
            seen = listed(conn)
            assert [int(one["id"]) for one in seen] == numbers, "in order of id"
            assert {one["name"] for one in seen} == {"c0", "c1", "c2"}
            addresses = {"%s:%d" % other.sock.getsockname() for other in conns}
            assert {one["addr"] for one in seen} == addresses, "the real clients' addresses"
        backwards = numbers[::-1]
        assert ids(conns[0], "ID", *backwards, 999_999) == backwards
        assert ids(conns[0], "TYPE", "normal") == numbers
        assert ids(conns[0], "TYPE", "pubsub") == []
        assert conns[0]("CLIENT", "LIST", "ID", "x") == Error("ERR Invalid client ID")
        with Conn(tree.port, resp=3) as three:
            assert len(listed(three)) == PROXIES + 1


def test_client_kill_reaches_every_proxy(tree):
    with one_each(tree) as conns:
        mine, *others = conns
        for conn in others:
            assert mine("CLIENT", "KILL", "ID", conn("CLIENT ID")) == 1
            assert conn.closed()
        assert mine("CLIENT", "KILL", "ID", 999_999) == 0
        assert mine("CLIENT", "KILL", "1.2.3.4:5") == Error("ERR No such client")
        assert mine("PING") == PONG


def test_client_kill_by_address_in_the_old_form(tree):
    with one_each(tree) as conns:
        mine, other, _ = conns
        assert mine("CLIENT", "KILL", "%s:%d" % other.sock.getsockname()) == OK
        assert other.closed()
        assert mine("CLIENT", "KILL", "%s:%d" % mine.sock.getsockname()) == OK
        assert mine.closed(), "its own connection ends behind the reply"


def test_client_kill_of_all_spares_the_caller_where_it_does_not_say_otherwise(tree):
    with one_each(tree) as conns:
        mine, *others = conns
        assert mine("CLIENT KILL TYPE normal MAXAGE 1000") == 0
        assert mine("CLIENT KILL TYPE normal") == len(others)
        assert all(conn.closed() for conn in others)
        assert mine("PING") == PONG
        assert mine("CLIENT KILL TYPE normal SKIPME no") == 1
        assert mine.closed()


def test_client_kill_by_user_and_local_address(tree):
    with one_each(tree) as conns:
        assert conns[1]("CLIENT KILL USER nobody") == Error("ERR No such user 'nobody'")
        assert conns[1]("CLIENT", "KILL", "LADDR", f"127.0.0.1:{tree.port}", "USER", "default") == PROXIES - 1
        assert conns[0].closed() and conns[2].closed()


def test_client_pause_reaches_clients_of_engines_too(tree):
    with one_each(tree) as conns:
        ports = sorted({node[1] for _, _, node in conns[0].must("CLUSTER SLOTS")})
        direct = [Conn(port) for port in ports]
        assert conns[2]("CLIENT PAUSE 60000 WRITE") == OK
        try:
            for conn in direct:
                assert conn("PING") == PONG
                conn.send(encode("SET", "k", "v"))
            assert all(conn.silent(0.1) for conn in direct)
        finally:
            assert conns[1]("CLIENT UNPAUSE") == OK
        replies = [conn.read() for conn in direct]
        assert replies.count(OK) == 1 and all(reply == OK or reply.code == "MOVED" for reply in replies)
        for conn in direct:
            conn.close()


def test_client_pause_holds_back_the_clients_of_every_proxy(tree):
    with one_each(tree) as conns:
        mine, *others = conns
        assert mine("CLIENT PAUSE 60000 WRITE") == OK
        try:
            for number, conn in enumerate(others):
                assert conn("GET", "paused") is None
                conn.send(encode("SET", f"paused:{number}", "v"))
            assert all(conn.silent(0.1) for conn in others)
        finally:
            assert mine("CLIENT UNPAUSE") == OK
        assert [conn.read() for conn in others] == [OK, OK]
        assert mine("CLIENT UNBLOCK 1") == 0


# --- a proxy that hangs, a proxy that dies ----------------------------------------------------------------------------

def test_a_proxy_that_hangs_is_an_error_not_a_gap(tree):
    with one_each(tree) as conns:
        hung = process(tree, 2)
        hung.suspend()
        try:
            began = time.monotonic()
            assert conns[0]("CLIENT LIST") == Error("ERR proxy 2 does not answer")
            assert conns[0]("CLIENT", "KILL", "ID", conns[1]("CLIENT ID")) == Error("ERR proxy 2 does not answer")
            assert time.monotonic() - began < 10
            assert conns[1].closed(), "what could be done was done"
            assert conns[0]("SET", "k", "v") == OK, "commands that concern no other proxy go on"
        finally:
            hung.resume()
        eventually(lambda: conns[0]("PING") == PONG and not isinstance(conns[0]("CLIENT LIST"), Error))
        assert conns[2]("PING") == PONG


def test_a_proxy_that_dies_has_no_clients_and_comes_back_with_new_ids(tree):
    with one_each(tree) as conns:
        old = conns[1]("CLIENT ID")
        os.kill(process(tree, 1).pid, signal.SIGKILL)
        with pytest.raises((Closed, OSError)):
            conns[1]("PING")
        eventually(lambda: not isinstance(conns[0]("CLIENT LIST"), Error))
        eventually(lambda: old not in ids(conns[0]))
        with conn_at(tree, 1) as again:
            assert again("CLIENT ID") > old, "an old id does not name a new client"
            eventually(lambda: again("CLIENT ID") in ids(conns[0]))


# --- figures of all ---------------------------------------------------------------------------------------------------

def info(conn: Conn, section: str = "everything") -> dict[str, str]:
    lines = conn.must("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_info_adds_up_over_the_proxies(tree):
    with one_each(tree) as conns:
        assert conns[0]("CONFIG RESETSTAT") == OK
        for conn in conns:
            assert conn("MGET", "a", "b", "c") == [None] * 3
            assert conn("GET") == Error("ERR wrong number of arguments for 'get' command")
        for index, conn in enumerate(conns):
            seen = info(conn)
            assert seen["connected_clients"] == str(PROXIES)
            assert (seen["shardd_proxy"], seen["shardd_proxies"]) == (str(index), str(PROXIES))
            assert seen["maxclients"] == "10000"
            assert seen["cmdstat_mget"].startswith(f"calls={PROXIES},")
            assert f"rejected_calls={PROXIES}," in seen["cmdstat_get"]
            assert seen["errorstat_ERR"] == f"count={PROXIES}"
            assert int(seen["total_commands_processed"]) >= 2 * PROXIES
        assert conns[1]("CONFIG RESETSTAT") == OK
        assert all("cmdstat_mget" not in info(conn) for conn in conns)


def test_info_answers_while_a_proxy_hangs(tree):
    with one_each(tree) as conns:
        hung = process(tree, 0)
        hung.suspend()
        try:
            seen = info(conns[1])
            assert seen["shardd_proxies"] == str(PROXIES - 1)
            assert seen["connected_clients"] == str(PROXIES - 1)
        finally:
            hung.resume()
        assert conns[0]("PING") == PONG


def test_maxclients_is_for_all_proxies_together(tree):
    with one_each(tree) as conns:
        assert conns[0]("CONFIG", "SET", "maxclients", PROXIES + 2) == OK
        try:
            eventually(lambda: all(conn("CONFIG", "GET", "maxclients")[1] == b"5" for conn in conns))
            more: list[Conn] = []

            def admitted() -> bool:
                """Whether there is room for one more; the proxies tell each other how many they have."""
                conn = tree.conn()
                if conn.silent(0.1):
                    more.append(conn)
                    return True
                assert conn.read() == Error("ERR max number of clients reached")
                conn.close()
                return False

            for _ in range(2):
                eventually(admitted)
            assert [conn("PING") for conn in more] == [PONG, PONG]
            numbers = sorted(conn("CLIENT ID") for conn in conns + more)
            eventually(lambda: sorted(ids(conns[0])) == numbers)
            eventually(lambda: not any(admitted() for _ in range(6)))      # whichever proxy it is
            assert len(more) < 2 + 6, "before all have heard of those two a few more may come, but not to each its own"
            for conn in more:
                conn.close()
        finally:
            assert conns[0]("CONFIG", "SET", "maxclients", 10_000) == OK
            eventually(lambda: all(conn("CONFIG", "GET", "maxclients")[1] == b"10000" for conn in conns))
