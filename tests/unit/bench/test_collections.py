"""The cases of collections: what they send, what they stand on, and how their figures are judged."""
import argparse

import pytest

from bench import collections, goals
from bench.load import workload
from bench.servers import BenchError


def test_every_case_can_be_sent_and_has_its_data():
    for case in collections.CASES:
        argv = case.shot().argv(1, {0})
        assert argv.count("--command") == len(case.commands) and "-t" not in argv
        for command in case.commands:
            compiled = workload.compiled(workload.Template(case.name, workload.words_of(command)))
            assert compiled["key"] is not None, command
        first = next(collections.data(case.data))
        assert first[0] in ("HSET", "SADD", "RPUSH", "ZADD", "MSET")


@pytest.mark.parametrize("name, elements", [("h many", 1_000_000), ("z one", 1_000_000), ("g", 1_000_000)])
def test_a_data_set_has_a_million_elements(name, elements):
    words = {"h": 2, "z": 2, "g": 2}[name[0]]
    assert sum((len(command) - 2) // words for command in collections.data(name)) == elements


def test_elements_are_named_as_the_load_names_them():
    case = next(case for case in collections.CASES if case.name == "hget" and case.shape == "many")
    assert len(case.commands) == collections.EACH
    assert case.commands[7] == f"HGET h:__rand_1st__ {collections.member(7)}"
    assert next(collections.data("h many"))[2:4] == (collections.member(0), "x" * 32)
    assert len(collections.member(999_999)) == 16


def row(ours: float, peer: float = 1.0, case: str = "hget") -> dict:
    def one(us: float) -> dict:
        return {"total_us": us, "rps": 1e6, "rounds": [{"total_us": us}, {"total_us": us * 1.1}]}
    return {"case": case, "shape": "one", "ours": one(ours), "peer": one(peer)}


def test_cpu_is_judged_by_each_row_and_by_the_median():
    text = collections.cpu_table([row(0.5), row(0.7), row(1.2)], "ours", "peer", True)
    assert text.count("<= 1.00, met") == 2 and text.count("<= 1.00, missed") == 1
    assert f"Median of the ratios: 0.70 (<= {goals.COLLECTION_RATIO:.2f}, met); largest: 1.20." in text
    assert "met" not in collections.cpu_table([row(0.5)], "ours", "peer", False)
    assert "Median" not in collections.cpu_table([row(0.5)], "ours", None, False)


def test_memory_is_judged_by_each_row_and_by_their_half():
    found = {"peer": dict.fromkeys(collections.MEMORY, 10.0), "ours": dict.fromkeys(collections.MEMORY, 8.0)}
    found["ours"]["intset of 500"] = 10.5
    text = collections.memory_table(found, "ours", "peer", True)
    assert text.count(", met") == 5 and text.count(", missed") == 1
    assert "5 of 6 at most 0.85" in text


def test_what_is_not_there_is_said(monkeypatch):
    parser = argparse.ArgumentParser()
    collections.options(parser)
    with pytest.raises(BenchError, match="there is no hgetnothing"):
        collections.run(parser.parse_args(["--cases", "hget,hgetnothing"]))
    with pytest.raises(BenchError, match="there is no few"):
        collections.run(parser.parse_args(["--shapes", "few"]))
    with pytest.raises(BenchError, match="--peer: 'x' is not NAME=COMMAND"):
        collections.run(parser.parse_args(["--peer", "x"]))


class FakeSocket:
    def __init__(self, replies: list[bytes]) -> None:
        self.replies = replies

    def recv(self, size: int) -> bytes:
        return self.replies.pop(0)


def test_a_refused_fill_is_an_error():
    class Connection:
        sock = FakeSocket([b":1\r\n:2", b"\r\n-OOM no\r\n"])
    collections._confirm(Connection, 1)
    with pytest.raises(BenchError, match="-OOM no"):
        collections._confirm(Connection, 2)
