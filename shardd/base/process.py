"""What a process arranges with its host when it starts: a file with its id, descriptors for its clients, its directory.

Owns: `pidfile`, the limit of open files (RLIMIT_NOFILE), the change to `dir` and its lock, the cores of the `*_cpulist`
options. Does not own what the limits are for (net.policy) or the processes of a tree (supervisor).
"""

import contextlib
import errno
import fcntl
import os
import re
import resource
from collections.abc import Callable, Iterator

from shardd.base.errors import ConfigError
from shardd.base.limits import RESERVED_FDS

ENGINE_LOCK = "engine.lock"
"""The file in the directory of an engine of a tree that says who writes there."""


@contextlib.contextmanager
def pid_file(path: str, warn: Callable[[str], object]) -> Iterator[None]:
    """Keeps this process's id in `path` (empty: nowhere) for as long as it runs.

    Where the file cannot be written, `warn` is told and that is all: Redis's own redis.conf names one in /var/run.
    """
    if not path:
        yield
        return
    try:
        with open(path, "w", encoding="ascii") as target:
            target.write(f"{os.getpid()}\n")
    except OSError as error:
        warn(f"pidfile '{path}': can't write the file: {error.strerror}")
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def enter_directory(path: str) -> None:
    """Make `dir` the working directory, where relative paths start. Raises ConfigError."""
    try:
        os.chdir(path)
    except OSError as error:
        raise ConfigError(f"dir '{path}': can't change to this directory: {error.strerror}") from None


def lock_directory(path: str) -> int | None:
    """Make this process the one that writes into a directory; a descriptor to keep, None where another one is it.

    An engine may outlive its supervisor for as long as it takes to save, and its successor must not load half of that.
    The lock is the process's own (fcntl), so a child that writes a snapshot does not hold it on. Raises OSError.
    """
    fd = os.open(os.path.join(path, ENGINE_LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        os.close(fd)
        raise
    return fd


def cpu_list(text: str) -> set[int]:
    """The cores that a `*_cpulist` option names: numbers, ranges and steps, "0,2-4,8-15:2"; none for what is not one.

    The form is that of Redis (setcpuaffinity.c), which leaves things as they are where it cannot read the text.
    """
    cores: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5})(?::(\d{1,5}))?)?\s*", part, re.ASCII)
        if match is None:
            return set()
        first, last, step = (int(group) if group else None for group in match.groups())
        cores.update(range(first or 0, (first or 0 if last is None else last) + 1, step or 1))
    return cores


def use_cpus(text: str, warn: Callable[[str], object]) -> None:
    """Stay on the cores that a `*_cpulist` option names; where that cannot be, `warn` is told and nothing changes."""
    if not text:
        return
    cores = cpu_list(text)
    try:
        if not cores:
            raise OSError(errno.EINVAL, "it names no core")
        os.sched_setaffinity(0, cores)
    except OSError as error:
        warn(f"Cannot use the cores '{text}': {error.strerror}")


def open_files(wanted: int) -> int:
    """Raise the limit of open files (RLIMIT_NOFILE) to `wanted`, as far as that is allowed; returns what it is then.

    The soft limit is raised, and the hard one where that is allowed, as in Redis; none is ever lowered. 2**63 - 1
    stands for no limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        for limits in ((wanted, wanted if hard != resource.RLIM_INFINITY and hard < wanted else hard), (hard, hard)):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                break
            except (ValueError, OSError, OverflowError):
                continue
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 2**63 - 1 if soft == resource.RLIM_INFINITY else soft


def room_for_clients(clients: int) -> int:
    """Raise the limit of descriptors so that `clients` connections fit beside limits.RESERVED_FDS.

    Returns how many do fit, `clients` at most; 0 or less: not a single one.
    """
    return min(clients, open_files(clients + RESERVED_FDS) - RESERVED_FDS)
