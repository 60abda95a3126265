"""One engine of three loads its data: its keys get -LOADING, all others are served, and no write of several begins."""
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness.resp import OK, Error
from shardd.base import errors
from unit.proxy.rig import Rig

LOADING = Error(errors.LOADING.decode())


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    rig.engines[1].auto = lambda request: b"-" + errors.LOADING + b"\r\n"
    loads(rig, True)
    yield rig
    rig.close()


def loads(rig: Rig, loading: bool) -> None:
    info = replace(rig.engines[1].info, state="down" if loading else "up", loading=loading)
    rig.install(rig.server.topology.with_engine(info))
    rig.turn()


def test_its_keys_are_refused_by_itself_and_others_are_served(rig):
    c = rig.client()
    assert c("SET", rig.key(0), "v") == OK and c("SET", rig.key(2), "v") == OK
    assert c("SET", rig.key(1), "v") == LOADING
    assert len(rig.engines[1].take()) == 1, "it knows best when it is ready"
    rig.engines[1].auto = lambda request: b"+OK\r\n"
    assert c("SET", rig.key(1), "v") == OK


@pytest.mark.parametrize("line", ["FLUSHALL", "FLUSHDB"])
def test_what_writes_everywhere_begins_nowhere(rig, line):
    assert rig.client()(line) == LOADING
    assert [engine.take() for engine in rig.engines] == [[], [], []]


def test_an_mset_with_a_part_there_begins_nowhere(rig):
    c = rig.client()
    assert c("MSET", rig.key(0), 1, rig.key(1), 2) == LOADING
    assert [engine.take() for engine in rig.engines] == [[], [], []]
    assert c("MSET", rig.key(0), 1, rig.key(2), 2) == OK


@pytest.mark.parametrize("line", ["DBSIZE", "KEYS *"])
def test_what_reads_everywhere_says_so(rig, line):
    assert rig.client()(line) == LOADING


def test_when_it_has_loaded_all_is_as_before(rig):
    loads(rig, False)
    rig.engines[1].auto = lambda request: b"+OK\r\n"
    assert rig.client()("FLUSHALL") == OK


def test_an_engine_that_was_up_and_died_is_reached_while_it_loads(rig):
    loads(rig, False)
    rig.engines[1].die()
    info = rig.engines[1].info
    rig.install(rig.server.topology.with_engine(replace(info, state="down")))
    rig.turn()
    rig.engines[1].listen()
    rig.turn()
    assert not rig.engines[1].links, "the supervisor has not seen it yet"
    loads(rig, True)
    assert rig.client()("SET", rig.key(1), "v") == LOADING
