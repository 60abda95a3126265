"""What a process arranges with its host."""

import os
import resource
import subprocess
import sys

import pytest

from shardd.base.errors import ConfigError
from shardd.base.limits import RESERVED_FDS
from shardd.base.process import ENGINE_LOCK, cpu_list, enter_directory, lock_directory, pid_file, use_cpus


def test_the_id_is_in_the_file_while_it_runs(tmp_path):
    path = tmp_path / "x.pid"
    told: list[str] = []
    with pid_file(str(path), told.append):
        assert path.read_text() == f"{os.getpid()}\n"
    assert not path.exists()
    with pid_file("", told.append):
        pass
    assert told == []


def test_a_file_that_cannot_be_written_is_named_and_no_more(tmp_path):
    path = tmp_path / "gone" / "x.pid"
    told: list[str] = []
    with pid_file(str(path), told.append):
        pass
    assert told == [f"pidfile '{path}': can't write the file: No such file or directory"]


def test_a_directory_that_cannot_be_entered_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"dir '.*/gone': can't change to this directory: No such file or directory"):
        enter_directory(str(tmp_path / "gone"))


def fit(clients: int, soft: int, hard: int) -> tuple[int, int]:
    """room_for_clients in a process that may not raise its hard limit: (its answer, the soft limit after it)."""
    code = ("import resource; from shardd.base import process\n"
            "set_limits = resource.setrlimit\n"
            f"set_limits(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
            "def setrlimit(which, pair):\n"
            f"    if pair[1] > {hard}: raise ValueError('not allowed to raise maximum limit')\n"
            "    set_limits(which, pair)\n"
            "resource.setrlimit = setrlimit\n"
            f"print(process.room_for_clients({clients}), resource.getrlimit(resource.RLIMIT_NOFILE)[0])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer, limit = done.stdout.split()
    return int(answer), int(limit)


def test_the_soft_limit_is_raised_as_far_as_needed():
    assert fit(200, 100, 1000) == (200, 200 + RESERVED_FDS)
    assert fit(200, 900, 1000) == (200, 900), "what is enough stays"


def test_the_hard_limit_bounds_the_clients():
    assert fit(2000, 100, 1000) == (1000 - RESERVED_FDS, 1000)
    assert fit(2**32 - 1, 100, 1000) == (1000 - RESERVED_FDS, 1000)
    assert fit(2000, 50, 50)[0] < 0, "not even one"


def test_the_hard_limit_is_raised_where_that_is_allowed():
    if os.geteuid() != 0:
        return
    code = ("import resource; from shardd.base.process import room_for_clients\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 200))\n"
            "print(room_for_clients(500), resource.getrlimit(resource.RLIMIT_NOFILE))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout in (f"500 ({500 + RESERVED_FDS}, {500 + RESERVED_FDS})\n", f"{200 - RESERVED_FDS} (200, 200)\n")
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 0


def test_a_directory_has_one_writer_and_a_forked_child_is_none(tmp_path):
    code = "import sys; from shardd.base.process import lock_directory; print(lock_directory(sys.argv[1]) is not None)"

    def free() -> bool:
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
        return done.stdout.strip() == "True"

    fd = lock_directory(str(tmp_path))
    assert fd is not None and not free()
    assert os.listdir(tmp_path) == [ENGINE_LOCK]
    started, go = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:        # a snapshot's child, which outlives its engine
        os.write(started[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(started[0], 1)
    os.close(fd)
    assert free()
    os.write(go[1], b"x")
    os.waitpid(pid, 0)
    for end in (*started, *go):
        os.close(end)


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path):
    with pytest.raises(FileNotFoundError):
        lock_directory(str(tmp_path / "nothing"))


@pytest.mark.parametrize("text, cores", [
    ("0", {0}), ("0,2-4", {0, 2, 3, 4}), ("8-15:2", {8, 10, 12, 14}), (" 1 , 3 ", {1, 3}), ("5-5:7", {5}),
    ("", set()), ("a", set()), ("1,", set()), ("-1", set()), ("1-", set()), ("3-1", set()), ("1-9:0", {*range(1, 10)}),
    ("1:2", set()), ("999999", set())])
def test_lists_of_cores(text, cores):
    assert cpu_list(text) == cores


def test_a_process_stays_on_the_cores_it_is_given(monkeypatch):
    told, used = [], []
    monkeypatch.setattr(os, "sched_setaffinity", lambda pid, cores: used.append((pid, cores)))
    use_cpus("", told.append)
    use_cpus("0-1", told.append)
    use_cpus("none", told.append)
    assert used == [(0, {0, 1})] and told == ["Cannot use the cores 'none': it names no core"]


def test_cores_that_are_not_there_change_nothing():
    told, before = [], os.sched_getaffinity(0)
    use_cpus("1023", told.append)
    assert told == ["Cannot use the cores '1023': Invalid argument"] and os.sched_getaffinity(0) == before
