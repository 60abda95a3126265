"""Where the engines' files are: what a start finds after a crash at each point, and what it refuses to touch."""

import os
import stat
from pathlib import Path

import pytest

from shardd.base.errors import ConfigError
from shardd.supervisor.layout import Layout


class Place:
    """A `dir` with some generations; `said` collects the sentences."""

    def __init__(self, path: Path, *names: str) -> None:
        self.path, self.said = path, []
        self.layout = Layout(path, self.said.append)
        for name in names:
            (path / name / "engine-0").mkdir(parents=True)
            (path / name / "engine-0" / "dump.rdb").write_text(name)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.path))

    def content(self) -> str:
        """What the only directory that is left was made as."""
        [name] = self.names()
        return name + " has " + (self.path / name / "engine-0" / "dump.rdb").read_text()


def test_a_first_start_has_generation_1_and_nothing_on_disk(tmp_path):
    place = Place(tmp_path)
    assert place.layout.settle(None) == 1 and place.names() == [] and place.said == []
    assert place.layout.settle(1) == 1, "from before there were such directories"


def test_directories_are_the_users_alone(tmp_path):
    home = Place(tmp_path).layout.home(1)
    home.make(2)
    home.make(3)
    assert home.engines() == [0, 1, 2] and home.engine(2) == tmp_path / "data-1" / "engine-2"
    for path in (home.path, *map(home.engine, range(3))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_lock_is_no_data(tmp_path):
    home = Place(tmp_path).layout.home(1)
    assert home.with_data() == []
    home.make(3)
    (home.engine(0) / "engine.lock").touch()
    (home.engine(1) / "appendonlydir").mkdir()
    assert home.with_data() == []
    (home.engine(1) / "appendonlydir" / "x.aof").write_bytes(b"12345")
    (home.engine(2) / "dump.rdb").touch()
    assert home.with_data() == [1, 2] and home.bytes_on_disk(1) == 5


@pytest.mark.parametrize("names, generation, left", [
    (["data-1", "data-2.new"], 1, "data-1 has data-1"),         # killed before the commit
    (["data-1", "data-2.new"], 2, "data-2 has data-2.new"),     # behind it
    (["data-1", "data-2"], 2, "data-2 has data-2"),
    (["data-1.old", "data-2"], 2, "data-2 has data-2"),
    (["data-1.old", "data-1", "data-2"], 2, "data-2 has data-2"),
    (["data-2"], 2, "data-2 has data-2"),
    (["data-3"], None, "data-3 has data-3"),                    # topology.json is lost
    (["data-3", "data-4.new", "data-2.old"], None, "data-3 has data-3"),
])
def test_a_start_finishes_or_undoes_what_a_crash_has_left(tmp_path, names, generation, left):
    place = Place(tmp_path, *names)
    assert place.layout.settle(generation) == int(left[5])
    assert place.content() == left
    removed = {name for name in names if name[:6] != left[:6]}
    assert len(place.said) == len(removed), place.said


@pytest.mark.parametrize("names, generation, words", [
    (["data-1", "data-2"], 1, "there is data of the newer 2"),
    (["data-1"], 2, "the data is in data-2, which is not there, but data of generation 1"),
    ([], 2, "the data is in data-2, which is not there:"),
    (["data-3"], 1, "which is not there, but data of generation 3"),
    (["data-1", "data-2"], None, "there is no topology.json, and data of the generations 1, 2"),
])
def test_what_cannot_be_understood_is_not_touched(tmp_path, names, generation, words):
    place = Place(tmp_path, *names, "data-9.new", "data-8.old")
    with pytest.raises(ConfigError, match=words) as error:
        place.layout.settle(generation)
    assert str(tmp_path) in str(error.value)
    assert place.names() == sorted([*names, "data-9.new", "data-8.old"]) and place.said == []


def test_a_new_generation_is_made_beside_the_old_one(tmp_path):
    place = Place(tmp_path, "data-1")
    home = place.layout.begin(2, 3)
    assert home.engines() == [0, 1, 2] and place.names() == ["data-1", "data-2.new"]
    (home.engine(2) / "half").touch()
    home = place.layout.begin(2, 1)     # tried again: from the start
    assert home.engines() == [0] and home.with_data() == []
    place.layout.publish(2)
    assert place.names() == ["data-1", "data-2"]
    place.layout.retire(1)
    place.layout.retire(1)
    assert place.names() == ["data-2"]


def test_other_names_are_nobodys_business(tmp_path):
    place = Place(tmp_path, "data-1")
    for name in ("data-0", "data-x", "data-1.bak", "data-02"):
        (tmp_path / name).mkdir()
    (tmp_path / "data-7").touch()
    assert place.layout.settle(1) == 1
    assert len(place.names()) == 6
