"""The child's side of its bond with the supervisor: die with it, tell it when ready, ask it to stop the tree.

Owns: where the tree's sockets are, the environment variables, the lifeline's messages and PR_SET_PDEATHSIG. Does not
own what the child does when its parent is gone (a function that is handed in), nor the control socket's listener (the
engine's or proxy's main).

The supervisor starts a child with

    SHARDD_CONTROL    path of the Unix socket on which the child shall listen; who connects there is trusted, and the
                      SHARDD commands are accepted there and nowhere else (supervisor/control.py describes them)
    SHARDD_LIFELINE   "<fd>:<pid>": the child's end of a socket pair, and the supervisor's pid
    SHARDD_NODE_ID    the child's own id, 40 hex digits: which engine of the topology it is
    SHARDD_CONF       path of the user's configuration file, which CONFIG REWRITE rewrites; empty where there is none.
                      (The file that the child itself is started with is made for it, anew for each start.)
    SHARDD_LISTEN     "<fd>,<fd> ...": the sockets on which it shall listen for clients, bound already. The supervisor
                      keeps them open, so that connections wait in the backlog while a child is started again
    SHARDD_GENERATION how many processes were started in this place before, from 0

and an end of the lifeline, a stream socket pair. Over it go JSON objects, one per line; child to supervisor:

    {"loading": true}                               it has data to load first, and answers PING meanwhile
    {"ready": true, "pid": 4711, "port": 40001}     once, when it listens on everything it was told to
    {"shutdown": true, "save": null}                a client sent SHUTDOWN: stop the whole tree
    {"config": {"maxclients": "500", ...}}          a proxy did CONFIG SET: children that start from now on get the new
                                                    values, and the other proxies are told (SHARDD CONFIG)
    {"fork": true}                                  an engine would like to fork, to write a snapshot or a log anew:
                                                    a pair of cores would rather have that from one engine at a time
    {"fork": false}                                 that child has ended, or it shall not be any more

and supervisor to child:

    {"fork": false}                                 it has to wait for its turn, which will come (supervisor/turns.py)
    {"fork": true}                                  its turn has come. Where neither of the two comes within
                                                    limits.FORK_TURN_MS, the engine forks all the same

End of file in the child's direction means that the supervisor is gone. The kernel's PR_SET_PDEATHSIG says the same
by SIGTERM, which also reaches a child that is not yet, or not any more, in its event loop. Both are set, and the
parent's pid is compared afterwards, since the supervisor may have died before the child came that far.

Invariant: none of the variables and descriptors reaches a grandchild: they are taken out of the environment and set
close-on-exec as soon as `adopt` has read them.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence

from shardd.base import errors, limits
from shardd.base.errors import ConfigError
from shardd.base.options import Config

RUN_DIR = "run"
"""The directory in `dir` where the sockets of a running tree are."""

SUPERVISOR_SOCKET = "supervisor.sock"
"""The supervisor's own, in RUN_DIR."""

CONTROL = "SHARDD_CONTROL"
LIFELINE = "SHARDD_LIFELINE"
NODE_ID = "SHARDD_NODE_ID"
CONF = "SHARDD_CONF"
LISTEN = "SHARDD_LISTEN"
GENERATION = "SHARDD_GENERATION"
VARIABLES = (CONTROL, LIFELINE, NODE_ID, CONF, LISTEN, GENERATION)

LINE_BYTES_MAX = 64 * limits.KIB
"""Longest message: well under what a Unix socket buffers (net.core.wmem_default, 208 KiB)."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Parent:
    """The supervisor, as a child sees it.

    control_path: where to listen for control connections. node_id: 40 hex digits. conf_path: the user's configuration
    file, empty for none. pid: the supervisor's. listeners: bound sockets for clients, TCP and Unix. generation: how
    many processes were started in this place before.
    """

    def __init__(self, control_path: str, node_id: str, conf_path: str, pid: int, lifeline: socket.socket,
                 listeners: Sequence[socket.socket] = (), generation: int = 0) -> None:
        self.control_path = control_path
        self.node_id = node_id
        self.conf_path = conf_path
        self.pid = pid
        self.listeners = list(listeners)
        self.generation = generation
        self._lifeline: socket.socket | None = lifeline
        self._lines = b""
        self._fork: Callable[[], object] | None = None
        self._fork_timer: asyncio.TimerHandle | None = None
        self._on_gone: Callable[[], object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def loading(self) -> None:
        """Tells the supervisor that data is loaded first: it waits as long as PING is answered."""
        self._send({"loading": True})

    def ready(self, port: int) -> None:
        """Tells the supervisor that this process listens on everything. port: the TCP port, 0 where there is none."""
        self._send({"ready": True, "pid": os.getpid(), "port": port})

    def shutdown(self, save: bool | None = None) -> bool:
        """Asks the supervisor to stop the whole tree; its SIGTERM follows. False where it is gone.

        save: SHUTDOWN's SAVE (True), NOSAVE (False) or neither (None).
        """
        return self._send({"shutdown": True, "save": save})

    def configured(self, values: Mapping[str, str]) -> bool:
        """Tells the supervisor what CONFIG SET has changed: option's name -> text. False where that is not possible."""
        return self._send({"config": dict(values)})

    def fork_turn(self, go: Callable[[], object]) -> None:
        """Asks for a turn to fork: `go` is called once, on the loop, when it has come, or where nobody answers.

        One at a time. fork_over() follows in any case.
        """
        assert self._fork is None and self._loop is not None
        self._fork = go
        self._fork_timer = self._loop.call_later(limits.FORK_TURN_MS / 1000, self._fork_now)
        self._send({"fork": True})

    def fork_over(self) -> None:
        """What the turn was asked for has ended, or shall not be any more."""
        self._fork = None
        self._answered()
        self._send({"fork": False})

    def all_cpus(self) -> set[int]:
        """The cores of the whole tree: what an engine forks need not stay on the engine's own."""
        try:
            return os.sched_getaffinity(self.pid)
        except OSError:
            return os.sched_getaffinity(0)

    def _answered(self) -> None:
        if self._fork_timer is not None:
            self._fork_timer.cancel()
            self._fork_timer = None

    def _fork_now(self) -> None:
        go, self._fork = self._fork, None
        self._answered()
        if go is not None:
            go()

    @staticmethod
    def keep_directory(config: Config) -> None:
        """Has CONFIG SET refuse another `dir`: the directories of a tree are made by the supervisor, at its start."""
        kept = config["dir"]

        def refuse(path: object) -> None:
            if path != kept:
                raise ConfigError(errors.DIR_OF_TREE)

        config.subscribe("dir", refuse)

    def close(self) -> None:
        """Lets go of the lifeline: from now on the parent's end is not noticed any more."""
        if self._lifeline is not None:
            if self._loop is not None:
                self._loop.remove_reader(self._lifeline.fileno())
            self._lifeline.close()
            self._lifeline = None

    def _watch(self, loop: asyncio.AbstractEventLoop, on_gone: Callable[[], object]) -> None:
        assert self._lifeline is not None
        self._loop, self._on_gone = loop, on_gone
        loop.add_reader(self._lifeline.fileno(), self._readable)

    def _readable(self) -> None:
        if self._lifeline is None:
            return
        try:
            if data := self._lifeline.recv(4096):
                *lines, self._lines = (self._lines + data).split(b"\n")
                for line in lines:
                    self._heard(line)
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            pass  # a reset says the same as the end of file
        self._gone()

    def _heard(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            return
        if isinstance(message, dict) and "fork" in message:
            if message["fork"]:
                self._fork_now()
            else:
                self._answered()

    def _gone(self) -> None:
        self.close()
        if self._on_gone is not None:
            on_gone, self._on_gone = self._on_gone, None
            on_gone()

    def _send(self, message: Mapping[str, object]) -> bool:
        line = json.dumps(message).encode() + b"\n"
        if self._lifeline is None or len(line) > LINE_BYTES_MAX:
            return False
        try:
            # the supervisor reads at once, and a line is less than a socket buffer: it goes whole or not at all
            self._lifeline.send(line, socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True


def adopt(on_parent_gone: Callable[[], object]) -> Parent | None:
    """Binds this process to the supervisor that started it; None where nobody did (no SHARDD_LIFELINE).

    Called on the running asyncio loop, once, before anything listens. on_parent_gone: called once on that loop when the
    supervisor is gone, with the lifeline closed; it begins a clean stop. SIGTERM, which the kernel sends in the same
    case, is the caller's to handle. Raises ValueError where the environment makes no sense.
    """
    lifeline = os.environ.get(LIFELINE)
    if lifeline is None:
        return None
    control, node_id, conf, listen, generation = (os.environ.get(name, "") for name in (CONTROL, NODE_ID, CONF, LISTEN,
                                                                                       GENERATION))
    for name in VARIABLES:
        os.environ.pop(name, None)
    fd, _, pid = lifeline.partition(":")
    try:
        sock = _inherited(fd)
        listeners = [_inherited(word) for word in listen.split(",") if word]
        parent = Parent(control, node_id, conf, int(pid), sock, listeners, int(generation or 0))
    except (ValueError, OSError) as error:
        raise ValueError(f"{LIFELINE}={lifeline}, {LISTEN}={listen} are not of use: {error}") from None
    sock.setblocking(False)
    die_with_parent()
    loop = asyncio.get_running_loop()
    parent._watch(loop, on_parent_gone)
    if os.getppid() != parent.pid:
        loop.call_soon(parent._gone)
    return parent


def _inherited(fd: str) -> socket.socket:
    """The socket of a descriptor that was passed down. Raises ValueError or OSError."""
    sock = socket.socket(fileno=int(fd))
    sock.set_inheritable(False)
    return sock


def die_with_parent(signum: int = signal.SIGTERM) -> None:
    """Has the kernel send `signum` to this process when its parent's thread ends. Raises OSError.

    Set by the child itself: between fork and exec the supervisor could run no code of ours safely.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signum), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
