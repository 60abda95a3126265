"""A hypothesis state machine: it invents the commands, drives us and the real Redis with them, shrinks what differs.

It adds to the episodes what those cannot do in bulk: three connections that see each other's writes in their own
database and protocol, pipelines cut where hypothesis likes, whole SCANs, keys that fall due between commands, and
hypothesis's taste for the edges of numbers.
"""

import time
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from differential import commands, crowd
from differential.compare import Judge, keyspace, keyspaces_differ
from differential.episode import show
from harness import Conn, Error, encode, same

STEPS = 40
CLIENTS = 3
CLIENT = st.integers(0, CLIENTS - 1)
EXAMPLES = 20
KEYS = st.sampled_from([b"{t}1", b"{t}2", b"a", b"b"])
NUMBERS = st.one_of(st.integers(-(2**63) - 1, 2**63), st.integers(-5, 20))
BYTES = st.binary(max_size=80)
# hypothesis-made words for commands whose reply does not hang on the clock
SHAPES = st.one_of(
    st.tuples(st.just(b"SET"), KEYS, BYTES), st.tuples(st.just(b"SET"), KEYS, NUMBERS),
    st.tuples(st.just(b"GET"), KEYS),
    st.tuples(st.sampled_from([b"INCRBY", b"DECRBY", b"SETNX", b"GETSET", b"APPEND"]), KEYS, NUMBERS),
    st.tuples(st.just(b"INCRBYFLOAT"), KEYS, st.floats(-1e15, 1e15).map(repr)),
    st.tuples(st.sampled_from([b"GETRANGE", b"SUBSTR"]), KEYS, NUMBERS, NUMBERS),
    st.tuples(st.just(b"SETRANGE"), KEYS, st.integers(-2, 3000), BYTES),
    st.tuples(st.just(b"PEXPIREAT"), KEYS, NUMBERS),
    st.tuples(st.just(b"LCS"), KEYS, KEYS, st.sampled_from([b"LEN", b"IDX"])),
    st.tuples(st.sampled_from([b"RENAME", b"RENAMENX", b"COPY", b"MGET", b"DEL", b"EXISTS"]), KEYS, KEYS),
    st.tuples(st.sampled_from([b"STRLEN", b"INCR", b"DECR", b"GETDEL", b"PERSIST", b"PEXPIRETIME", b"TYPE"]), KEYS))


def command_of(words: tuple) -> tuple[bytes, ...]:
    return tuple(word if isinstance(word, bytes) else str(word).encode() for word in words)


class Machine(RuleBasedStateMachine):
    """Three clients, each a connection to us and its twin to the real Redis."""

    ours = theirs = None  # () -> Conn
    profile = commands.ENGINE
    split = False

    def __init__(self) -> None:
        super().__init__()
        self.clients = [(type(self).ours(), type(self).theirs()) for _ in range(CLIENTS)]
        self.judges = [Judge(self.split) for _ in range(CLIENTS)]
        self.generators: dict[int, commands.Generator] = {}
        self.same(0, (b"FLUSHALL",))

    def same(self, client: int, command: tuple[bytes, ...]) -> None:
        mine, real = (conn(*command) for conn in self.clients[client])
        self.agreed(client, command, mine, real)

    def agreed(self, client: int, command: tuple[bytes, ...], mine: object, real: object) -> None:
        assert self.judges[client].agree(command, mine, real), (
            f"client {client}, {show(command)}: ours {mine!r}, Redis {real!r}")

    def next(self, client: int, rng) -> list[tuple[bytes, ...]]:
        generator = self.generators.setdefault(client, commands.Generator(rng, self.profile, client, CLIENTS))
        generator.rng = rng
        return generator.next()

    @rule(client=CLIENT, rng=st.randoms(use_true_random=False))
    def any_command(self, client: int, rng) -> None:
        for command in self.next(client, rng):
            self.same(client, command)

    @rule(client=CLIENT, rng=st.randoms(use_true_random=False), count=st.integers(2, 40), inline=st.booleans(),
          cuts=st.lists(st.integers(1, 4000), max_size=4))
    def pipeline(self, client: int, rng, count: int, inline: bool, cuts: list[int]) -> None:
        """Many commands before the first reply is read; each piece is on its way before the next is written."""
        batch = [command for _ in range(count) for command in self.next(client, rng)]
        data = b"".join(crowd.inline(command) if inline and crowd.fits_a_line(command) else encode(*command)
                        for command in batch)
        for conn in self.clients[client]:
            at = 0
            for cut in sorted(cuts):
                conn.send(data[at:cut])
                at = max(at, cut)
                if at < len(data):
                    time.sleep(0.0003)
            conn.send(data[at:])
        for command in batch:
            self.agreed(client, command, *(conn.read() for conn in self.clients[client]))

    @rule(client=CLIENT, words=SHAPES)
    def edge_of_a_number(self, client: int, words: tuple) -> None:
        command = command_of(words)
        self.same(client, command)
        if command[0] == b"PEXPIREAT":
            self.same(client, (b"EXISTS", command[1]))  # a moment in the past: gone in both, counted in neither

    @rule(client=CLIENT, key=KEYS)
    def fall_due(self, client: int, key: bytes) -> None:
        self.same(client, (b"SET", key, b"due", b"PX", b"1"))
        time.sleep(0.002)
        self.same((client + 1) % CLIENTS, (b"EXISTS", b"{t}other"))
        self.same(client, (b"GET", key))
        self.same(client, (b"TTL", key))

    @rule(client=CLIENT, count=st.sampled_from([b"1", b"3", b"1000"]))
    def whole_scan(self, client: int, count: bytes) -> None:
        found = []
        for conn in self.clients[client]:
            keys, cursor = set(), b"0"
            while True:
                cursor, some = conn.must("SCAN", cursor, "COUNT", count)
                keys.update(some)
                if cursor == b"0":
                    break
            found.append(keys)
        assert found[0] == found[1]

    @invariant()
    def the_same_size(self) -> None:
        for ours, theirs in self.clients:
            assert same(ours("DBSIZE"), theirs("DBSIZE"))

    def teardown(self) -> None:
        try:
            difference = keyspaces_differ(
                *(keyspace(conn, commands.DATABASES + 1) for conn in self.clients[0]), self.split)
            assert not difference, difference
        finally:
            for conn in sum(self.clients, ()):
                conn.close()


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot")
def test_the_same_as_the_real_redis(r, fleet):
    reference = fleet.server("reference")

    class Run(Machine):
        ours = staticmethod(lambda: Conn(r.server.port))
        theirs = staticmethod(reference.conn)

    Run.split = r.name == "proxy" and r.engines > 1
    run_state_machine_as_test(Run, settings=settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, derandomize=True,
        suppress_health_check=list(HealthCheck)))


def test_the_machine_finds_a_lie(oracle, fleet):
    """One wrong kind of reply, found within the machine's budget."""

    class Lying(Conn):
        def __call__(self, *args):
            reply = super().__call__(*args)
            return reply + b"?" if isinstance(reply, bytes) else reply

    class Run(Machine):
        ours = staticmethod(lambda: Lying(oracle.server.port))
        theirs = staticmethod(fleet.server("reference").conn)

    with pytest.raises(AssertionError, match=r"\?"):
        run_state_machine_as_test(Run, settings=settings(
            max_examples=100, stateful_step_count=STEPS, deadline=None, derandomize=True, phases=[Phase.generate],
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck)))


def test_errors_are_compared_by_their_text():
    assert not same(Error("ERR a"), Error("ERR b"))


def test_clients_have_no_relative_time_in_common():
    """Whether the later of two equal ones is GT hangs on the clock."""
    makers = [commands.Generator(Random(0), commands.ENGINE, lane, CLIENTS) for lane in range(CLIENTS)]
    times = [maker.relative_s() for maker in makers for _ in range(1000)]
    assert len(set(times)) == len(times)
