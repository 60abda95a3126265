"""No option promises what nothing does: each is named by code that reads it, has no effect and says so, or takes no
value that would promise something."""

import ast
import re
from pathlib import Path

import pytest

from shardd.base.option_table import BY_NAME, OPTIONS, Option

ROOT = Path(__file__).parents[3]
CONF = ROOT / "conf" / "shardd.conf"

NOT_READERS = ("base/option_table.py", "commands/facts.py", "commands/info.py", "commands/table.py", "info.py")
"""Sources that name options without doing what they say: the table itself, and what shows values."""

ONLOOKER = "ctl/"
"""shardctl looks at other processes' options, and has none."""


def literals() -> set[str]:
    """The texts of all string literals of the sources that may read options."""
    found: set[str] = set()
    for package in ("shardd", "proxy"):
        for path in (ROOT / package).rglob("*.py"):
            place = str(path.relative_to(ROOT / package))
            if place in NOT_READERS or place.startswith(ONLOOKER):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


LITERALS = literals()


def bound(option: Option) -> bool:
    return bool(option.only) or option.idle


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if not bound(option)])
def test_an_option_in_force_is_read(name):
    assert name in LITERALS, "nothing reads it: implement it, or mark it idle"


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.idle])
def test_an_option_without_effect_is_not_read(name):
    """Whoever reads it gives it an effect: then the mark is wrong."""
    assert name not in LITERALS or name in READ_IDLY


READ_IDLY = {"lazyfree-lazy-user-del": "what it chooses between is the same today"}
"""Options that are read although they have no effect, with the reason."""


def sentences() -> dict[str, str]:
    """name -> what conf/shardd.conf says above it, with what its section says of all its options."""
    said: dict[str, str] = {}
    section = comment = ""
    fresh = True
    for line in CONF.read_text().splitlines():
        option = re.match(r"#?([a-z][a-z_-]*) ", line)
        if line.startswith("####"):
            section, comment, fresh = "", "", True
        elif option and option[1] in OPTIONS:
            said[option[1]] = section + comment
        elif line == "#" and fresh:
            fresh = False           # a paragraph directly under the heading is about all of the section
            section = "..."
        elif line.startswith("# "):
            if section == "..." or section.endswith("\0"):
                section = section.removesuffix("...").removesuffix("\0") + line[2:] + " \0"
            else:
                comment += line[2:] + " "
        elif not line:
            section, comment = section.removesuffix("\0"), ""
    return said


SAID = sentences()


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.idle])
def test_the_file_says_that_it_has_no_effect(name):
    assert re.search(r"[Nn]o effect", SAID[name]), SAID[name]


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.only])
def test_the_file_says_which_values_it_takes(name):
    assert re.search(r"[Oo]nly .* (is|are) accepted|accepts? only", SAID[name]), SAID[name]


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.only])
def test_a_reason_is_one(name):
    assert len(OPTIONS[name].reason) > 10


def test_names_are_complete():
    assert set(SAID) == set(OPTIONS) <= set(BY_NAME)
