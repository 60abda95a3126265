"""One child process: spawn, pin, talk to, signal, and see it end.

Owns: the process, the supervisor's end of its lifeline and of its output, its control link, and the files in <dir>/run
that were made for it. Does not own the decisions (watch.py), the topology, its listening sockets (sockets.py), or what
is in the child's conf file (plan.py).

Invariants: the lifeline's end here is open exactly as long as the process may live, and no other process has it: were
it inherited by a sibling, the supervisor's death would go unnoticed. A process is reaped by run_cycle() alone, so a pid
that is signalled is never a stranger's; the lifeline's end wakes the cycle when a child dies. A control link leads to
this very process, also while two of the same name live. A child runs in a session of its own: Ctrl-C reaches the
supervisor alone, which then stops the proxies before the engines.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import shardd
from shardd.base import child as bond
from shardd.base import limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError, ConfigError
from shardd.base.log import Log
from shardd.supervisor.control import Link, LinkError
from shardd.supervisor.logbook import Output
from shardd.supervisor.watch import Action, State, Watch

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

    def listeners_of(self, child: "Child") -> Sequence[socket.socket]:
        """The sockets it shall listen on, bound; asked before each start. Raises ConfigError or OSError."""

    def conf_of(self, child: "Child") -> str:
        """The text of its conf file; asked before each start, after listeners_of()."""

    def woken(self) -> None:
        """Something happened that run_cycle() should look at soon."""

    def told(self, child: "Child", message: dict[str, Any]) -> None:
        """It said something over its lifeline other than `ready` and `loading`."""

    def printed(self, child: "Child", line: bytes) -> None:
        """It wrote a line to its standard output or error."""

    @property
    def ping_ms(self) -> int:
        """Pause between two PINGs."""

    def grace_ms(self, child: "Child") -> int:
        """How long it may take to stop."""

    def written_by(self, child: "Child") -> int:
        """Bytes in its files."""

    def noted(self, sentence: str) -> None:
        """Something was done that the cycle's sentence should tell."""


class Child:
    """kind: ENGINE or PROXY. index: 0, 1 ... within its kind. cpus: the cores it is pinned to, empty for none.

    generation: how many processes were started in this place before the next one.
    """

    def __init__(self, kind: str, index: int, node_id: str, cpus: frozenset[int], owner: Owner,
                 generation: int = 0) -> None:
        self.kind, self.index, self.node_id = kind, index, node_id
        self.name = f"{kind} {index}"
        self.control_path = owner.run_dir / f"{kind}-{index}.sock"
        self.conf_path = owner.run_dir / f"{kind}-{index}.conf"
        self.cpus = cpus
        self.port = 0
        self.generation = generation
        self.watch = Watch.new(self.name.capitalize(), mono_ms())
        self.epoch = 0
        """The newest topology that it has confirmed; 0 since its last start: none."""
        self.replaced = False
        """Another process has its place, and the files of its name."""
        self._owner, self._log = owner, owner.log
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: socket.socket | None = None
        self._lines = bytearray()
        self._output: Output | None = None
        self._link: Link | None = None
        self._busy: dict[str, asyncio.Task[None]] = {}
        """What is in flight over the link, by purpose; one of each at a time."""
        self._refused_epoch = 0
        self._unsent_config: dict[str, str] = {}
        self._drain_ms: int | None = None
        self._looked_ms = 0

    @property
    def pid(self) -> int:
        """0 while there is no process."""
        return self._process.pid if self._process is not None else 0

    @property
    def restless(self) -> bool:
        """Whether something is about to happen that nothing announces: a socket appears, a time is over, it dies."""
        return (self.watch.state in (State.STARTING, State.STOPPING, State.BACKOFF, State.DOWN)
                or (self._process is not None and self._lifeline is None))

    @property
    def linked(self) -> bool:
        """Whether it can be told something at once."""
        return self._link is not None and not self._link.closed

    # --- the cycle ------------------------------------------------------------------------------------------------

    def run_cycle(self, topology_json: str | None, epoch: int) -> None:
        """One look at the child: does what is due, and starts what takes time in the background.

        topology_json: what the child should know, at `epoch`; None while there is nothing to tell.
        """
        self._reap()
        self._look_at_files()
        self._become(self.watch.step(mono_ms()))
        action = self.watch.said.action
        if action is Action.SPAWN:
            self._spawn()
        elif action is Action.TERMINATE:
            self.signal(signal.SIGTERM)
        elif action is Action.KILL:
            self.signal(signal.SIGKILL)
        if self.watch.state in (State.STARTING, State.LOADING, State.UP, State.SUSPECT, State.DRAINING):
            self._talk(topology_json, epoch)

    def signal(self, signum: int) -> None:
        """To a process that has not been reaped, so the pid is still its own."""
        if self._process is not None:
            self._process.send_signal(signum)

    def stop(self, grace_ms: int = limits.STOP_GRACE_MS) -> None:
        """Begins to stop it; the next run_cycle() sends the signal."""
        self._become(self.watch.stop(mono_ms(), grace_ms))

    def restart(self) -> None:
        """Begins to stop it, and starts it again when it has ended."""
        self._become(self.watch.restart(mono_ms(), self._owner.grace_ms(self)))

    def excuse(self, late_ms: int) -> None:
        """The supervisor itself was stopped for so long."""
        self._become(self.watch.excused(mono_ms(), late_ms))

    def _look_at_files(self) -> None:
        """An engine that saves before it stops shall not be killed for it."""
        now_ms = mono_ms()
        if self.kind == ENGINE and self.watch.state is State.STOPPING \
                and now_ms - self._looked_ms >= limits.STOP_LOOK_MS:
            self._looked_ms = now_ms
            self._become(self.watch.wrote(now_ms, self._owner.written_by(self)))

    def drain(self, grace_ms: int) -> None:
        """Its successor serves: it is told to let its clients finish within `grace_ms`, and stopped some time later."""
        self.replaced = True
        self.watch = replace(self.watch, name=f"{self.watch.name} (pid {self.pid})")
        self._become(self.watch.drain(mono_ms(), grace_ms + limits.DRAIN_END_MS))
        self._drain_ms = grace_ms

    # --- telling it things ----------------------------------------------------------------------------------------

    def configure(self, values: Mapping[str, str]) -> None:
        """Has it set these options as soon as it can be told; a child that starts later has them from its conf file."""
        if self.watch.running:
            self._unsent_config.update(values)

    async def set_config(self, values: Mapping[str, str]) -> CommandError | None:
        """Has it set these options now and returns its refusal; where it does not answer, as soon as it can be told."""
        if not values or not self.watch.running:
            return None
        if self._link is None or self._link.closed:
            self.configure(values)
            return None
        try:
            await self._link.call("SHARDD", "CONFIG", *_words(values))
        except LinkError:
            self.configure(values)
        except CommandError as error:
            return error
        return None

    def say(self, message: Mapping[str, Any]) -> None:
        """Something over its lifeline; a child that does not read goes without."""
        if self._lifeline is not None:
            with contextlib.suppress(OSError):
                self._lifeline.send(json.dumps(message).encode() + b"\n", socket.MSG_NOSIGNAL)

    async def tell_stop(self, save: bool) -> None:
        """An engine hears whether it shall save at the SIGTERM that follows; one that does not answer decides itself."""
        if self._link is not None and not self._link.closed:
            with contextlib.suppress(LinkError, CommandError):
                await self._link.call("SHARDD", "STOP", "SAVE" if save else "NOSAVE", timeout_ms=limits.STOP_TELL_MS)

    async def call(self, *words: str) -> Any:
        """A command's reply over its control link. Raises CommandError, or LinkError where there is none."""
        if self._link is None or self._link.closed:
            raise LinkError("it cannot be reached")
        return await self._link.call(*words)

    async def facts(self) -> dict[str, Any]:
        """Its own answer to SHARDD STATUS; empty where there is none in time."""
        if self._link is not None and not self._link.closed:
            try:
                answer = json.loads(await self._link.call("SHARDD", "STATUS"))
                return answer if isinstance(answer, dict) else {}
            except (LinkError, CommandError, ValueError, TypeError):
                pass
        return {}

    async def status(self) -> dict[str, Any]:
        """What shardctl shows of it; the child's own answer where it gives one in time."""
        own = await self.facts()
        watch, now_ms = self.watch, mono_ms()
        died = watch.last_exit is not None
        return own | {
            "kind": self.kind, "index": self.index, "id": self.node_id, "state": watch.state.value,
            "pid": self.pid or None, "port": self.port or None, "cpus": sorted(self.cpus),
            "restarts": watch.restarts, "socket": str(self.control_path), "answers": bool(own),
            "known_epoch": self.epoch, "since_s": (now_ms - watch.since_ms) // 1000,
            "silent_ms": watch.silent_ms(now_ms) if watch.running else None,
            "crash_loop": watch.in_crash_loop(now_ms), "last_exit": watch.last_exit,
            "last_exit_s": (now_ms - watch.last_exit_ms) // 1000 if died else None,
            "next_start_ms": max(0, watch.due_ms - now_ms) if watch.state is State.BACKOFF else None,
            "trouble": watch.trouble(now_ms),
        }

    # --- the process ----------------------------------------------------------------------------------------------

    def _spawn(self) -> None:
        try:
            self._process, ours, output = self._start()
        except (OSError, ConfigError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._become(self.watch.spawn_failed(mono_ms(), reason))
            return
        self._become(self.watch.spawned(mono_ms()))
        self.generation += 1
        self._pin()
        ours.setblocking(False)
        self._lifeline, self._lines = ours, bytearray()
        self._output = Output(output, lambda line: self._owner.printed(self, line))
        self.epoch = self._refused_epoch = 0
        self._unsent_config.clear()
        self._owner.noted(f"{self.name.capitalize()} was started, pid {self.pid}")
        asyncio.get_running_loop().add_reader(ours.fileno(), self._read_lifeline, ours)

    def _start(self) -> tuple[subprocess.Popen[bytes], socket.socket, int]:
        """The process, our end of its lifeline and of its output. Raises OSError or ConfigError; nothing stays then."""
        with contextlib.ExitStack() as ours_on_failure, contextlib.ExitStack() as theirs:
            ours, lifeline = socket.socketpair()
            ours_on_failure.callback(ours.close)
            theirs.callback(lifeline.close)
            output, their_output = os.pipe()
            ours_on_failure.callback(os.close, output)
            theirs.callback(os.close, their_output)
            # a supervisor that does not read must not make its children wait
            os.set_blocking(their_output, False)
            listeners = [sock.fileno() for sock in self._owner.listeners_of(self)]
            write_private(self.conf_path, self._owner.conf_of(self))
            process = subprocess.Popen(
                [*python_command(_MODULES[self.kind]), str(self.conf_path)],
                env=self._environment(lifeline, listeners), stdin=subprocess.DEVNULL, stdout=their_output,
                stderr=their_output, pass_fds=(lifeline.fileno(), *listeners), start_new_session=True)
            ours_on_failure.pop_all()
            return process, ours, output

    def _environment(self, lifeline: socket.socket, listeners: Sequence[int]) -> dict[str, str]:
        return dict(os.environ) | {
            bond.CONTROL: str(self.control_path), bond.LIFELINE: f"{lifeline.fileno()}:{os.getpid()}",
            bond.NODE_ID: self.node_id, bond.CONF: self._owner.user_conf,
            bond.LISTEN: ",".join(map(str, listeners)), bond.GENERATION: str(self.generation)}

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
            self._become(self.watch.exited(mono_ms(), returncode))

    def _let_go(self) -> None:
        """The process has ended: nothing of it is kept."""
        self._process = None
        if self._lifeline is not None:
            self._read_lifeline(self._lifeline)  # its last words may still be unread
            if self._lifeline is not None:
                self._drop_lifeline()
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._link is not None:
            self._link.close()
            self._link = None
        for task in self._busy.values():
            task.cancel()
        self._busy.clear()
        if self.replaced:
            return
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
        if message.get("loading"):
            self._become(self.watch.loading(mono_ms()))
        elif message.get("ready"):
            self.port = port or self.port
            self._become(self.watch.ready(mono_ms()),
                         f": pid {self.pid}" + (f", port {self.port}" if self.port else "")
                         + (f", core {','.join(map(str, sorted(self.cpus)))}" if self.cpus else ""))
        else:
            self._owner.told(self, message)
        self._owner.woken()

    # --- the control link -----------------------------------------------------------------------------------------

    def _talk(self, topology_json: str | None, epoch: int) -> None:
        now_ms = mono_ms()
        if self._link is None or self._link.closed:
            self._in_background("connect", self._connect)
            self._become(self.watch.asked(now_ms))
            return
        if topology_json is not None and epoch > max(self.epoch, self._refused_epoch):
            self._in_background("topology", lambda: self._tell(topology_json, epoch))
        if self._unsent_config:
            self._in_background("config", self._send_config)
        if self._drain_ms is not None:
            self._in_background("drain", self._send_drain)
        if now_ms - self.watch.answered_ms >= self._owner.ping_ms and self.watch.state is not State.STARTING:
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
        if link.peer_pid != self.pid:   # the predecessor whose place it is about to take
            link.close()
            return
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
            await self._link.call("SHARDD", "CONFIG", *_words(values))
        except LinkError:
            self._unsent_config = values | self._unsent_config
        except CommandError as error:
            self._log.warning(f"{self.name.capitalize()} refused the new configuration: {error}")

    async def _send_drain(self) -> None:
        grace_ms, self._drain_ms = self._drain_ms, None
        try:
            await self._link.call("SHARDD", "DRAIN", grace_ms)
        except (LinkError, CommandError) as error:
            self._log.warning(f"{self.name.capitalize()} could not be told to let its clients finish: {error}")
            self.stop()

    async def _ping(self) -> None:
        self._become(self.watch.asked(mono_ms()))
        try:
            await self._link.call("PING")
        except LinkError:
            return
        except CommandError:
            pass    # an error is an answer too: it loads its data
        self._become(self.watch.answered(mono_ms()))

    def _become(self, watch: Watch, details: str = "") -> None:
        """The child's next state, with what is to be said about it."""
        self.watch = watch
        sentence = watch.said.sentence
        if sentence is not None:
            self._owner.noted(sentence)
            (self._log.warning if watch.said.warn else self._log.notice)(sentence + details)


def _words(values: Mapping[str, str]) -> list[bytes]:
    return [word.encode("utf-8", "surrogateescape") for pair in values.items() for word in pair]


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
