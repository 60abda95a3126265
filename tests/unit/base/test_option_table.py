"""The table of options: sound in itself, and in agreement with conf/shardd.conf both ways."""

import re
from pathlib import Path

import pytest

from shardd.base.option_table import BY_NAME, OPTIONS, UNSUPPORTED, engine_share
from shardd.base.options import Config, parse_value, split_words

CONF = Path(__file__).parents[3] / "conf" / "shardd.conf"

STARTS_WITH_ANOTHER_VALUE = {"bind": "a fresh server is reachable from its own host only"}
"""Options that conf/shardd.conf sets to something else than the default, with the reason."""


def conf_options() -> dict[str, list[tuple[bool, list[str]]]]:
    """name -> [(active, words)] of conf/shardd.conf, commented out or not."""
    found: dict[str, list[tuple[bool, list[str]]]] = {}
    for line in CONF.read_text().splitlines():
        match = re.fullmatch(r"(#?)([a-z][a-z_-]*) (.*)", line)
        if match:
            found.setdefault(match[2], []).append((not match[1], split_words(match[3])))
    return found


def test_every_option_is_in_the_file_and_every_line_of_the_file_is_an_option():
    assert set(conf_options()) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_file_shows_the_default(name):
    option = OPTIONS[name]
    default = Config()[name]
    value = default
    for active, words in conf_options()[name]:
        if active and name in STARTS_WITH_ANOTHER_VALUE:
            return
        line = parse_value(option, words)
        value = option.kind.merge(value, line)
    assert value == default


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_explained_above_its_line(name):
    lines = CONF.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if re.match(rf"#?{name} ", line))
    while re.match(r"#?[a-z][a-z_-]* ", lines[place]):
        place -= 1
    assert lines[place].startswith("# ")


def test_the_file_loads_and_changes_nothing_but_what_it_says():
    assert set(Config.load([str(CONF)], "shardd").changed()) == set(STARTS_WITH_ANOTHER_VALUE)


def test_the_file_fits_the_line_length():
    assert [line for line in CONF.read_text().splitlines() if len(line) > 120] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_is_described(name):
    option = OPTIONS[name]
    assert option.help.endswith((".", ")")) and len(option.help) > 10
    assert option.readers <= {"supervisor", "engine", "proxy"} and option.readers
    assert not option.only or option.reason
    assert not (option.only and option.idle)


def test_names_are_unique():
    names = [name for option in OPTIONS.values() for name in (option.name, *option.aliases)]
    assert len(names) == len(set(names)) == len(BY_NAME)
    assert not set(names) & set(UNSUPPORTED)


@pytest.mark.parametrize("name, text, engines, share", [
    ("maxmemory", "1gb", 4, "268435456"), ("maxmemory", "0", 4, "0"), ("maxmemory", "3", 4, "1"),
    ("hz", "10", 4, "10")])
def test_what_an_engine_gets_of_a_trees_value(name, text, engines, share):
    assert engine_share(name, text, engines) == share
