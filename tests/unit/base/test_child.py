"""The bond between a child and the supervisor, with real processes: nobody outlives its parent."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from shardd.base import child as bond
from shardd.base.errors import CommandError
from shardd.base.options import Config

# a child that adopts, says that it is ready, and writes "gone" to a file when its parent is
CHILD = """
import asyncio, os, signal, sys
from shardd.base import child as bond

async def main():
    gone = asyncio.Event()
    parent = bond.adopt(gone.set)
    assert not any(name in os.environ for name in bond.VARIABLES)
    if sys.argv[2:] == ["term"]:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)  # the lifeline alone must do
    parent.ready(4711)
    if sys.argv[2:] == ["shutdown"]:
        parent.shutdown(save=False)
        assert parent.configured({"a": "b"})
        assert not parent.configured({"a": "b" * 100_000})
    await gone.wait()
    assert not parent.shutdown()
    open(sys.argv[1], "w").write("gone")

asyncio.run(main())
"""

# a supervisor for one child, to be killed by the test; prints the child's pid
PARENT = """
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
env = dict(os.environ, SHARDD_CONTROL="/c", SHARDD_NODE_ID="n", SHARDD_CONF="",
           SHARDD_LIFELINE=f"{theirs.fileno()}:{os.getpid()}")
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], *sys.argv[2:]], env=env, pass_fds=(theirs.fileno(),))
theirs.close()
print(child.pid, ours.recv(1000).decode(), flush=True)
child.wait()
"""


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def start(tmp_path, *mode: str):
    """A child under this process: the process and our end of its lifeline."""
    ours, theirs = socket.socketpair()
    env = dict(os.environ, SHARDD_CONTROL="/control", SHARDD_NODE_ID="ab", SHARDD_CONF="/x.conf",
               SHARDD_LIFELINE=f"{theirs.fileno()}:{os.getpid()}")
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "said"), *mode], env=env,
                               pass_fds=(theirs.fileno(),))
    theirs.close()
    ours.settimeout(20)
    return process, ours


def test_it_says_that_it_is_ready_with_its_port(tmp_path):
    process, ours = start(tmp_path)
    assert json.loads(ours.recv(1000)) == {"ready": True, "pid": process.pid, "port": 4711}
    ours.close()
    assert process.wait(20) == 0
    assert (tmp_path / "said").read_text() == "gone"


def test_it_can_ask_for_the_whole_trees_shutdown_and_tell_what_was_configured(tmp_path):
    process, ours = start(tmp_path, "shutdown")
    text = b""
    while text.count(b"\n") < 3:
        text += ours.recv(1000)
    assert [json.loads(line) for line in text.splitlines()[1:]] == [{"shutdown": True, "save": False},
                                                                    {"config": {"a": "b"}}]
    ours.close()
    assert process.wait(20) == 0


@pytest.mark.parametrize("mode, ends_by", [([], "the signal"), (["term"], "the lifeline")])
def test_it_ends_when_the_supervisor_is_killed(tmp_path, mode, ends_by):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, CHILD, str(tmp_path / "said"), *mode],
                              stdout=subprocess.PIPE, text=True)
    pid, message = parent.stdout.readline().split(" ", 1)
    assert json.loads(message)["pid"] == int(pid)
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(int(pid)))
    if ends_by == "the lifeline":
        assert (tmp_path / "said").read_text() == "gone"
    parent.stdout.close()


def test_it_notices_a_parent_that_died_before_it_came_that_far(tmp_path):
    ours, theirs = socket.socketpair()
    env = dict(os.environ, SHARDD_LIFELINE=f"{theirs.fileno()}:1", SHARDD_CONTROL="", SHARDD_NODE_ID="")
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "said")], env=env, pass_fds=(theirs.fileno(),),
                          timeout=20, check=False)
    assert done.returncode == 0 and (tmp_path / "said").read_text() == "gone"
    ours.close()
    theirs.close()


def test_nobody_is_adopted_without_a_lifeline(monkeypatch):
    monkeypatch.delenv(bond.LIFELINE, raising=False)
    assert bond.adopt(lambda: None) is None


@pytest.mark.parametrize("value", ["", "x", "99999:1", "0"])
def test_a_lifeline_that_makes_no_sense_is_refused(monkeypatch, value):
    monkeypatch.setenv(bond.LIFELINE, value)
    with pytest.raises(ValueError, match=bond.LIFELINE):
        bond.adopt(lambda: None)


def test_the_signal_is_the_one_asked_for():
    code = ("import os, signal, ctypes\nfrom shardd.base.child import die_with_parent\ndie_with_parent()\n"
            "got = ctypes.c_int()\nctypes.CDLL(None).prctl(2, ctypes.byref(got))\nprint(got.value)")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(out) == signal.SIGTERM


def test_it_gets_the_sockets_to_listen_on_and_its_generation():
    ours, theirs = socket.socketpair()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        code = ("import asyncio\nfrom shardd.base import child as bond\n"
                "async def main():\n"
                "    parent = bond.adopt(lambda: None)\n"
                "    parent.loading()\n"
                "    [sock] = parent.listeners\n"
                "    print(parent.generation, sock.getsockname()[1], sock.get_inheritable())\n"
                "asyncio.run(main())")
        env = dict(os.environ, SHARDD_LIFELINE=f"{theirs.fileno()}:{os.getpid()}", SHARDD_GENERATION="7",
                   SHARDD_LISTEN=str(listening.fileno()))
        done = subprocess.run([sys.executable, "-c", code], env=env, pass_fds=(theirs.fileno(), listening.fileno()),
                              capture_output=True, text=True, timeout=20, check=True)
        assert done.stdout.split() == ["7", str(listening.getsockname()[1]), "False"]
    theirs.close()
    assert json.loads(ours.recv(1000)) == {"loading": True}
    ours.close()


def test_sockets_that_are_not_there_are_refused(monkeypatch):
    ours, theirs = socket.socketpair()
    monkeypatch.setenv(bond.LIFELINE, f"{os.dup(theirs.fileno())}:1")
    monkeypatch.setenv(bond.LISTEN, "99999")
    with pytest.raises(ValueError, match=bond.LISTEN):
        bond.adopt(lambda: None)
    ours.close()
    theirs.close()


class Bond:
    """A lifeline with a Parent on the running loop at its one end."""

    def __init__(self) -> None:
        self.supervisor, ours = socket.socketpair()
        ours.setblocking(False)
        self.parent = bond.Parent("", "", "", os.getpid(), ours)
        self.parent._watch(asyncio.get_running_loop(), lambda: None)
        self.gone: list[str] = []

    def heard(self) -> list[dict]:
        return [json.loads(line) for line in self.supervisor.recv(1000).splitlines()]

    def say(self, *messages: dict) -> None:
        self.supervisor.send(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def close(self) -> None:
        self.parent.close()
        self.supervisor.close()


def test_an_engine_forks_when_its_turn_comes(monkeypatch):
    monkeypatch.setattr(bond.limits, "FORK_TURN_MS", 50)

    async def run() -> None:
        one = Bond()
        one.parent.fork_turn(lambda: one.gone.append("go"))
        assert one.heard() == [{"fork": True}]
        one.say({"fork": False})
        await asyncio.sleep(0.1)
        assert one.gone == [], "it was told to wait: no time-out any more"
        one.supervisor.send(b'nonsense\n[]\n{"fo')
        await asyncio.sleep(0.01)
        one.supervisor.send(b'rk": true}\n')
        await asyncio.sleep(0.01)
        one.say({"fork": True})
        await asyncio.sleep(0.01)
        assert one.gone == ["go"]
        one.parent.fork_over()
        assert one.heard() == [{"fork": False}]
        one.close()
    asyncio.run(run())


def test_an_engine_that_nobody_answers_forks_all_the_same(monkeypatch):
    monkeypatch.setattr(bond.limits, "FORK_TURN_MS", 20)

    async def run() -> None:
        one = Bond()
        one.parent.fork_turn(lambda: one.gone.append("first"))
        await asyncio.sleep(0.05)
        assert one.gone == ["first"]
        one.parent.fork_over()
        one.parent.fork_turn(lambda: one.gone.append("second"))
        one.parent.fork_over()          # it would not any more
        await asyncio.sleep(0.05)
        one.say({"fork": True})
        await asyncio.sleep(0.01)
        assert one.gone == ["first"]
        one.close()
    asyncio.run(run())


def test_the_whole_trees_cores_are_the_supervisors():
    parent = bond.Parent("", "", "", os.getpid(), socket.socket())
    assert parent.all_cpus() == os.sched_getaffinity(0)


def test_the_directory_of_a_tree_is_not_changed_at_run_time(tmp_path):
    config = Config({"dir": str(tmp_path), "enable-protected-configs": "yes"})
    bond.Parent.keep_directory(config)
    config.set_many([(b"dir", str(tmp_path).encode())])
    with pytest.raises(CommandError, match="related to argument 'dir'.*stop shardd"):
        config.set_many([(b"dir", b"/")])
    assert config["dir"] == str(tmp_path)
