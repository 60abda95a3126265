"""import: what the process is told, and what of it is shown."""
import os
from dataclasses import replace

import pytest

from ctl_fakes import FakeSource, ctl
from shardd.cluster.topology import DOWN
from shardd.ctl import importing

TOLD = {"error": None, "keys": 7, "kept": 2, "expired": 1, "empty": 0, "unsupported": {"stream": 3}}


@pytest.fixture
def source(monkeypatch):
    source = FakeSource()
    source.jobs = []

    def follow(job, progress):
        source.jobs.append(job)
        progress.say("50% of 1.0M are imported")
        return source.told

    source.told = TOLD
    monkeypatch.setattr(importing, "follow", follow)
    return source


def test_the_process_is_told_who_has_which_slots(source, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    done = ctl(source, "import", "dump.rdb", "--existing", "skip", "--skip-unsupported")
    assert done.code == 0
    [job] = source.jobs
    assert [engine["slots"] for engine in job["engines"]] == [((0, 8191),), ((8192, 16383),)]
    assert job["file"] == str(tmp_path / "dump.rdb") and job["parent"] == os.getpid() and job["share"] == 25
    assert (job["existing"], job["skip_unsupported"]) == ("skip", True)
    assert done.out.splitlines() == ["50% of 1.0M are imported", "7 keys imported; 2 that were there already stayed as "
                                     "they were; 1 were past their time; 3 stream left out"]


def test_a_failure(source):
    source.told = TOLD | {"error": "it is damaged"}
    done = ctl(source, "import", "x")
    assert (done.code, done.error) == (1, "it is damaged")
    done = ctl(source, "import", "x", "--json")
    assert done.code == 1 and not done.json["ok"] and done.json["keys"] == 7


def test_all_engines_are_needed(source):
    engines = (replace(source.map.engines[0], state=DOWN), source.map.engines[1])
    source.map = source.map.next(engines=engines)
    assert "engine 0 is down" in ctl(source, "import", "x").error and source.jobs == []


def test_a_process_that_ends_by_itself(monkeypatch):
    from shardd.ctl.link import CtlError
    from shardd.ctl.progress import Progress
    from shardd.ctl.show import Screen

    command = ["sh", "-c", "echo oops >&2; exit 3"]
    monkeypatch.setattr(importing, "command_of", lambda module: (command, dict(os.environ)))
    with pytest.raises(CtlError, match="ended by itself: oops"), Progress(Screen(True)) as progress:
        importing.follow({}, progress)
