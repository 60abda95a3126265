"""What doctor's checks look at, and what they find.

Owns: `Patient`, everything that was learnt of a tree in one go; `Host`, what the machine says; `Finding`; and the list
of checks. Does not own the checks (check_tree, check_load, check_host) or what is printed (doctor).

A check is a function with a name. It gets the patient and yields findings, none where all is well or nothing is known:
what a server does not tell, or a machine does not show, is never a finding. It asks nobody: a hung engine costs one
time-out, not one per check.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from shardd.base.errors import CommandError
from shardd.cluster.topology import Topology
from shardd.ctl.config import differences, running
from shardd.ctl.facts import Info
from shardd.ctl.link import CtlError, Node, ask, is_answer
from shardd.ctl.source import Source

PROBLEM: Final = "problem"
"""Something does not work, or soon will not: the exit code is 1."""

ADVICE: Final = "advice"
"""It works, and could work better or more safely."""

SLOW_ENTRIES: Final = 128
"""Entries of the slow log that are looked at: as many as it keeps by default."""


class Finding(NamedTuple):
    """where: which process, file or setting. what is wrong, why it matters, and the command that mends it (fix).

    check: the name of the check, which whoever runs it puts in.
    """

    severity: str
    where: str
    what: str
    why: str
    fix: str
    check: str = ""


_START_TAKES_S: Final = 10.0
"""Most time between a process's start and what it calls its own."""

Check = Callable[["Patient"], Iterator[Finding]]
CHECKS: Final[dict[str, tuple[str, Check]]] = {}
"""Name -> what it looks at, and the function; in the order in which they run."""


def check(name: str, about: str) -> Callable[[Check], Check]:
    """Puts a function on the list."""
    def listed(function: Check) -> Check:
        assert name not in CHECKS, name
        CHECKS[name] = (about, function)
        return function
    return listed


class Host:
    """The machine. root: where /proc and /sys are."""

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)

    def text(self, path: str) -> str | None:
        """A file's text without blanks around it, None where it cannot be read. path: from the root, without a /."""
        try:
            return (self.root / path).read_text(errors="replace").strip()
        except OSError:
            return None

    def integer(self, path: str) -> int | None:
        """A file that holds a number."""
        try:
            return int(self.text(path) or "")
        except ValueError:
            return None

    def field(self, path: str, name: str) -> int | None:
        """A number of kB or of nothing behind `name:` in a file such as /proc/meminfo; kB as bytes."""
        for line in (self.text(path) or "").splitlines():
            key, _, rest = line.partition(":")
            words = rest.split()
            if key == name and words and words[0].isdigit():
                return int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
        return None

    def open_files_max(self, pid: int) -> int | None:
        """A process's limit of descriptors; None where it has none or it cannot be seen."""
        for line in (self.text(f"proc/{pid}/limits") or "").splitlines():
            words = line.removeprefix("Max open files").split()
            if line.startswith("Max open files") and words and words[0].isdigit():
                return int(words[0])
        return None

    def disk(self, directory: str) -> tuple[int, int] | None:
        """Free and all bytes of the file system of a directory."""
        try:
            found = os.statvfs(directory)
        except OSError:
            return None
        return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize

    def mode(self, path: str) -> int | None:
        """A file's permission bits."""
        try:
            return os.stat(path).st_mode & 0o777
        except OSError:
            return None

    def started_s(self, pid: int) -> float | None:
        """When a process started, in unix time."""
        try:
            return psutil.Process(pid).create_time()
        except psutil.Error:
            return None

    def newest_code_s(self) -> float:
        """When the youngest file of this installation was changed, in unix time."""
        import shardd

        top = Path(shardd.__file__).parents[1]
        files = [path for package in ("shardd", "proxy") for pattern in ("*.py", "*.so")
                 for path in (top / package).rglob(pattern) if path.parent.name != "ctl"]
        return max(path.stat().st_mtime for path in files)

    def now_s(self) -> float:
        """Unix time."""
        return time.time()

    @property
    def cores(self) -> int:
        return len(os.sched_getaffinity(0))


@dataclass
class Patient:
    """Everything that is known.

    processes: the children of status(); config: the running values, empty where they are not to be had; infos: of who
    answered; events: LATENCY LATEST of each engine: name, unix time, ms, worst ms; slow: entries of the slow log: id,
    unix time, us, arguments; host: None where the processes are elsewhere; where: the words behind shardctl that lead
    here again.
    """

    supervisor: dict[str, Any]
    epoch: int | None
    processes: list[dict[str, Any]]
    topology: Topology | None = None
    config: dict[str, str] = field(default_factory=dict)
    different: list[dict[str, str]] = field(default_factory=list)
    infos: dict[str, Info] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    asked_s: dict[str, float] = field(default_factory=dict)
    events: dict[str, list[list[Any]]] = field(default_factory=dict)
    slow: list[list[Any]] = field(default_factory=list)
    slots: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    host: Host | None = None
    where: str = ""

    def ctl(self, words: str) -> str:
        """A command line of ours that asks the same tree."""
        return f"shardctl {words}{self.where}"

    def option(self, name: str) -> int | None:
        """A running option that is a number."""
        try:
            return int(self.config[name])
        except (KeyError, ValueError):
            return None

    def holders(self) -> Iterator[tuple[str, Info]]:
        """Engines, or the single server, that answered."""
        for name, info in self.infos.items():
            if self.kinds.get(name) != "proxy":
                yield name, info

    @property
    def pids(self) -> dict[str, int]:
        """Processes of the tree on this host."""
        if self.host is None:
            return {}
        found = {process_name(child): int(child["pid"]) for child in self.processes if child.get("pid")}
        return found | ({"supervisor": int(self.supervisor["pid"])} if self.supervisor.get("pid") else {})


def process_name(child: dict[str, Any]) -> str:
    """ "engine 0", or a single server's address."""
    return f"{child['kind']} {child['index']}" if child["kind"] in ("engine", "proxy") else str(child.get("address"))


def examine(source: Source, where: str = "", host: Host | None = None) -> Patient:
    """Asks everybody once. Raises CtlError where the source itself does not answer."""
    status = source.status()
    patient = Patient(status["supervisor"] or {}, status["epoch"], list(status["children"]), where=where,
                      host=(host or Host()) if source.is_local else None)
    if not patient.supervisor and patient.host is not None and not _is_here(patient):
        patient.host = None
    if status["epoch"] is not None:
        patient.topology = source.topology()
    patient.kinds = {node.name: node.kind for node in source.nodes}
    for node, answer in ask(source.nodes, "INFO", "everything").items():
        if is_answer(answer):
            patient.infos[node.name], patient.asked_s[node.name] = Info(answer), time.time()
    answering = [node for node in source.nodes if node.name in patient.infos]
    engines = [node for node in source.engines if node in answering]
    for node, answer in ask(engines, "LATENCY", "LATEST").items():
        if is_answer(answer) and isinstance(answer, list):
            patient.events[node.name] = answer
    for node, answer in ask(engines, "CLUSTER", "SLOT-STATS", "ORDERBY", "KEY-COUNT", "LIMIT", 1, "DESC").items():
        if is_answer(answer) and isinstance(answer, list):
            patient.slots[node.name] = [(int(slot), int(facts[1])) for slot, facts in answer]
    _of_the_front(source, patient, answering)
    return patient


def _is_here(patient: Patient) -> bool:
    """Whether pids are of this host: a port of 127.0.0.1 may lead into a container, or elsewhere."""
    assert patient.host is not None
    for child in patient.processes:
        pid, uptime_s = child.get("pid"), child.get("uptime_s")
        started_s = patient.host.started_s(pid) if pid else None
        if started_s is None or uptime_s is None or abs(patient.host.now_s() - started_s - uptime_s) > _START_TAKES_S:
            return False
    return bool(patient.processes)


def _of_the_front(source: Source, patient: Patient, answering: list[Node]) -> None:
    """Configuration and slow log, where the front answers."""
    if not answering:
        return
    try:
        patient.config = running(source, "*")
        patient.different = differences(source, patient.config)
        patient.slow = source.front().call("SLOWLOG", "GET", SLOW_ENTRIES)
    except (CtlError, CommandError):
        return      # a server that refuses them is still worth a look
