"""The reactor on real sockets: what arrives, what is sent, and how connections end."""
import asyncio
import contextlib
import gc
import os
import resource
import socket
import struct
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from shardd.base import limits
from shardd.net.reactor import Listener, Reactor
from shardd.net.transport import PlainProtocol, Transport
from unit.net.rig import Net, Peer, echo, receive, send, shrink_send_buffer, tcp


@pytest.fixture
def net() -> Iterator[Net]:
    net = Net(tcp())
    yield net
    net.close()
    assert not net.errors


@pytest.fixture
def failing() -> Iterator[Net]:
    """A net whose test looks at `errors` itself."""
    net = Net(tcp())
    yield net
    net.close()


# --- bytes in, bytes out ----------------------------------------------------------------------------------------------

def test_echo_and_addresses(net: Net) -> None:
    sock, peer = net.pair(echo)
    sock.sendall(b"hello")
    net.until(lambda: peer.pieces)
    assert sock.recv(100) == b"hello"
    transport = peer.transport
    assert transport.peer == "127.0.0.1:%d" % sock.getsockname()[1]
    assert transport.local == "127.0.0.1:%d" % net.address[1]
    assert (transport.is_unix, transport.bytes_in, transport.bytes_out) == (False, 5, 5)
    assert (transport.in_cap, transport.out_cap) == (0, 0), "an idle connection owns no buffer"
    assert net.reactor.connections == net.listener.accepted == 1


def test_unix_socket(tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(tmp_path / "s"))
    net = Net(sock)
    client, peer = net.pair(echo)
    client.sendall(b"x" * 1000)
    assert receive(net, client, 1000) == b"x" * 1000
    assert peer.transport.is_unix
    assert peer.transport.peer == peer.transport.local == f"{tmp_path / 's'}:0"
    client.close()
    net.until(lambda: peer.reasons)
    net.close()
    assert not net.errors


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 in this kernel")
def test_ipv6_addresses_are_bracketed() -> None:
    sock = socket.socket(socket.AF_INET6)
    try:
        sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback")
    net = Net(sock)
    client, peer = net.pair()
    assert peer.transport.peer == "[::1]:%d" % client.getsockname()[1]
    net.close()


def test_left_over_bytes_come_again_with_what_follows(net: Net) -> None:
    def lines(peer: Peer, data: bytes) -> int:
        return data.rfind(b"\n") + 1

    sock, peer = net.pair(lines)
    for piece in (b"ab", b"c", b"\nde\nf", b"g", b"\n"):
        sock.sendall(piece)
        net.calm()
    assert peer.pieces == [b"", b"", b"abc\nde\n", b"", b"fg\n"]
    assert peer.transport.in_len == peer.transport.in_cap == 0
    sock.sendall(b"tail")
    net.calm()
    assert peer.transport.in_len == 4 <= peer.transport.in_cap <= 64


@pytest.mark.parametrize("wanted", [True, False])
def test_a_message_of_50_mb(net: Net, wanted: bool) -> None:
    size = 50 * limits.MIB

    def whole(peer: Peer, data: bytes) -> int:
        if len(data) < size:
            peer.transport.in_want = size if wanted else 0
            return 0
        return size

    sock, peer = net.pair(whole)
    message = os.urandom(1 << 16) * (size >> 16)
    transport = peer.transport
    send(net, sock, message)
    net.until(lambda: peer.pieces and peer.pieces[-1])
    assert peer.pieces[-1] == message
    assert transport.in_len == transport.in_cap == 0, "the buffer went back"
    # and the way out
    transport.write_bytes(message)
    assert transport.out_len > 0
    assert receive(net, sock, size) == message
    net.until(lambda: "drained" in peer.events)
    assert transport.out_len == transport.out_cap == 0
    assert peer.events == ["made", "drained"]


def test_a_slow_reader_gets_everything_in_order(net: Net) -> None:
    # a pair of Unix sockets: TCP with windows this small waits for its timers
    ours, sock = socket.socketpair()
    peer = Peer()
    transport = net.reactor.attach(ours, PlainProtocol(peer))
    shrink_send_buffer(transport)
    sock.setblocking(False)
    expected = bytearray()
    got = bytearray()
    for i in range(3000):
        piece = b"%06d" % i * (i % 400)
        expected += piece
        transport.write_bytes(piece)
        if i % 50 == 0:
            net.reactor.wait(0)
            with contextlib.suppress(BlockingIOError):
                got += sock.recv(30_000)
    assert transport.out_len > 0
    assert transport.bytes_out + transport.out_len == len(expected)
    got += receive(net, sock, len(expected) - len(got))
    assert got == expected
    net.until(lambda: transport.out_len == 0)
    assert "drained" in peer.events
    assert transport.bytes_out == len(expected)
    sock.close()


def test_a_tiny_send_buffer(net: Net) -> None:
    ours, sock = socket.socketpair()
    transport = net.reactor.attach(ours, PlainProtocol(Peer()))
    shrink_send_buffer(transport)
    data = os.urandom(300_000)
    transport.write_bytes(data)
    assert transport.out_len > 0
    assert receive(net, sock, len(data)) == data
    sock.close()


# --- the end of a connection ------------------------------------------------------------------------------------------

def test_the_peer_closes(net: Net) -> None:
    sock, peer = net.pair()
    sock.sendall(b"last")
    sock.close()
    net.until(lambda: peer.reasons)
    assert peer.received == b"last"
    assert (peer.events, peer.reasons) == (["made", "eof", "lost"], [None])
    assert peer.transport.closing and peer.transport.fd == -1 and net.reactor.connections == 0


def test_the_peer_resets(net: Net) -> None:
    sock, peer = net.pair()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    net.until(lambda: peer.reasons)
    assert isinstance(peer.reasons[0], ConnectionResetError)


def test_writing_to_one_who_left(net: Net) -> None:
    sock, peer = net.pair()
    peer.transport.pause_reading()
    sock.close()
    while not peer.transport.closing:
        peer.transport.write_bytes(b"x" * 100)
    assert peer.events == ["made"], "lost() is not called inside write()"
    net.until(lambda: peer.reasons)
    assert isinstance(peer.reasons[0], (BrokenPipeError, ConnectionResetError))
    peer.transport.write_bytes(b"x")
    peer.transport.close()
    net.calm()
    assert peer.events == ["made", "lost"]


def test_close_inside_data(net: Net) -> None:
    def close(peer: Peer, data: bytes) -> int:
        peer.transport.close("enough")
        peer.transport.close("again")
        assert peer.events == ["made"]
        return 1

    sock, peer = net.pair(close)
    sock.sendall(b"abc")
    net.until(lambda: peer.reasons)
    assert (peer.events, peer.reasons) == (["made", "lost"], ["enough"])
    net.calm()
    assert len(peer.pieces) == 1
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(10) == b""


def test_close_outside_a_poll_wakes_the_loop(net: Net) -> None:
    sock, peer = net.pair()
    net.calm()
    peer.transport.close(None)
    assert peer.events == ["made"]
    assert net.ready(5000)
    net.reactor.poll()
    assert peer.events == ["made", "lost"]
    assert sock.recv(10) == b""


def test_one_closes_another_of_the_same_batch(net: Net) -> None:
    pairs = [net.pair() for _ in range(2)]
    peers = [peer for _, peer in pairs]

    def close_other(peer: Peer, data: bytes) -> int:
        peers[1 - peers.index(peer)].transport.close("other")
        return len(data)

    for peer in peers:
        peer.react = close_other
    fds = [peer.transport.fd for peer in peers]
    for sock, _ in pairs:
        sock.sendall(b"x")
    net.make = Peer
    late = net.connect()
    net.calm()
    assert sorted(len(peer.pieces) for peer in peers) == [0, 1]
    assert sorted(peer.reasons for peer in peers) == [[], ["other"]]
    assert net.peers[-1].transport.fd not in fds, "a number is not used again within a batch"
    assert net.peers[-1].pieces == []
    late.sendall(b"y")
    net.until(lambda: net.peers[-1].pieces == [b"y"])


def test_close_after_flush_sends_all_first(net: Net) -> None:
    data = os.urandom(5 * limits.MIB)

    def answer(peer: Peer, piece: bytes) -> int:
        peer.transport.write_bytes(data)
        peer.transport.close_after_flush()
        peer.transport.write_bytes(b"never sent")
        return len(piece)

    sock, peer = net.pair(answer)
    sock.sendall(b"x")
    assert receive(net, sock, len(data)) == data
    net.until(lambda: peer.reasons)
    assert sock.recv(10) == b""
    assert peer.events == ["made", "lost"]


def test_last_words_survive_unread_input(net: Net) -> None:
    def refuse(peer: Peer, piece: bytes) -> int:
        peer.transport.write_bytes(b"-ERR no\r\n")
        peer.transport.close_after_flush()
        return 0

    sock, peer = net.pair(refuse)
    sock.sendall(b"x" * 200_000)
    net.until(lambda: peer.reasons)
    assert sock.recv(100) == b"-ERR no\r\n"
    assert sock.recv(100) == b""


def test_close_after_flush_with_a_peer_that_reads_nothing_and_leaves(net: Net) -> None:
    sock, peer = net.pair()
    peer.transport.write_bytes(b"x" * 20_000_000)
    peer.transport.close_after_flush()
    sock.sendall(b"more")
    net.calm()
    assert peer.events == ["made"] and peer.pieces == []
    sock.close()
    net.until(lambda: peer.reasons)
    assert isinstance(peer.reasons[0], ConnectionError)


def test_half_close_leaves_the_way_out_open(net: Net) -> None:
    sock, peer = net.pair(stay=True)
    sock.sendall(b"question")
    sock.shutdown(socket.SHUT_WR)
    net.until(lambda: "eof" in peer.events)
    net.calm()
    peer.transport.write_bytes(b"answer")
    assert sock.recv(100) == b"answer"
    peer.transport.close_after_flush()
    net.until(lambda: peer.reasons)
    assert sock.recv(100) == b""
    assert peer.events == ["made", "eof", "lost"]


def test_half_closed_and_then_gone(net: Net) -> None:
    sock, peer = net.pair(stay=True)
    sock.shutdown(socket.SHUT_WR)
    net.until(lambda: "eof" in peer.events)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    net.until(lambda: peer.reasons)


def test_loss_leaves_no_cycle(net: Net) -> None:
    gc.disable()
    try:
        sock, peer = net.pair()
        protocol = weakref.ref(peer)
        transport = peer.transport
        sock.close()
        net.until(lambda: peer.reasons)
        assert transport.protocol is None
        net.peers.clear()
        net.make = Peer
        del peer, transport
        assert protocol() is None
    finally:
        gc.enable()


def test_reactor_close_tells_everyone() -> None:
    net = Net(tcp())
    peers = [net.pair()[1] for _ in range(5)]
    net.close()
    assert [peer.events[-1] for peer in peers] == ["lost"] * 5
    assert net.reactor.connections == 0


# --- pausing ----------------------------------------------------------------------------------------------------------

def test_pause_keeps_what_is_left_and_resume_feeds_it(net: Net) -> None:
    def one(peer: Peer, data: bytes) -> int:
        peer.transport.pause_reading()
        return 1

    sock, peer = net.pair(one)
    sock.sendall(b"abc")
    net.until(lambda: peer.pieces)
    sock.sendall(b"def")
    net.calm()
    assert peer.pieces == [b"a"] and peer.transport.reading_paused
    peer.transport.resume_reading()
    assert peer.pieces == [b"a"], "not fed inside resume_reading()"
    assert net.ready(5000), "the loop is woken"
    net.reactor.poll()
    assert peer.pieces == [b"a", b"b"]
    peer.react = None
    peer.transport.resume_reading()
    net.until(lambda: peer.received == b"abcdef")


def test_pause_and_resume_inside_data(net: Net) -> None:
    def stutter(peer: Peer, data: bytes) -> int:
        peer.transport.pause_reading()
        peer.transport.resume_reading()
        return 1

    sock, peer = net.pair(stutter)
    sock.sendall(b"abcd")
    net.until(lambda: peer.received == b"abcd")
    assert peer.pieces == [b"a", b"b", b"c", b"d"]


def test_the_end_of_the_input_comes_behind_what_was_left_over(net: Net) -> None:
    def one(peer: Peer, data: bytes) -> int:
        peer.transport.pause_reading()
        return 1

    sock, peer = net.pair(one)
    net.reactor.after_batch = lambda: peer.transport.resume_reading()
    sock.sendall(b"abcdef")
    sock.shutdown(socket.SHUT_WR)
    net.until(lambda: "lost" in peer.events)
    net.reactor.after_batch = None
    assert peer.received == b"abcdef"
    assert peer.events == ["made", "eof", "lost"]


def test_a_paused_connection_does_not_spin(net: Net) -> None:
    sock, peer = net.pair()
    peer.transport.pause_reading()
    sock.sendall(b"x")
    net.calm()
    assert not net.ready(20)
    assert peer.pieces == []


def test_the_peer_of_a_paused_connection_leaves(net: Net) -> None:
    sock, peer = net.pair()
    peer.transport.pause_reading()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    net.until(lambda: peer.reasons)
    assert peer.pieces == []


def test_paused_it_still_writes(net: Net) -> None:
    sock, peer = net.pair()
    peer.transport.pause_reading()
    sock.sendall(b"x")
    data = os.urandom(3_000_000)
    peer.transport.write_bytes(data)
    assert receive(net, sock, len(data)) == data
    assert peer.pieces == []


# --- accepting --------------------------------------------------------------------------------------------------------

def test_accept_burst(net: Net) -> None:
    count = 450
    socks = [net.connect() for _ in range(count)]
    net.make = lambda: Peer(echo)
    before = net.reactor.polls
    net.until(lambda: len(net.peers) == count)
    assert net.reactor.polls - before < 20, "many are accepted in one poll"
    for i, sock in enumerate(socks):
        sock.sendall(b"%d" % i)
    net.until(lambda: all(peer.pieces for peer in net.peers))
    assert [sock.recv(10) for sock in socks] == [b"%d" % i for i in range(count)]


def test_options_of_accepted_sockets(net: Net) -> None:
    net.listener.keepalive_s = 30
    _, peer = net.pair()
    raw = socket.socket(fileno=os.dup(peer.transport.fd))
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
    assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
    raw.close()


def test_refused(net: Net) -> None:
    def refuse(transport: Transport) -> None:
        transport.write_bytes(b"-ERR max number of clients reached\r\n")

    listener = net.reactor.listen(tcp(), refuse)
    sock = socket.create_connection(listener.sock.getsockname())
    sock.sendall(b"PING\r\n")
    net.until(lambda: listener.accepted)
    assert sock.recv(100) == b"-ERR max number of clients reached\r\n"
    assert sock.recv(100) == b""
    assert net.reactor.connections == 0
    sock.close()


def test_a_closed_listener(net: Net) -> None:
    _, peer = net.pair()
    net.listener.close()
    net.listener.close()
    with pytest.raises(ConnectionRefusedError):
        net.connect()
    net.calm()
    assert peer.events == ["made"], "its connections stay"


def test_out_of_descriptors(net: Net) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sock = net.connect()
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        net.reactor.poll()
        assert net.warnings == ["Accepting client connection: accept: Too many open files"]
        net.reactor.poll()
        net.reactor.poll()
        assert len(net.warnings) == net.listener.rests == 1, "it rests"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    net.until(lambda: net.peers)
    sock.sendall(b"x")
    net.until(lambda: net.peers[0].pieces)


# --- outgoing ---------------------------------------------------------------------------------------------------------

def start_connect(address: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        sock.connect(address)
    return sock


def test_attach_connected(net: Net) -> None:
    ours, theirs = socket.socketpair()
    peer = Peer(echo)
    transport = net.reactor.attach(ours, PlainProtocol(peer))
    assert peer.events == ["made"] and transport.is_unix and ours.fileno() == -1
    theirs.sendall(b"hi")
    net.until(lambda: peer.pieces)
    assert theirs.recv(10) == b"hi"
    theirs.close()
    net.until(lambda: peer.reasons)


def test_connect(net: Net) -> None:
    net.make = lambda: Peer(echo)
    peer = Peer()
    transport = net.reactor.attach(start_connect(net.address), PlainProtocol(peer), connecting=True)
    transport.write_bytes(b"early")
    assert peer.events == [] and transport.out_len == 5
    net.until(lambda: peer.received == b"early")
    assert peer.events == ["made", "drained"]
    assert transport.peer == "127.0.0.1:%d" % net.address[1]


def test_connect_refused(net: Net) -> None:
    net.listener.close()
    peer = Peer()
    net.reactor.attach(start_connect(net.address), PlainProtocol(peer), connecting=True)
    net.until(lambda: peer.reasons)
    assert peer.events == ["lost"] and isinstance(peer.reasons[0], ConnectionRefusedError)


def test_connect_and_close_after_flush(net: Net) -> None:
    peer = Peer()
    transport = net.reactor.attach(start_connect(net.address), PlainProtocol(peer), connecting=True)
    transport.write_bytes(b"bye")
    transport.close_after_flush()
    net.until(lambda: peer.reasons)
    net.until(lambda: net.peers and net.peers[0].reasons)
    assert net.peers[0].received == b"bye"


# --- exceptions -------------------------------------------------------------------------------------------------------

def test_exception_in_data_costs_only_its_connection(failing: Net) -> None:
    def bug(peer: Peer, data: bytes) -> int:
        raise MemoryError("here")

    bad, victim = failing.pair(bug)
    good, other = failing.pair(echo)
    bad.sendall(b"x")
    good.sendall(b"y")
    failing.until(lambda: victim.reasons and other.pieces)
    assert [str(error) for error in failing.errors] == ["here"]
    assert victim.reasons == failing.errors and victim.events == ["made", "lost"]
    assert good.recv(10) == b"y"


@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="ASan ends the process where malloc would fail")
def test_memory_that_is_not_there_costs_only_its_connection(failing: Net) -> None:
    def greedy(peer: Peer, data: bytes) -> int:
        peer.transport.in_want = 1 << 62
        return 0

    sock, peer = failing.pair(greedy)
    sock.sendall(b"a")
    failing.until(lambda: peer.pieces)
    sock.sendall(b"b")
    failing.until(lambda: peer.reasons)
    assert isinstance(peer.reasons[0], MemoryError) and isinstance(failing.errors[0], MemoryError)


@pytest.mark.parametrize("count", [-1, 4])
def test_a_wrong_count_of_bytes_is_an_error(failing: Net, count: int) -> None:
    sock, peer = failing.pair(lambda peer, data: count)
    peer.on_data = lambda data: count       # type: ignore[method-assign]
    sock.sendall(b"abc")
    failing.until(lambda: peer.reasons)
    assert isinstance(failing.errors[0], Exception)


@pytest.mark.parametrize("where", ["on_made", "on_eof", "on_drained", "on_lost"])
def test_exceptions_elsewhere(failing: Net, where: str) -> None:
    def bug(*args: object) -> None:
        raise ValueError(where)

    def broken() -> Peer:
        peer = Peer()
        setattr(peer, where, bug)
        return peer

    sock, peer = failing.pair()
    failing.make = broken
    sock = failing.connect()
    failing.until(lambda: len(failing.peers) == 2)
    if where == "on_drained":
        failing.peers[1].transport.write_bytes(b"x" * 10_000_000)
        receive(failing, sock, 10_000_000)
    sock.close()
    failing.until(lambda: failing.errors)
    failing.until(lambda: failing.reactor.connections == 1)
    assert [str(error) for error in failing.errors] == [where]


def test_exception_in_the_factory(failing: Net) -> None:
    def bug(transport: Transport) -> None:
        raise ValueError("factory")

    for wrong in (bug, lambda transport: "no protocol"):
        listener = failing.reactor.listen(tcp(), wrong)
        sock = socket.create_connection(listener.sock.getsockname())
        failing.until(lambda listener=listener: listener.accepted)
        assert sock.recv(10) == b""
        sock.close()
    assert [type(error) for error in failing.errors] == [ValueError, TypeError]
    assert failing.reactor.connections == 0


def test_made_by_the_reactor_only() -> None:
    for kind in (Transport, Listener):
        with pytest.raises(TypeError, match="made by"):
            kind()


# --- the loop ---------------------------------------------------------------------------------------------------------

def test_before_poll_and_counters(net: Net) -> None:
    calls: list[int] = []
    net.reactor.before_poll = lambda: calls.append(net.reactor.now_ms)
    polls = net.reactor.polls
    net.reactor.poll()
    net.reactor.poll()
    assert len(calls) == 2 and net.reactor.polls == polls + 2
    assert calls[0] <= calls[1]


def test_it_lingers_for_the_next_batch(net: Net) -> None:
    """One poll serves a question that is asked only after the answer to the one before."""
    net.reactor.linger_ms = 200
    batches: list[int] = []
    net.reactor.after_batch = lambda: batches.append(len(net.peers[0].pieces))
    sock, peer = net.pair(echo)
    batches.clear()

    def ask() -> None:
        for question in (b"1", b"2"):
            sock.sendall(question)
            sock.recv(1)

    thread = threading.Thread(target=ask)
    thread.start()
    net.ready(10_000)
    net.reactor.wait(0)
    while len(peer.pieces) < 2:     # only where the machine took a millisecond between the two
        net.reactor.wait(0)
    thread.join()
    net.reactor.linger_ms = 0
    assert peer.pieces == [b"1", b"2"] and {1, 2} <= set(batches)
    assert net.reactor.longest_us > 0


def test_under_uvloop_a_storm_does_not_starve_timers(net: Net) -> None:
    """Two connections of the same reactor play ping-pong without end; a timer must still fire."""
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(net.reactor.fileno(), net.reactor.poll)
        for _ in range(20):
            ours, theirs = socket.socketpair()
            first, second = Peer(echo), Peer(echo)
            first.pieces = second.pieces = Discard()
            net.reactor.attach(ours, PlainProtocol(first)).write_bytes(b"ball")
            net.reactor.attach(theirs, PlainProtocol(second))
        await asyncio.wait_for(asyncio.sleep(0.05), 5)
        loop.remove_reader(net.reactor.fileno())

    class Discard(list):
        def append(self, item: object) -> None:
            pass

    uvloop.run(main())
    assert net.reactor.events_total > 100


def test_the_longest_turn_tells_waiting_from_working(net: Net) -> None:
    """A turn that sleeps is long by the wall alone; one that computes is long on the CPU's clock too."""
    def sleep(peer: Peer, data: bytes) -> int:
        time.sleep(0.02)
        return len(data)

    def work(peer: Peer, data: bytes) -> int:
        start = time.thread_time()
        while time.thread_time() - start < 0.005:
            pass
        return len(data)

    reactor = net.reactor
    for react in (sleep, work):
        sock, peer = net.pair(react)
        reactor.forget_longest()
        assert (reactor.longest_us, reactor.longest_cpu_us) == (0, 0)
        sock.sendall(b"x")
        net.until(lambda: peer.pieces)
        if react is sleep:
            assert reactor.longest_us - reactor.longest_cpu_us >= 20000 - 2 * limits.CPU_MARK_US
        else:
            assert reactor.longest_us >= reactor.longest_cpu_us >= 5000


def test_a_reactor_that_is_dropped_leaves_no_descriptor():
    """Without close(), as when its owner fails at the start: connections close theirs themselves."""
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    gc.collect()
    before = descriptors()
    for _ in range(5):
        reactor = Reactor()
        ours, theirs = socket.socketpair()
        reactor.attach(theirs, PlainProtocol(Peer()))
        ours.close()
    del reactor, ours, theirs
    gc.collect()
    assert descriptors() == before
