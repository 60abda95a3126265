"""One child process: spawn, pin, talk to, signal, and see it end.

Owns: the process, the supervisor's end of its lifeline, its control link, and the files in <dir>/run that were made for
it. Does not own the decisions (watch.py), the topology, or what is in the child's conf file (plan.py).

Invariants: the lifeline's end here is open exactly as long as the process may live, and no other process has it: were
it inherited by a sibling, the supervisor's death would go unnoticed. A process is reaped by run_cycle() alone, so a pid
that is signalled is never a stranger's; the lifeline's end wakes the cycle when a child dies. A child runs in a session
of its own: Ctrl-C reaches the supervisor alone, which then stops the proxies before the engines.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import shardd
from shardd.base import child as bond
from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.base.log import Log
from shardd.supervisor.control import Link, LinkError
from shardd.supervisor.watch import Action, Decision, State, Watch

ENGINE = "engine"
PROXY = "proxy"
_MODULES = {ENGINE: "shardd.engine.main", PROXY: "proxy.main"}


class Owner(Protocol):
    """What a child needs of the supervisor."""

    log: Log
    run_dir: Path
    """Where its socket and conf file go."""
    user_conf: str
    """Path of the configuration file that the user gave, empty for none."""

    def conf_of(self, child: "Child") -> str:
        """The text of its conf file; asked before each start."""

    def woken(self) -> None:
        """Something happened that run_cycle() should look at soon."""

    def told(self, child: "Child", message: dict[str, Any]) -> None:
        """It said something over its lifeline other than `ready`."""


class Child:
    """kind: ENGINE or PROXY. index: 0, 1 ... within its kind. cpus: the cores it is pinned to, empty for none."""

    def __init__(self, kind: str, index: int, node_id: str, cpus: frozenset[int], owner: Owner) -> None:
        self.kind, self.index, self.node_id = kind, index, node_id
        self.name = f"{kind} {index}"
        self.control_path = owner.run_dir / f"{kind}-{index}.sock"
        self.conf_path = owner.run_dir / f"{kind}-{index}.conf"
        self.cpus = cpus
        self.port = 0
        self.watch = Watch(self.name.capitalize(), mono_ms())
        self.epoch = 0
        """The newest topology that it has confirmed; 0 since its last start: none."""
        self._owner, self._log = owner, owner.log
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._lines = bytearray()
        self._link: Link | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        """What is in flight over the link, by purpose; one of each at a time."""
        self._refused_epoch = 0
        self._unsent_config: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return self._process.pid if self._process is not None else 0

    @property
    def restless(self) -> bool:
        """Whether something is about to happen that nothing announces: a socket appears, a time is over, it dies."""
        return (self.watch.state in (State.STARTING, State.STOPPING, State.BACKOFF, State.DOWN)
                or (self._process is not None and self._lifeline is None))

    # --- the cycle ------------------------------------------------------------------------------------------------

    def run_cycle(self, topology_json: str | None, epoch: int) -> None:
        """One look at the child: does what is due, and starts what takes time in the background.

        topology_json: what the child should know, at `epoch`; None while there is nothing to tell.
        """
        self._reap()
        decision = self.watch.step(mono_ms())
        self._report(decision)
        if decision.action is Action.SPAWN:
            self._spawn()
        elif decision.action is Action.TERMINATE:
            self.signal(signal.SIGTERM)
        elif decision.action is Action.KILL:
            self.signal(signal.SIGKILL)
        if self.watch.state in (State.STARTING, State.UP, State.SUSPECT):
            self._talk(topology_json, epoch)

    def signal(self, signum: int) -> None:
        """To a process that has not been reaped, so the pid is still its own."""
        if self._process is not None:
            self._process.send_signal(signum)

    def stop(self, grace_ms: int = limits.STOP_GRACE_MS) -> None:
        """Begins to stop it; the next run_cycle() sends the signal."""
        self.watch.stop(mono_ms(), grace_ms)

    def configure(self, values: dict[str, str]) -> None:
        """Has it set these options as soon as it can be told; a child that starts later has them from its conf file."""
        if self.watch.running:
            self._unsent_config.update(values)

    async def status(self) -> dict[str, Any]:
        """What shardctl shows of it; the child's own answer where it gives one in time."""
        own: dict[str, Any] = {}
        if self._link is not None and not self._link.closed:
            try:
                answer = json.loads(await self._link.call("SHARDD", "STATUS"))
                own = answer if isinstance(answer, dict) else {}
            except (LinkError, CommandError, ValueError, TypeError):
                pass
        return own | {
            "kind": self.kind, "index": self.index, "id": self.node_id, "state": self.watch.state.value,
            "pid": self.pid or None, "port": self.port or None, "cpus": sorted(self.cpus),
            "restarts": self.watch.restarts, "socket": str(self.control_path), "answers": bool(own),
            "known_epoch": self.epoch,
        }

    # --- the process ----------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            write_private(self.conf_path, self._owner.conf_of(self))
            env = dict(os.environ)
            env[bond.CONTROL] = str(self.control_path)
            env[bond.LIFELINE] = f"{theirs.fileno()}:{os.getpid()}"
            env[bond.NODE_ID] = self.node_id
            env[bond.CONF] = self._owner.user_conf
            command = [*python_command(_MODULES[self.kind]), str(self.conf_path)]
            self._process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                                             start_new_session=True)
        except OSError as error:
            ours.close()
            self._report(self.watch.spawn_failed(mono_ms(), error.strerror or str(error)))
            return
        finally:
            theirs.close()
        self.watch.spawned(mono_ms())
        self._pin()
        ours.setblocking(False)
        self._lifeline, self._lines = ours, bytearray()
        self.epoch = self._refused_epoch = 0
        self._unsent_config.clear()
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read_lifeline, ours)

    def _pin(self) -> None:
        if self.cpus:
            try:
                os.sched_setaffinity(self.pid, self.cpus)
            except OSError as error:  # it died already, or the cores were taken away from this container
                self._log.warning(f"{self.name.capitalize()} cannot be pinned to its core: {error.strerror}")

    def _reap(self) -> None:
        if self._process is None:
            return
        returncode = self._process.poll()
        if returncode is not None:
            self._let_go()
            self._report(self.watch.exited(mono_ms(), returncode))

    def _let_go(self) -> None:
        """The process has ended: nothing of it is kept."""
        self._process = None
        if self._lifeline is not None:
            self._read_lifeline(self._lifeline)  # its last words may still be unread
            if self._lifeline is not None:
                self._drop_lifeline()
        if self._link is not None:
            self._link.close()
            self._link = None
        for task in self._busy.values():
            task.cancel()
        self._busy.clear()
        for path in (self.control_path, self.conf_path):
            try:
                path.unlink()
            except OSError:
                pass

    # --- the lifeline ---------------------------------------------------------------------------------------------

    def _drop_lifeline(self) -> None:
        asyncio.get_running_loop().remove_reader(self._lifeline.fileno())
        self._lifeline.close()
        self._lifeline = None

    def _read_lifeline(self, lifeline: socket.socket) -> None:
        if lifeline is not self._lifeline:
            return
        try:
            data = lifeline.recv(limits.KIB)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # it has closed its end, almost always by dying: the cycle looks at once
            self._drop_lifeline()
            self._owner.woken()
            return
        self._lines += data
        *lines, self._lines = self._lines.split(b"\n")
        for line in lines:
            self._message(line)
        if len(self._lines) > limits.CONTROL_MESSAGE_BYTES_MAX:
            self._lines.clear()

    def _message(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            port = int(message.get("port", 0))
        except (ValueError, AttributeError, TypeError):
            self._log.warning(f"{self.name.capitalize()} sent a message that makes no sense")
            return
        if message.get("ready"):
            self.port = port or self.port
            self._report(self.watch.ready(mono_ms()),
                         f": pid {self.pid}" + (f", port {self.port}" if self.port else "")
                         + (f", core {','.join(map(str, sorted(self.cpus)))}" if self.cpus else ""))
        else:
            self._owner.told(self, message)
        self._owner.woken()

    # --- the control link -----------------------------------------------------------------------------------------

    def _talk(self, topology_json: str | None, epoch: int) -> None:
        if self._link is None or self._link.closed:
            self._in_background("connect", self._connect)
            return
        now_ms = mono_ms()
        if topology_json is not None and epoch > max(self.epoch, self._refused_epoch):
            self._in_background("topology", lambda: self._tell(topology_json, epoch))
        if self._unsent_config:
            self._in_background("config", self._send_config)
        if now_ms - self.watch.answered_ms >= limits.CHILD_PING_MS and self.watch.serving:
            self._in_background("ping", self._ping)

    def _in_background(self, purpose: str, work: Callable[[], Any]) -> None:
        if purpose not in self._busy:
            task = asyncio.ensure_future(work())
            self._busy[purpose] = task
            task.add_done_callback(lambda done: self._busy.pop(purpose) if self._busy.get(purpose) is done else None)

    async def _connect(self) -> None:
        try:
            link = await Link.open(self.control_path)
        except LinkError:
            return  # not listening yet, or not any more: the next cycle tries again, and the watch notices silence
        self._link = link
        self._owner.woken()

    async def _tell(self, topology_json: str, epoch: int) -> None:
        try:
            await self._link.call("SHARDD", "TOPOLOGY", topology_json)
        except LinkError:
            return
        except CommandError as error:
            self._refused_epoch = epoch
            self._log.warning(f"{self.name.capitalize()} refused the topology of epoch {epoch}: {error}")
            return
        self.epoch = max(self.epoch, epoch)
        self._owner.woken()

    async def _send_config(self) -> None:
        values, self._unsent_config = self._unsent_config, {}
        try:
            await self._link.call("SHARDD", "CONFIG", *(word for pair in values.items() for word in pair))
        except LinkError:
            self._unsent_config = values | self._unsent_config
        except CommandError as error:
            self._log.warning(f"{self.name.capitalize()} refused the new configuration: {error}")

    async def _ping(self) -> None:
        try:
            await self._link.call("PING")
        except (LinkError, CommandError):
            return
        self._report(self.watch.answered(mono_ms()))

    def _report(self, decision: Decision, details: str = "") -> None:
        if decision.sentence is not None:
            (self._log.warning if decision.warn else self._log.notice)(decision.sentence + details)


def python_command(module: str) -> list[str]:
    """The command line that runs `module` with this interpreter and from the same packages as this process.

    -P keeps the working directory out of the module path, unless this process found its own modules there.
    """
    packages = os.path.dirname(os.path.dirname(os.path.abspath(shardd.__file__)))
    from_here = sys.path[:1] in ([""], [os.getcwd()]) and packages == os.getcwd()
    return [sys.executable, *([] if from_here else ["-P"]), "-m", module]


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read: made anew, so that nobody holds it open from before."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
