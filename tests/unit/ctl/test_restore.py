"""restore: whom it asks, and what is shown; the steps themselves are tested on real trees."""
import os
import socket

import pytest

from ctl_fakes import FakeSource, ctl, make_backup
from shardd.base.errors import CommandError
from shardd.ctl import main, restore
from shardd.ctl.link import UsageError
from shardd.wire.values import OK


@pytest.fixture
def source(tmp_path):
    make_backup(tmp_path / "b", (2, 3))
    return FakeSource()


@pytest.fixture
def jobs(monkeypatch):
    jobs = []

    def stopped(job, progress):
        jobs.append(job)
        progress.say("It is done")

    monkeypatch.setattr(restore, "_stopped", stopped)
    return jobs


def test_a_backup_is_verified_without_asking_anybody(source, tmp_path, capsys):
    done = ctl(source, "restore", str(tmp_path / "b"), "--verify-only", "--json")
    assert done.code == 0 and done.json["ok"] and done.json["keys"] == 5 and source.connection.asked == []
    (tmp_path / "b" / "engine-0.rdb").write_bytes(b"x")
    assert "engine-0.rdb is damaged" in ctl(source, "restore", str(tmp_path / "b"), "--verify-only").error
    done = ctl(source, "restore", str(tmp_path / "no"), "--json")
    assert done.code == 1 and "is no backup" in done.json["error"] and done.json["keys"] is None
    assert main.run(["restore", str(tmp_path / "no"), "--verify-only", "-p", "1"]) == 1    # nobody is connected to
    assert "is no backup" in capsys.readouterr().err


@pytest.mark.parametrize("words, verb", [([], ""), (["--replace"], " REPLACE")])
def test_a_running_tree_is_told(source, tmp_path, words, verb):
    path = str(tmp_path / "b")
    source.connection.scripts[f"SHARDD RESTORE {path}{verb}".upper()] = [b"step", b"10% of it", OK]
    done = ctl(source, "restore", path, *words)
    assert (done.code, done.out) == (0, "step\n10% of it\n")


def test_what_the_supervisor_refuses(source, tmp_path):
    path = str(tmp_path / "b")
    source.connection.scripts[f"SHARDD RESTORE {path}".upper()] = [CommandError(b"ERR engine 0 holds 5 keys")]
    assert ctl(source, "restore", path).error == "engine 0 holds 5 keys"
    source.connection.scripts[f"SHARDD RESTORE {path}".upper()] = [CommandError(b"ERR engine 0 holds 5 keys")]
    done = ctl(source, "restore", path, "--json")
    assert done.code == 1 and done.json["error"] == "engine 0 holds 5 keys" and done.json["keys"] == 5


def test_a_stopped_tree(source, tmp_path, jobs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = ctl(source, "restore", "b", "--dir", ".", "--replace")
    assert done.out == "It is done\n" and source.connection.asked == []
    assert jobs == [{"backup": str(tmp_path / "b"), "words": ["--dir", str(tmp_path)], "replace": True,
                     "parent": os.getpid()}]
    (tmp_path / "x.conf").write_text(f"dir {tmp_path}\n")
    ctl(source, "restore", "b", "--conf", "x.conf")
    ctl(source, "restore", "b", "--replace", "--shardd", "x.conf", "--engines", "3")
    assert [job["words"] for job in jobs[1:]] == [["x.conf"], ["x.conf", "--engines", "3"]]
    assert "nowhere" in ctl(source, "restore", "b", "--conf", "nowhere").error


def test_it_runs_where_its_supervisor_answers(source, tmp_path, jobs, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("run/supervisor.sock")
        listener.listen()
        told = []
        monkeypatch.setattr(restore, "_running", lambda connection, *rest: told.append(connection.shown))
        ctl(source, "restore", "b", "--dir", ".")
    assert told == [str(tmp_path / "run" / "supervisor.sock")] and jobs == []
    ctl(source, "restore", "b", "--dir", ".")       # the socket's file is left, nobody listens
    assert len(jobs) == 1


def test_one_way_to_name_the_tree(source, tmp_path):
    with pytest.raises(UsageError, match="leave the other ways"):
        restore.server_words(main.parser().parse_args(["restore", "b", "--dir", "x", "--shardd", "y"]))
    assert restore.server_words(main.parser().parse_args(["restore", "b", "-p", "1"])) is None


def test_a_process_that_ends_by_itself(monkeypatch):
    from shardd.ctl.progress import Progress
    from shardd.ctl.show import Screen

    script = """echo '1:V the log'; echo '{"say": "a step"}'; echo oops >&2; exit 3"""
    monkeypatch.setattr(restore, "command_of", lambda module: (["sh", "-c", script], dict(os.environ)))
    with Progress(Screen(True)) as progress:
        assert restore._stopped({}, progress) == "the restore ended by itself: oops"
    assert progress.steps == ["a step"]
