"""Several clients in one turn of the reactor: their replies share a buffer, and each gets its own, come what may."""
import random

import pytest

from harness.resp import encode
from unit.engine.raw import Raw
from unit.inproc import Engine


@pytest.fixture
def engine():
    engine = Engine()
    engine("SET", "big", "b" * 40_000)
    return engine


def together(clients: list[Raw], pieces: list[bytes]) -> list[bytes]:
    """All send, then the reactor turns, and what each got in the end."""
    for client, piece in zip(clients, pieces):
        client.sock.sendall(piece)
    got = [b""] * len(clients)
    for _ in range(10):
        for at, client in enumerate(clients):
            got[at] += client.turn()
    return got


def test_each_gets_its_own(engine):
    clients = [Raw(engine) for _ in range(20)]
    pieces = [encode("ECHO", f"client {n}") * (n + 1) for n in range(20)]
    assert together(clients, pieces) == [b"".join([b"$%d\r\nclient %d\r\n" % (len(f"client {n}"), n)] * (n + 1))
                                         for n in range(20)]


def test_long_replies_leave_early_and_stay_apart(engine):
    """The shared buffer is sent whenever it is full, which is in the middle of some client's replies."""
    clients = [Raw(engine) for _ in range(6)]
    big = b"$40000\r\n" + b"b" * 40_000 + b"\r\n"
    pieces = [encode("ECHO", str(n)) + encode("GET", "big") * (n % 3) + encode("ECHO", str(n)) for n in range(6)]
    assert together(clients, pieces) == [b"$1\r\n%d\r\n" % n + big * (n % 3) + b"$1\r\n%d\r\n" % n for n in range(6)]


@pytest.mark.parametrize("bad, reply, ends", [
    (b"*1\r\n!\r\n", b"+PONG\r\n-ERR Protocol error: expected '$', got '!'\r\n", True),
    (encode("QUIT") + encode("GET", "big"), b"+PONG\r\n+OK\r\n", True),
    (encode("POST", "/"), b"+PONG\r\n", True),
    (encode("SELECT", "x"), b"+PONG\r\n-ERR value is not an integer or out of range\r\n", False),
    (encode("CLIENT", "REPLY", "OFF") + encode("GET", "big"), b"+PONG\r\n", False),
    (encode("NOSUCH"), b"+PONG\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n", False)])
def test_one_of_them_ends_or_fails(engine, bad, reply, ends):
    clients = [Raw(engine) for _ in range(3)]
    ping = encode("PING")
    got = together(clients, [ping + encode("ECHO", "first"), ping + bad, ping + encode("ECHO", "last")])
    assert got[0] == b"+PONG\r\n$5\r\nfirst\r\n"
    assert got[2] == b"+PONG\r\n$4\r\nlast\r\n"
    assert reply.startswith(got[1]) if bad.startswith(encode("POST", "/")) else got[1] == reply
    assert clients[1].closed == ends and not clients[0].closed and not clients[2].closed


def test_a_handler_that_breaks_costs_its_own_client_only(engine):
    errors: list[BaseException] = []
    engine.server.reactor.on_error = lambda where, error: errors.append(error)
    registry = engine.server.registry

    def broken(server, client, args):
        raise ZeroDivisionError

    registry.handlers[[row.name for row in registry.rows].index("ping")] = broken
    clients = [Raw(engine) for _ in range(3)]
    got = together(clients, [encode("ECHO", "a") * 2, encode("ECHO", "secret") + encode("PING"), encode("ECHO", "c")])
    assert got[0] == b"$1\r\na\r\n" * 2 and got[2] == b"$1\r\nc\r\n"
    assert b"secret" not in got[0] + got[2]
    assert clients[1].closed and not clients[0].closed and not clients[2].closed
    assert len(errors) == 1


def test_replies_that_cannot_be_sent_end_the_connections_that_miss_them(engine):
    """What goes wrong between two clients' replies must leave none waiting, or taking the next reply for this one."""
    errors: list[BaseException] = []
    engine.server.reactor.on_error = lambda where, error: errors.append(error)
    clients = [Raw(engine) for _ in range(3)]
    real = engine.server.limits.check_output

    def broken(client):
        raise ZeroDivisionError

    engine.server.limits.check_output = broken
    huge = encode("GET", "big") * 40       # more than a socket takes: something is queued, and the limit is asked
    for client, piece in zip(clients, [encode("PING"), huge, encode("ECHO", "late")]):
        client.sock.sendall(piece)
    for _ in range(10):
        try:
            engine.server.reactor.poll()
        except ZeroDivisionError as error:
            errors.append(error)
    engine.server.limits.check_output = real
    got = [client.turn() + client.turn() for client in clients]
    assert errors
    assert got[0] == b"+PONG\r\n" and not clients[0].closed
    assert clients[1].closed
    assert got[2] in (b"", b"$4\r\nlate\r\n") and clients[2].closed == (got[2] == b"")


def test_a_client_that_leaves_before_its_reply(engine):
    clients = [Raw(engine) for _ in range(3)]
    clients[1].sock.sendall(encode("SET", "left", "1") + encode("GET", "big"))
    clients[1].sock.close()
    clients[0].sock.sendall(encode("PING"))
    clients[2].sock.sendall(encode("PING"))
    for _ in range(3):
        engine.server.reactor.poll()
    assert clients[0].turn() == clients[2].turn() == b"+PONG\r\n"
    assert engine("GET left") == b"1"
    assert len(engine.server.clients) == 3


@pytest.mark.parametrize("seed", range(5))
def test_random_crowds(engine, seed):
    """Random pipelines of many clients at once, in random pieces: the stream of each is what it would get alone."""
    rng = random.Random(seed)
    clients = [Raw(engine) for _ in range(12)]
    sent, wanted = [b""] * 12, [b""] * 12
    for at in range(12):
        for n in range(rng.randrange(60)):
            word = b"%d:%d" % (at, n) + b"." * rng.choice([0, 10, 5000])
            sent[at] += encode("ECHO", word)
            wanted[at] += b"$%d\r\n%b\r\n" % (len(word), word)
    got = [b""] * 12
    while any(sent):
        pieces = [data[:rng.choice([0, 1, 500, 30_000])] for data in sent]
        sent = [data[len(piece):] for data, piece in zip(sent, pieces)]
        got = [before + more for before, more in zip(got, together(clients, pieces))]
    assert got == wanted


def test_keys_that_were_looked_at_ahead_are_each_clients_own(engine):
    """All keys and requests are of one size, so they lie at the same places of the read buffer turn after turn."""
    rng = random.Random(11)
    clients = [Raw(engine) for _ in range(12)]
    kept: dict[bytes, bytes] = {}
    for turn in range(300):
        chosen = rng.sample(clients, rng.randint(1, 12))
        pieces, expected = [], []
        for _ in chosen:
            piece, answer = b"", b""
            for _ in range(rng.choice((1, 1, 1, 3))):
                key, value = b"key:%02d" % rng.randrange(20), b"%06d" % turn
                if rng.random() < 0.5:
                    piece, answer = piece + encode(b"SET", key, value), answer + b"+OK\r\n"
                    kept[key] = value
                else:
                    piece += encode(b"GET", key)
                    answer += b"$6\r\n%b\r\n" % kept[key] if key in kept else b"$-1\r\n"
            pieces.append(piece)
            expected.append(answer)
        for client, piece in zip(chosen, pieces):
            client.sock.sendall(piece)
        got = [b""] * len(chosen)
        for _ in range(3):
            for at, client in enumerate(chosen):
                got[at] += client.turn()
        assert got == expected


def test_readers_have_an_effect_before_its_reply_leaves(engine):
    """Once per turn, for all clients of the turn."""
    client, other = Raw(engine), Raw(engine)
    fed: list[bytes] = []

    class Reader:
        def feed(self, data: bytes) -> None:
            fed.append(data)
            for one in (client, other):
                with pytest.raises(BlockingIOError):
                    one.sock.recv(1)

    engine.server.journal.add_reader(Reader())
    client.sock.sendall(encode(b"SET", b"k", b"1") + encode(b"INCR", b"k"))
    other.sock.sendall(encode(b"GET", b"k") + encode(b"APPEND", b"k", b"x"))
    assert client.turn() + other.turn() == b"+OK\r\n:2\r\n$1\r\n2\r\n:2\r\n"
    assert len(fed) == 1 and [fed[0].count(word) for word in (b"SELECT", b"SET", b"INCR", b"APPEND")] == [1, 1, 1, 1]
