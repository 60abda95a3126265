"""SCAN through the proxies of three engines, while others write: what stays is found, whatever the tables do."""

import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from harness.conn import Conn
from harness.servers import Server
from shardd.structures.slots import slot_of

ENGINES = 3
SPREAD = {b"stay:%d" % n for n in range(3000)}
DEEP = {b"{%b}stay:%d" % (tag, n) for tag in (b"a", b"b", b"c", b"d") for n in range(300)}


@pytest.fixture(scope="module")
def tree() -> Iterator[Server]:
    with Server("tree", engines=ENGINES, proxies=2) as server:
        yield server


def put(c: Conn, names: list[bytes]) -> None:
    for at in range(0, len(names), 500):
        c.must("MSET", *[word for name in names[at:at + 500] for word in (name, b"v")])


def scan(c: Conn, *options: Any) -> tuple[list[bytes], int]:
    """A whole iteration, and of how many calls."""
    found, cursor, calls = [], b"0", 0
    while True:
        cursor, keys = c.must("SCAN", cursor, *options)
        assert cursor.isdigit() and int(cursor) < 2**64, "a plain unsigned 64-bit decimal"
        found += keys
        calls += 1
        assert calls < 200_000, "the iteration does not end"
        if cursor == b"0":
            return found, calls


class Churn:
    """Writers that make slots grow and shrink: many keys of few slots, and keys all over."""

    def __init__(self, tree: Server, writers: int = 2) -> None:
        self._stop = threading.Event()
        self.rounds = [0] * writers
        self.errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(tree, number)) for number in range(writers)]

    def _write(self, tree: Server, number: int) -> None:
        rng = random.Random(number)
        try:
            with tree.conn() as c:
                while not self._stop.is_set():
                    tag = rng.choice([b"{a}", b"{b}", b"{c}", b"{d}", b""])
                    names = [b"%bgo:%d:%d" % (tag, number, n) for n in range(rng.choice([50, 800, 3000]))]
                    put(c, names)
                    for at in range(0, len(names), 500):
                        c.must("UNLINK", *names[at:at + 500])
                    self.rounds[number] += 1
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self) -> "Churn":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert not self.errors, self.errors


def test_what_stays_is_found_while_tables_resize(tree):
    assert len({slot_of(tag) * ENGINES // 16384 for tag in (b"a", b"b", b"c", b"d")}) == ENGINES
    with tree.conn() as c, tree.conn() as other, Churn(tree) as churn:
        put(c, sorted(SPREAD | DEEP))
        for options in (("COUNT", 100), ("COUNT", 1000), ("COUNT", 37, "TYPE", "string")):
            found, _ = scan(c, *options)
            assert SPREAD | DEEP <= set(found)
        found, _ = scan(other, "COUNT", 200, "MATCH", "*stay:*")
        assert set(found) == SPREAD | DEEP, "and nothing that does not match"
        found, _ = scan(other, "COUNT", 50, "MATCH", "{b}stay*")
        assert set(found) == {name for name in DEEP if name.startswith(b"{b}")}
        assert all(churn.rounds), "the writers have written meanwhile"


def test_several_iterations_go_on_side_by_side_over_the_proxies(tree):
    """A cursor belongs to nobody: each call may come by another connection, and so by another proxy."""
    with tree.conn() as first:
        put(first, sorted(SPREAD))
        conns = [tree.conn() for _ in range(8)]
        cursors, found = [b"0"] * 3, [set() for _ in range(3)]
        going = {0, 1, 2}
        rng = random.Random(7)
        with Churn(tree, 1):
            while going:
                number = rng.choice(sorted(going))
                cursors[number], keys = rng.choice(conns).must("SCAN", cursors[number], "COUNT", 90 + number)
                found[number].update(keys)
                if cursors[number] == b"0":
                    going.discard(number)
        assert all(SPREAD <= one for one in found)
        for conn in conns:
            conn.close()


def test_few_keys_take_few_calls(tree):
    with tree.conn() as c:
        c.must("FLUSHALL")
        found, calls = scan(c)
        assert found == [] and calls == 1
        put(c, [b"x%d" % n for n in range(9)])
        found, calls = scan(c)
        assert sorted(found) == sorted(b"x%d" % n for n in range(9)) and calls <= 2 * ENGINES
