"""CONFIG SET through the proxy: what each engine gets, what comes back where one refuses, who else is told."""
from collections.abc import Iterator

import pytest

from harness.resp import OK, Error
from unit.proxy.rig import Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig(3)
    rig.told = []
    rig.server.on_configured = rig.told.append
    for engine in rig.engines:
        engine.auto = lambda request: b"+OK\r\n"
    yield rig
    rig.close()


def got(rig: Rig) -> list[list[list[bytes]]]:
    """What each engine was told to set."""
    return [[request[2:] for request in engine.take() if request[:2] == [b"CONFIG", b"SET"]] for engine in rig.engines]


def test_each_engine_gets_its_share_of_maxmemory(rig):
    c = rig.client()
    assert c("CONFIG SET maxmemory 10mb timeout 5 hz 20") == OK
    assert got(rig) == [[[b"maxmemory", share, b"timeout", b"5", b"hz", b"20"]] for share in (b"3495254", b"3495253",
                                                                                             b"3495253")]
    assert c("CONFIG GET maxmemory") == [b"maxmemory", b"10485760"]
    assert got(rig) == [[]] * 3, "the whole is known here"
    assert rig.told == [{"maxmemory": "10485760", "timeout": "5", "hz": "20"}]


def test_who_has_more_data_gets_a_larger_share(rig):
    for engine, used in zip(rig.engines, (800, 10, 10)):
        engine.auto = lambda request, used=used: b"+OK\r\n" if request[0] == b"CONFIG" else \
            b'$%d\r\n{"held_bytes": %d}\r\n' % (16 + len(str(used)), used)
    assert rig.client()("CONFIG SET maxmemory 1200") == OK
    assert got(rig) == [[[b"maxmemory", b"867"]], [[b"maxmemory", b"167"]], [[b"maxmemory", b"166"]]]


def test_a_refusal_sets_back_the_shares(rig):
    c = rig.client()
    assert c("CONFIG SET maxmemory 9000") == OK
    got(rig)
    rig.engines[1].auto = lambda request: b"-ERR no\r\n"
    assert c("CONFIG SET maxmemory 12000") == Error("ERR no")
    assert got(rig) == [[[b"maxmemory", b"4000"], [b"maxmemory", b"3000"]], [[b"maxmemory", b"4000"]],
                        [[b"maxmemory", b"4000"], [b"maxmemory", b"3000"]]]
    assert c("CONFIG GET maxmemory") == [b"maxmemory", b"9000"]
    assert len(rig.told) == 1, "nobody hears of what failed"


def test_what_engines_do_not_read_stays_here(rig):
    c = rig.client()
    assert c("CONFIG SET nosuch 1").code == "ERR"
    assert c("CONFIG SET cluster-announce-ip 10.0.0.1") == OK
    assert rig.told == [{"cluster-announce-ip": "10.0.0.1"}]


def test_another_proxy_s_change_is_taken_over_without_asking_engines(rig):
    control = rig.client()
    assert rig.server.control(control.session, [b"SHARDD", b"CONFIG", b"maxmemory", b"7mb", b"timeout", b"9"]) == OK
    assert rig.server.config["maxmemory"] == 7 * 1024**2 and rig.server.config["timeout"] == 9
    assert got(rig) == [[]] * 3 and rig.told == []
