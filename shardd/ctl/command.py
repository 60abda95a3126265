"""What a subcommand of shardctl is, and what it gets.

Owns: the form that main.py puts together into a command line. Does not own any subcommand.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from shardd.ctl.show import Screen
from shardd.ctl.source import Source


@dataclass
class App:
    """One invocation. options: the parsed command line."""

    options: argparse.Namespace
    screen: Screen
    source: Source

    @property
    def as_json(self) -> bool:
        return self.screen.as_json


def no_arguments(parser: argparse.ArgumentParser) -> None:
    """For a subcommand without any."""


@dataclass(frozen=True)
class Command:
    """A subcommand.

    help: one line for the list; about: a paragraph for its own help. fields: the JSON fields, name (with dots and []
    for what is inside) -> meaning: they are a promise, a test compares them with what is printed. asks_server: a server
    that is named on the command line is asked itself, even where its supervisor is within reach. late: whom to ask is
    found out when somebody is asked: it may be nobody.
    """

    name: str
    help: str
    about: str
    run: Callable[[App], int]
    fields: Mapping[str, str]
    arguments: Callable[[argparse.ArgumentParser], None] = no_arguments
    examples: tuple[str, ...] = field(default=())
    asks_server: bool = False
    late: bool = False


def field_names(value: Any, prefix: str = "") -> set[str]:
    """The names of all fields of a JSON value in the form of Command.fields: {"a": [{"b": 1}]} -> {"a", "a[].b"}."""
    if isinstance(value, dict):
        found = set()
        for name, inner in value.items():
            found |= {f"{prefix}{name}"} | field_names(inner, f"{prefix}{name}.")
        return found
    if isinstance(value, list):
        inner_prefix = f"{prefix.removesuffix('.')}[]." if prefix else "[]."
        return set().union(*(field_names(inner, inner_prefix) for inner in value))
    return set()
