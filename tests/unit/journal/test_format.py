"""FORMAT.md, and the code that is bound by it: the same numbers, and no file that it does not know."""
import re
from pathlib import Path

import pytest

from harness import build

JOURNAL = Path(build.ROOT) / "shardd" / "journal"
FORMAT = (JOURNAL / "FORMAT.md").read_text()
NUMBERS = re.findall(r"^    RDB_(TYPE|OPCODE)_(\w+) = (\d+)", (JOURNAL / "rdb.pxd").read_text(), re.MULTILINE)


def section(title: str) -> str:
    return FORMAT.split(f"### {title}\n")[1].split("\n#")[0]


@pytest.mark.parametrize("kind, title", [("TYPE", "Types"), ("OPCODE", "Opcodes")])
def test_numbers(kind, title):
    told = set(re.findall(r"^\| (\d+) \| (\w+) \|", section(title), re.MULTILINE))
    used = {(number, name) for of, name, number in NUMBERS if of == kind}
    assert told == used and len(used) > 10


def test_the_files_that_it_binds():
    """Every file of RDB data is named, and there is no other."""
    named = set(re.findall(r"`(rdb\w*)`", FORMAT.split("Bound by it:")[1].split("\n\n")[0]))
    assert named == {path.stem for path in JOURNAL.glob("rdb_*.py")}


def test_the_files_of_the_append_only_file():
    """Every other file of the journal is named, too."""
    named = set(re.findall(r"`(\w+)`", FORMAT.split("## AOF")[1]))
    assert {path.stem for path in JOURNAL.glob("*.py") if not path.stem.startswith("rdb_")} - {"__init__"} <= named
