"""Who may fork: one after the other, in the order of asking, and nobody waits for ever."""

import pytest

from shardd.base import limits
from shardd.supervisor.turns import Turns, turns_of


class Told:
    def __init__(self, cores: int = 2) -> None:
        self.words: list[str] = []
        self.turns = Turns(cores, lambda child, granted: self.words.append(f"{child} {'go' if granted else 'wait'}"))

    def new(self) -> list[str]:
        words, self.words = self.words, []
        return words


@pytest.mark.parametrize("cores, turns", [(1, 1), (2, 1), (7, 1), (8, 2), (16, 4)])
def test_a_quarter_of_the_cores_writes_snapshots(cores, turns):
    assert turns_of(cores) == turns


def test_one_after_the_other():
    told = Told()
    for child in "abc":
        told.turns.ask(child, 0)
    assert told.new() == ["a go", "b wait", "c wait"]
    assert told.turns.holders == ["a"] and told.turns.waiting == ["b", "c"]
    told.turns.over("a", 1)
    assert told.new() == ["b go"]
    told.turns.over("b", 2)
    told.turns.over("c", 3)
    assert told.new() == ["c go"] and told.turns.holders == []


def test_who_ends_gives_up_its_turn_or_its_place():
    told = Told()
    for child in "abc":
        told.turns.ask(child, 0)
    told.new()
    told.turns.over("b", 1)
    assert told.new() == []
    told.turns.over("a", 2)
    assert told.new() == ["c go"]
    told.turns.over("nobody", 3)
    assert told.new() == []


def test_who_asks_again_has_nothing_from_before():
    told = Told()
    told.turns.ask("a", 0)
    told.turns.ask("b", 0)
    told.turns.ask("a", 1)      # a new process in its place
    assert told.new() == ["a go", "b wait", "b go", "a wait"]


def test_a_turn_without_end_holds_up_nobody():
    told = Told()
    told.turns.ask("a", 0)
    told.turns.ask("b", 0)
    told.turns.check(limits.FORK_TURN_LONGEST_MS - 1)
    assert told.new() == ["a go", "b wait"]
    told.turns.check(limits.FORK_TURN_LONGEST_MS)
    assert told.new() == ["b go"] and told.turns.holders == ["a", "b"]


def test_several_at_a_time():
    told = Told(8)
    for child in "abc":
        told.turns.ask(child, 0)
    assert told.new() == ["a go", "b go", "c wait"]
