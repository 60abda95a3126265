"""The engines' shares of maxmemory over fake engines: who is asked, who is told, in which order."""
import asyncio
from typing import Any

import pytest

from shardd.supervisor.shares import Shares


class FakeEngine:
    """used: bytes it holds; share: what it has; None: it does not answer."""

    def __init__(self, told: list, index: int, used: int | None, share: int) -> None:
        self.told, self.index, self.used, self.share = told, index, used, share

    async def facts(self) -> dict[str, Any]:
        return {} if self.used is None else {"held_bytes": self.used, "maxmemory_bytes": self.share}

    async def set_config(self, values: dict[str, str]) -> None:
        assert self.used is not None
        self.share = int(values["maxmemory"])
        self.told.append((self.index, self.share))


class FakeSupervisor:
    def __init__(self, total: int, *engines: tuple[int | None, int]) -> None:
        self.told: list = []
        self.config = {"maxmemory": total}
        self.engines = [FakeEngine(self.told, index, *one) for index, one in enumerate(engines)]
        self.said: list[str] = []
        self.shares = Shares(self)

    def noted(self, sentence: str) -> None:
        self.said.append(sentence)

    def round(self) -> list:
        del self.told[:]
        asyncio.run(self.shares.follow())
        return list(self.told)


def test_those_that_get_less_are_told_first():
    tree = FakeSupervisor(1000, (100, 500), (500, 500))
    assert tree.round() == [(0, 313), (1, 687)]
    assert tree.said == ["The engines' shares of maxmemory are 313, 687 now"]
    tree = FakeSupervisor(1000, (500, 500), (100, 500))
    assert tree.round() == [(1, 312), (0, 688)]


def test_little_changes_are_not_told():
    tree = FakeSupervisor(1000, (100, 313), (510, 687))
    assert tree.round() == []


def test_what_does_not_add_up_is_put_right():
    tree = FakeSupervisor(1000, (1, 500), (1, 400))
    assert tree.round() == [(1, 500)]
    assert tree.round() == []


def test_an_engine_that_does_not_answer_keeps_its_share():
    tree = FakeSupervisor(1000, (100, 500), (500, 500))
    tree.round()
    before = [engine.share for engine in tree.engines]
    tree.engines[1].used = None
    assert tree.round() == [] and [engine.share for engine in tree.engines] == before
    assert tree.shares.of(1) == before[1], "and so does its successor"
    tree.config["maxmemory"] = 2000
    assert tree.shares.of(1) == 1000, "of another whole it gets an even part"


@pytest.mark.parametrize("total, engines", [(0, 2), (1000, 1)])
def test_without_need_nobody_is_asked(total, engines):
    tree = FakeSupervisor(total, *[(0, 0)] * engines)
    tree.shares.begin()     # would need an event loop


def test_another_option_set_meanwhile_wins():
    tree = FakeSupervisor(1000, (100, 500), (500, 500))

    async def set_config(values):
        tree.config["maxmemory"] = 7000
    tree.engines[0].set_config = set_config
    assert tree.round() == []
