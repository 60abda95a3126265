"""The connections within a tree: the supervisor's and the proxies' are no clients, and they are trusted."""
import pytest

from harness.conn import Conn
from harness.resp import OK, Error

DENIED = "ERR DEBUG command not allowed."


def fields(conn: Conn, section: str) -> dict[str, str]:
    return dict(line.split(":", 1) for line in conn.must("INFO", section).decode().split("\r\n") if ":" in line)


def engine_port(conn: Conn) -> int:
    return conn.must("CLUSTER SLOTS")[0][2][1]


def test_links_do_not_count_as_clients(start):
    server = start("tree", engines=1, maxclients=3)
    first = Conn(server.port)
    first.must("SET k v")
    port = engine_port(first)
    direct = [Conn(port) for _ in range(3)]
    for conn in direct:
        assert str(conn("PING")) == "PONG"
    assert Conn(port).rest() == b"-ERR max number of clients reached\r\n"
    assert fields(direct[0], "clients")["connected_clients"] == "3"
    stats = fields(direct[0], "stats")
    assert (stats["total_connections_received"], stats["rejected_connections"]) == ("3", "1")
    listed = direct[0].must("CLIENT LIST").decode().splitlines()
    assert len(listed) > 3, "they are shown"


@pytest.mark.parametrize("who, local", [("local", True), ("no", False), ("yes", True)])
def test_debug_of_a_local_client(start, who, local):
    server = start("tree", engines=2, enable_debug_command=who)
    conn = Conn(server.port)
    direct = Conn(engine_port(conn))
    for one in (conn, direct):
        for words in (("DEBUG", "SLEEP", "0"), ("DEBUG", "OBJECT", "nosuch"), ("DEBUG", "CHECK")):
            reply = one(*words)
            denied = isinstance(reply, Error) and reply.startswith(DENIED)
            assert denied != local, reply
            if local:
                assert reply == OK or not isinstance(reply, Error) or words[1] == "OBJECT"
