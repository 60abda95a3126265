"""CPU time and memory of trees of processes: real ones, since the kernel's account is what is read."""
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench import accounting
from bench.accounting import Cpu

# a parent with a child, which does as it is told and then waits; both end with their stdin
FAMILY = """
import os, subprocess, sys, time
work = sys.argv[1]
work += "\\nprint(os.getpid(), flush=True); sys.stdin.read()"
child = subprocess.Popen([sys.executable, "-c", work])
sys.stdin.read()
"""
HEAD = "import os, sys, time\n"


def family(work: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", FAMILY, HEAD + work], text=True, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)


@pytest.fixture
def burners() -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A parent, and the pid of its child, which has used 50 ms of CPU time."""
    parent = family("while time.process_time() < 0.05: pass")
    assert parent.stdout and parent.stdin
    yield parent, int(parent.stdout.readline())
    parent.stdin.close()
    parent.wait()
    parent.stdout.close()


def test_a_tree_is_the_process_and_all_below_it(burners):
    parent, child = burners
    assert accounting.tree(parent.pid) == [parent.pid, child]
    assert {parent.pid, child} < set(accounting.tree(os.getpid()))


def test_the_time_of_a_child_counts(burners):
    parent, child = burners
    assert accounting.cpu(child).total_s >= 0.05
    together = accounting.cpu(parent.pid)
    assert together.total_s >= 0.05 + time.clock_gettime(accounting.cpu_clock(parent.pid)) * 0.5
    assert together.user_s + together.system_s <= together.total_s + 0.001
    assert together.total_s - (together.user_s + together.system_s) < 4 * 2 * accounting.tick_s()


def test_the_clock_of_a_process_is_that_process_s_own():
    before = time.process_time()
    read = time.clock_gettime(accounting.cpu_clock(os.getpid()))
    assert before <= read <= time.process_time()


def test_memory_of_a_child_counts():
    empty, full = family("pass"), family("held = b'x' * 50_000_000")
    try:
        for one in (empty, full):
            assert one.stdout and one.stdout.readline()
        assert 48_000_000 < accounting.pss_bytes(full.pid) - accounting.pss_bytes(empty.pid) < 60_000_000
    finally:
        for one in (empty, full):
            one.communicate()


def test_who_is_gone_has_nothing():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert accounting.tree(process.pid) == []
    assert accounting.cpu(process.pid) == Cpu(0, 0, 0)
    assert accounting.pss_bytes(process.pid) == 0


def test_per_command():
    used = Cpu(3.0, 1.0, 1.5) - Cpu(1.0, 0.5, 0.0)
    assert used == Cpu(2.0, 0.5, 1.5)
    assert used.per_command(1000) == pytest.approx({"total_us": 2000, "user_us": 500, "system_us": 1500})
    # two ticks say little of how they were spent
    assert Cpu(0.02, 0.02, 0).per_command(1000) == {"total_us": pytest.approx(20), "user_us": None, "system_us": None}
