"""From the options to the tree: how many engines, on which cores and ports, with which configuration each.

Owns: these decisions and the checks before anything starts. Does not own processes (child.py) or the order of things
(main.py). Every mistake is a ConfigError that names the option, where it was set, and the reason.

Ports. With `engine-base-port` 0 an engine gets a free port below the kernel's ephemeral range: a port inside it could
be taken by anybody's outgoing connection while the engine restarts, and clients that know the engine would lose it. The
port that the engine had last is taken again where it is free.
"""

import contextlib
import math
import os
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shardd.base import limits
from shardd.base.child import RUN_DIR
from shardd.base.errors import ConfigError, no_ports
from shardd.base.option_table import OPTIONS, engine_share
from shardd.base.option_types import quoted
from shardd.base.options import Config
from shardd.base.process import open_files
from shardd.net.listen import answers, tcp_sockets

_FREE_PORTS = range(10_000, 32_768)
"""Above what services commonly use, below Linux's default ephemeral range (net.ipv4.ip_local_port_range)."""

_PORT_TRIES_MAX = 1000

_FILES_PER_CHILD = 3


def port_trouble(bind: Sequence[str], port: int) -> str | None:
    """Why `port` cannot be listened on at the addresses of `bind`, or None. Binds and closes; nothing stays behind."""
    try:
        for sock in tcp_sockets(bind, port, 1):
            sock.close()
    except ConfigError as error:
        return str(error)
    return None


def cores() -> list[int]:
    """The cores that this process may run on, fewer where its control group has a CPU quota below them."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[:max(1, min(len(allowed), _quota_cores()))]


def _quota_cores() -> int:
    """How many cores' worth of time the control group (version 2) grants; a very large number where it has no quota."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()
        return math.ceil(int(quota) / int(period))
    return limits.ENGINES_MAX


def pinning(engines: int, available: Sequence[int]) -> list[frozenset[int]]:
    """The core of each engine; none where there are more engines than cores, since the kernel then balances better."""
    if engines > len(available):
        return [frozenset()] * engines
    return [frozenset((core,)) for core in available[:engines]]


@dataclass
class Plan:
    """The tree that a configuration asks for. directory: absolute. available: the cores to spread over."""

    config: Config
    directory: Path
    engines: int
    proxies: int
    available: list[int]

    @classmethod
    def of(cls, config: Config) -> "Plan":
        """Raises ConfigError where the options cannot be met on this machine."""
        directory = Path(os.path.abspath(str(config["dir"])))
        available = cores()
        plan = cls(config, directory, int(config["engines"]) or len(available), int(config["proxies"]), available)
        plan._check_directory()
        plan._check_sockets()
        plan._check_ports()
        plan._check_files()
        return plan

    @property
    def run_dir(self) -> Path:
        return self.directory / RUN_DIR

    @property
    def bind(self) -> tuple[str, ...]:
        return self.config["bind"]

    def path(self, option: str) -> str:
        """The absolute path that `option` names, a relative one counted from `dir` as in Redis; empty for none."""
        value = str(self.config[option])
        return str(self.directory / value) if value else ""

    def announced(self, index: int) -> dict[str, str | int]:
        """What clients are told of engine `index` in place of what is real: fields of EngineInfo.

        Ports are counted up from `cluster-announce-port`, as from `engine-base-port`.
        """
        base = int(self.config["cluster-announce-port"])
        return {"host": str(self.config["cluster-announce-ip"]),
                "hostname": str(self.config["cluster-announce-hostname"]),
                "announce_port": base + index if base and base + index <= limits.PORT_MAX else 0}

    # --- checks ---------------------------------------------------------------------------------------------------

    def _fail(self, option: str, reason: str) -> ConfigError:
        return self.config.mistake(option, reason)

    def _check_directory(self) -> None:
        if not os.access(self.directory, os.W_OK | os.X_OK):
            raise self._fail("dir", "not writable for this user")
        longest = self.run_dir / f"engine-{self.engines - 1}.sock"
        if len(os.fsencode(longest)) > limits.UNIX_SOCKET_PATH_BYTES_MAX:
            raise self._fail("dir", f"too long: the path of a socket in it, {longest}, may have at most "
                             f"{limits.UNIX_SOCKET_PATH_BYTES_MAX} bytes")

    def _check_sockets(self) -> None:
        path = self.path("unixsocket")
        if not path:
            return
        if not os.path.isdir(os.path.dirname(path)):
            raise self._fail("unixsocket", "its directory does not exist")
        if answers(path):
            raise self._fail("unixsocket", "another process listens there")

    def _check_ports(self) -> None:
        port, base = int(self.config["port"]), int(self.config["engine-base-port"])
        if int(self.config["cluster-announce-port"]) + self.engines - 1 > limits.PORT_MAX:
            raise self._fail("cluster-announce-port", no_ports(self.engines))
        metrics_port = int(self.config["metrics-port"])
        if not port and not self.config["unixsocket"]:
            raise self._fail("port", "without a port and without a unixsocket there is no way to reach the server")
        if port and (trouble := port_trouble(self.bind, port)):
            raise self._fail("port", trouble)
        if metrics_port and metrics_port == port:
            raise self._fail("metrics-port", f"{port} is the port of the clients")
        if metrics_port and (trouble := port_trouble(self.config["metrics-bind"], metrics_port)):
            raise self._fail("metrics-port", trouble)
        if not base:
            return
        last = base + self.engines - 1
        if last > limits.PORT_MAX:
            raise self._fail("engine-base-port", no_ports(self.engines))
        if base <= port <= last:
            raise self._fail("engine-base-port", f"the engines' ports {base} to {last} include the proxy's, {port}")
        if base <= metrics_port <= last:
            raise self._fail("metrics-port", f"{metrics_port} is one of the engines' ports, {base} to {last}")
        for engine_port in range(base, last + 1):
            if trouble := port_trouble(self.bind, engine_port):
                raise self._fail("engine-base-port", trouble)

    def _check_files(self) -> None:
        """Raises the limit of open files to what the supervisor itself needs; its children raise their own."""
        # lifeline, output, control link and its sockets; a proxy may have a successor at the same time
        wanted = (self.engines + 2 * self.proxies) * (_FILES_PER_CHILD + len(self.bind)) + limits.RESERVED_FDS
        allowed = open_files(wanted)
        if allowed < wanted:
            raise self._fail("engines", f"Your current 'ulimit -n' of {allowed} is not enough for the server to start: "
                             f"{self.engines} engines and {self.proxies} proxies need {wanted} open files. Please "
                             f"increase your open file limit to at least {wanted}. Exiting.")

    # --- what children get ----------------------------------------------------------------------------------------

    def engine_port(self, index: int, last: int, taken: Iterable[int]) -> int:
        """The port for engine `index`: its fixed one, or `last` where that is free, or a free one not in `taken`."""
        base = int(self.config["engine-base-port"])
        if base:
            return base + index
        unusable = {int(self.config["port"]), *taken}
        if last and last not in unusable and port_trouble(self.bind, last) is None:
            return last
        for _ in range(_PORT_TRIES_MAX):
            port = random.choice(_FREE_PORTS)
            if port not in unusable and port_trouble(self.bind, port) is None:
                return port
        return 0  # the engine then takes what the kernel gives

    def engine_conf(self, port: int, directory: Path, maxmemory: int | None = None) -> str:
        """The configuration file of an engine that listens on `port`.

        directory: where its files are. maxmemory: its share, None for an even one.
        """
        shares = {name: engine_share(name, self.config.get_text(name), self.engines)
                  for name, option in OPTIONS.items() if option.shared_out}
        if maxmemory is not None:
            shares["maxmemory"] = str(maxmemory)
        return self.config.dump("engine", port=str(port), unixsocket='""', dir=quoted(str(directory)),
                                logfile=quoted(self.path("logfile")), pidfile='""', cluster_enabled="yes", **shares)

    def proxy_conf(self) -> str:
        """The configuration file of a proxy: every option, so that it can answer CONFIG for the whole tree."""
        paths = {"dir": str(self.directory)} | {name: self.path(name) for name in ("logfile", "unixsocket", "pidfile")}
        lines = [line for name in self.config.changed() if name not in paths for line in self.config.lines_of(name)]
        return "\n".join(lines + [f"{name} {quoted(path)}" for name, path in paths.items()]) + "\n"
