"""Many connections at once, against a small server, and what a tree's proxies are."""
import resource
import shlex
import socket
import sys

import pytest

from bench import behind, connections
from bench.connections import Burst
from bench.servers import BenchError, Server, Spec
from harness.servers import free_port

SERVER = """
import selectors, socket, sys
reply = sys.argv[2].encode().decode("unicode_escape").encode()
selector, listener = selectors.DefaultSelector(), socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
selector.register(listener, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is listener:
            selector.register(listener.accept()[0], selectors.EVENT_READ)
        else:
            data = key.fileobj.recv(1000)
            if not data:
                selector.unregister(key.fileobj), key.fileobj.close()
            elif b"DBSIZE" in data:
                key.fileobj.send(b":0\\r\\n")
            else:
                key.fileobj.send(reply if b"*1" in data else b"+PONG\\r\\n")
"""


def spec(reply: str = "+PONG\\r\\n") -> Spec:
    script = f"import sys; sys.argv[2:] = [{reply!r}]\n" + SERVER
    return Spec("small", shlex.join([sys.executable, "-c", script, "{port}"]))


def test_a_burst_is_served_to_the_last():
    with Server(spec()) as server:
        burst = connections.burst(server, 300)
        assert len(burst.served_s) == 300 and burst.served_s == sorted(burst.served_s)
        assert 0 < burst.share_s(0.5) <= burst.last_s < connections.WAIT_S
        with pytest.raises(BenchError, match="small has no proxy"):
            connections.proxies(server)


def test_shares_of_a_burst():
    burst = Burst([0.1, 0.2, 0.3, 0.4])
    assert (burst.share_s(0.0), burst.share_s(0.5), burst.share_s(1.0), burst.last_s) == (0.1, 0.3, 0.4, 0.4)


def test_nobody_there():
    port = free_port()
    opened: list[socket.socket] = []
    with pytest.raises(BenchError, match="refused"):
        connections.open_all(port, 3, opened)
    for sock in opened:
        sock.close()


def test_files_that_the_system_does_not_give():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        with pytest.raises(BenchError, match="ulimit"):
            connections.files(hard)
    connections.files(10)


def test_nutcracker_s_configuration():
    text = behind.config(7000, ["/a/0.sock", "/a/1.sock"])
    assert "listen: 127.0.0.1:7000" in text and text.endswith("servers:\n   - /a/0.sock:1\n   - /a/1.sock:1\n")
