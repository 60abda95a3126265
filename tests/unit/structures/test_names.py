"""The name table: numbers in order, either case, pairs, names that share their first eight bytes."""
import pytest

from shardd.structures.names import NameTable
from shardd.commands import registry, table


@pytest.fixture
def full() -> "registry.Registry":
    known = registry.Registry()
    for row in table.COMMANDS.values():
        known.add_row(row, None)
    return known


def test_nothing_is_found_in_an_empty_table() -> None:
    assert NameTable().number(b"get") == -1


def test_every_command_is_found_under_its_name(full: "registry.Registry") -> None:
    assert full.names() == frozenset(table.COMMANDS)


def test_a_name_is_registered_once(full: "registry.Registry") -> None:
    with pytest.raises(AssertionError, match="there already"):
        full.add_row(table.COMMANDS["get"], None)
