"""Snapshots: a forked child writes the keyspace as it is now to a file, while this process goes on.

    parent                                         child
    start() -> gate -> before_fork() -> fork ----> closes all descriptors but 0, 1, 2 and the pipe
        |                                          <path>: journal.rdb_save.save_keyspace, fsync, [rename, fsync dir]
        |<-- pipe: keys so far, copied bytes ------|  meanwhile a thread reads what copy-on-write has cost
        |<-- pipe: what failed, where something did-|
        |<-- end of the pipe ----------------------'  os._exit
    waitpid, on_done(None or a sentence)

Owns: the fork, the pipe, the child's surroundings and its end, what INFO shows of it all. Does not own when a snapshot
is made or what is done with the file (engine.persistence for dump.rdb, journal.aof for the base of a log), nor its
format (journal.rdb_save).

The child is a picture of this process, in which no Python runs but for a few lines before and after the one compiled
call that walks native memory with the interpreter's lock released: no reference count is touched, and so no page of the
keyspace is copied for the child's sake. It leaves by os._exit, so that nothing of ours is cleaned up a second time:
not the sockets' files, not the pid file, not the epoll descriptors, which it shares. It closes every socket at once,
since a connection lives as long as anybody has it open. It dies with us (PR_SET_PDEATHSIG), and is not pinned to our
core: its share of the machine is the supervisor's, or what we were started with.

The pipe carries records of two numbers, kind and value (`RECORD`): KEYS, how many keys are written, comes from the
compiled walk; COPIED, the bytes of pages that are private since the fork (Private_Dirty of /proc/self/smaps_rollup, as
in Redis), from the thread, which spends at most a hundredth of the time on it; FAILED, an errno and the step, from the
end. The pipe's end is the child's: nobody else has that side, so that no SIGCHLD and no polling is needed.

As in Redis one child runs at a time, and while it does, reads do not stamp access times and tables in the background
do not finish resizing (`Keyspace.calm`): each would copy pages.

Invariants: `active` is "" or what the one child is for, from start() until on_done has been called; on_done is called
exactly once for each start() that returned. A snapshot begins between two units of the journal, which is flushed then.
"""
import contextlib
import errno
import os
import re
import signal
import struct
import threading
import time
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from shardd.base import limits
from shardd.base.child import die_with_parent
from shardd.base.clock import mono_ms, mono_us
from shardd.base.files import sync_directory
from shardd.base.process import cpu_list
from shardd.journal.rdb_save import save_keyspace

RDB: Final = "rdb"
"""A snapshot for dump.rdb."""
AOF: Final = "aof"
"""A snapshot for the base of an append only file."""
BACKUP: Final = "backup"
"""A snapshot for a backup of the whole tree (engine.backup)."""

RECORD: Final = struct.Struct("=QQ")
"""What the pipe carries: kind, value. A pipe takes as little as this in one piece."""
KEYS: Final = 0
COPIED: Final = 1
FAILED: Final = 2

_STEPS: Final = ("open", "write", "fsync", "rename", "fsync of the directory")
_OPEN, _WRITE, _FSYNC, _RENAME, _FSYNC_DIRECTORY = range(len(_STEPS))
_STARTED: Final = {RDB: "Background saving", AOF: "Background append only file rewriting",
                   BACKUP: "Background saving for a backup of the tree"}
_CPULISTS: Final = {RDB: "bgsave_cpulist", AOF: "aof_rewrite_cpulist", BACKUP: "bgsave_cpulist"}
_NAMES: Final = {RDB: "rdb-bgsave", AOF: "aof-rewrite", BACKUP: "shardd-backup"}
"""What `ps` shows: at most 15 bytes."""
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
_PRIVATE_DIRTY: Final = re.compile(rb"^Private_Dirty:\s*(\d+) kB", re.MULTILINE)
_PIPE_FD: Final = 3     # in the child


class _Job:
    """What was asked for, and how far it is."""

    def __init__(self, purpose: str, path: str, on_done: Callable[[str | None], object], rename_to: str,
                 slots: bytes | None, aof_base: bool, before_fork: Callable[[], object] | None) -> None:
        self.purpose, self.path, self.on_done, self.rename_to = purpose, path, on_done, rename_to
        self.slots, self.aof_base, self.before_fork = slots, aof_base, before_fork
        self.write: Callable[..., object] | None = None
        self.has_turn = False       # it was asked for one
        self.pid = 0
        self.pipe = -1
        self.failed: str | None = None
        self.unwanted = False       # it is being stopped


class Snapshots:
    """The snapshots of one engine.

    active: what a child is for now, RDB, AOF or BACKUP (also while one is about to begin), else "". cancelled: whether
    the last one that ended was. forks, fork_us: how many there were, and how long the last fork took. cow_bytes: by
    purpose, pages copied because of the last child.
    Of the child that runs: keys_done, keys_total, cow_now, cow_peak (bytes). keys_written: by the last that ended well,
    as far as its writer tells at its end.
    """

    def __init__(self, server: Any) -> None:
        """server: engine.server.Server."""
        self._server = server
        self._loop: Any = None
        self._job: _Job | None = None
        self.gate: Callable[[Callable[[], None]], object] | None = None
        """Where forks are staggered: called with what is to be called when it is our turn."""
        self.on_free: Callable[[], object] = lambda: None
        """Called whenever a child is over: the turn is somebody else's."""
        self.write: Callable[..., object] | None = None
        """Writes the keyspace in the child; None: journal.rdb_save.save_keyspace."""
        self.cancelled = False
        self.ended_by = 0
        """The signal that ended the last child, 0: none did."""
        self.forks = 0
        self.fork_us = 0
        self.cow_bytes = {RDB: 0, AOF: 0}
        self.keys_written = 0
        self._reserved_ms = 0
        self._forget_progress()

    def attach(self, loop: Any) -> None:
        """From now on `loop` calls `check` when there is something to see; an asyncio event loop."""
        self._loop = loop

    def _forget_progress(self) -> None:
        self.keys_done = self.keys_total = self.cow_now = self.cow_peak = 0
        self._cow_ms = 0
        self._cow_sum = self._cow_count = 0

    @property
    def active(self) -> str:
        if self._job is not None:
            return self._job.purpose
        return BACKUP if self._reserved_ms and mono_ms() < self._reserved_ms else ""

    def reserve(self, time_ms: int) -> None:
        """No child but a backup's begins for so long; 0: from now on again. Only when no other is active."""
        assert self.active in ("", BACKUP)
        self._reserved_ms = mono_ms() + time_ms if time_ms else 0

    @property
    def pid(self) -> int:
        """The child's, 0 where there is none, or not yet."""
        return self._job.pid if self._job is not None else 0

    @property
    def cow_age_s(self) -> int:
        """Seconds since the child last measured what was copied."""
        return (mono_ms() - self._cow_ms) // 1000 if self._cow_ms else 0

    # --- begin ----------------------------------------------------------------------------------------------------

    def start(self, purpose: str, path: str, on_done: Callable[[str | None], object], *, rename_to: str = "",
              slots: bytes | None = None, aof_base: bool = False, before_fork: Callable[[], object] | None = None,
              write: Callable[..., object] | None = None, at_once: bool = False) -> None:
        """Write the keyspace, as it is at the fork, to `path`; only when nothing is active.

        on_done: called when it is over, with None, or with a sentence where the file is not there. rename_to: where the
        child puts the whole and synced file; empty: it stays, and the directory is not synced. slots: 16,384 flags, the
        slots to write, None for all. aof_base: what the file's aux field says. before_fork: called directly before the
        fork, with the journal flushed; it may raise OSError. write: (keyspace, fd, progress_fd=...), called in the
        child, writes another format than that of dump.rdb and raises OSError. at_once: nobody is asked for a turn.
        Raises OSError where the fork fails at once; where it was put off (`gate`), on_done gets that.
        """
        assert self._job is None, "one child at a time"
        job = self._job = _Job(purpose, path, on_done, rename_to, slots, aof_base, before_fork)
        job.write = write
        self.keys_total = self._server.keyspace.total_keys()
        if self.gate is not None and not at_once:
            job.has_turn = True
            self.gate(lambda: self._begin(job))
            return
        try:
            self._fork(job)
        except BaseException:
            self._drop()
            raise

    def _begin(self, job: _Job) -> None:
        """It is our turn."""
        if self._job is not job or job.pid:
            return
        try:
            self._fork(job)
        except OSError as error:
            self._drop()
            self._server.log.warning(f"Can't save in background: fork: {error.strerror}")
            job.on_done(f"fork: {error.strerror}")

    def _fork(self, job: _Job) -> None:
        server = self._server
        server.journal.flush()
        if job.before_fork is not None:
            job.before_fork()
        write = job.write or partial(self.writer(), slots=job.slots, aof_base=job.aof_base,
                                     **save_options(server.config, job.purpose))
        cpus = cpu_list(server.config[_CPULISTS[job.purpose]])
        if not cpus and server.parent is not None:
            cpus = server.parent.all_cpus()
        self.keys_total = server.keyspace.total_keys()
        ours, theirs = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        parent = os.getpid()
        start_us = mono_us()
        # a signal that the child gets before it has forgotten our handlers would be told to our loop
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                _child(job, write, server.keyspace, theirs, parent, cpus)
        except OSError:
            os.close(ours)
            os.close(theirs)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.fork_us = mono_us() - start_us
        self.forks += 1
        server.latency.note("fork", self.fork_us)
        os.close(theirs)
        job.pid, job.pipe = pid, ours
        server.keyspace.calm = True
        server.log.notice(f"{_STARTED[job.purpose]} started by pid {pid}")
        if self._loop is not None:
            self._loop.add_reader(ours, self.check)

    def writer(self) -> Callable[..., object]:
        """What writes a keyspace in the format of dump.rdb."""
        return self.write or save_keyspace

    # --- meanwhile, and the end -----------------------------------------------------------------------------------

    def check(self) -> None:
        """Take what the child says; the loop calls it. At the child's end, on_done is called."""
        while self._job is not None and self._job.pid:
            try:
                data = os.read(self._job.pipe, limits.SNAPSHOT_READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                self._over()
                return
            for kind, value in RECORD.iter_unpack(data):
                self._take(self._job, kind, value)

    def _take(self, job: _Job, kind: int, value: int) -> None:
        if kind == KEYS:
            self.keys_done = value
        elif kind == COPIED:
            self.cow_now = value
            self.cow_peak = max(self.cow_peak, value)
            self._cow_sum += value
            self._cow_count += 1
            self._cow_ms = mono_ms()
        else:
            job.failed = sentence(job.path, job.rename_to, value & 0xFFFFFFFF, value >> 32)

    def cancel(self) -> None:
        """Have the child end; on_done follows, and `cancelled` is true then. Nothing where none runs."""
        job = self._job
        if job is None:
            return
        if job.pid:
            os.kill(job.pid, signal.SIGUSR1)
        else:
            self._drop()
            self.cancelled, self.ended_by = True, signal.SIGUSR1
            job.on_done("cancelled")

    def stop(self) -> None:
        """End the child and wait until it has gone: at our own end, or where its file must not come any more. on_done
        is called, with a sentence even where the child was done in that moment, unless it had renamed its file."""
        job = self._job
        if job is None or not job.pid:
            return self.cancel()
        job.unwanted = True
        os.kill(job.pid, signal.SIGKILL)
        os.set_blocking(job.pipe, True)
        while self._job is job:
            self.check()

    def _over(self) -> None:
        """The child has gone."""
        job, log = self._job, self._server.log
        assert job is not None
        _, status = os.waitpid(job.pid, 0)
        cow = (self.cow_now, self.cow_peak, self._cow_sum // max(1, self._cow_count))
        pid, keys = job.pid, self.keys_done
        if self._loop is not None:
            self._loop.remove_reader(job.pipe)
        os.close(job.pipe)
        self._drop()
        by = self.ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        self.cancelled = by == signal.SIGUSR1 or job.unwanted
        done = not by and os.WEXITSTATUS(status) == 0
        if done and not (job.unwanted and not job.rename_to):   # it may have been done when it was to be stopped
            self.cow_bytes[job.purpose] = cow[1]
            self.keys_written = keys
            sizes = ", ".join(f"{name} {size >> 20} MB" for name, size in zip(("current", "peak", "average"), cow,
                                                                              strict=True))
            if job.purpose == RDB:
                log.notice("DB saved on disk")
            log.notice(f"Fork CoW for {job.purpose.upper()}: {sizes}")
            job.on_done(None)
            return
        with contextlib.suppress(OSError):
            os.unlink(job.path)
        if job.failed:
            log.warning(job.failed)
        job.on_done(job.failed or (f"child {pid} was ended by signal {by}" if by else f"child {pid} was stopped" if done
                                   else f"child {pid} failed with exit code {os.WEXITSTATUS(status)}"))

    def _drop(self) -> None:
        job, self._job = self._job, None
        self._server.keyspace.calm = False
        self._forget_progress()
        if job is not None and job.has_turn:
            self.on_free()


# --- the file -----------------------------------------------------------------------------------------------------

def save_options(config: Any, purpose: str) -> dict[str, Any]:
    """What save_keyspace is told by the options. config: base.options.Config."""
    return {"compress": config["rdbcompression"], "checksum": config["rdbchecksum"],
            "incremental_fsync": config["rdb-save-incremental-fsync" if purpose == RDB else
                                        "aof-rewrite-incremental-fsync"],
            "policy": config["maxmemory-policy"], "key_delay_us": config["rdb-key-save-delay"]}


def write_file(path: str, rename_to: str, write: Callable[..., object], keyspace: Any,
               progress_fd: int = -1) -> tuple[int, int] | None:
    """Make the file whole and sync it; with `rename_to`, put it there and sync the directory.

    None, or what failed, for `sentence`; the file is gone then, and what was under `rename_to` is as it was.
    """
    step = _OPEN
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            step = _WRITE
            write(keyspace, fd, progress_fd=progress_fd)
            step = _FSYNC
            os.fsync(fd)
        finally:
            os.close(fd)
        if rename_to:
            step = _RENAME
            os.rename(path, rename_to)
            step = _FSYNC_DIRECTORY
            sync_directory(os.path.dirname(rename_to))
    except (OSError, MemoryError) as error:
        with contextlib.suppress(OSError):
            os.unlink(path)
        return (error.errno if isinstance(error, OSError) else errno.ENOMEM) or errno.EIO, step
    return None


def _here() -> str:
    try:
        return os.getcwd()
    except OSError as error:        # it was removed
        return f"unknown: {error.strerror}"


def sentence(path: str, rename_to: str, code: int, step: int) -> str:
    """What failed, in Redis's words. code: an errno."""
    why = os.strerror(code)
    if step == _OPEN:
        return (f"Failed opening the temp RDB file {os.path.basename(path)} (in server root dir {_here()}) for "
                f"saving: {why}")
    if step == _RENAME:
        return (f"Error moving temp DB file {os.path.basename(path)} on the final destination "
                f"{os.path.basename(rename_to)} (in server root dir {_here()}): {why}")
    if step == _FSYNC_DIRECTORY:
        return f"Failed to fsync directory while saving DB: {why}"
    return f"Write error saving DB on disk({_STEPS[step]}): {why}"


# --- the child ----------------------------------------------------------------------------------------------------

def _child(job: _Job, write: Callable[..., object], keyspace: Any, pipe: int, parent: int,
           cpus: set[int]) -> None:
    """All of the child's life; never returns. cpus: the cores that it may use, none: ours."""
    code = 1
    try:
        _settle(_NAMES[job.purpose], pipe, parent, cpus)
        measuring = threading.Thread(target=_measure, daemon=True)
        measuring.start()
        failed = write_file(job.path, job.rename_to, write, keyspace, _PIPE_FD)
        os.set_blocking(_PIPE_FD, True)     # this must arrive
        if failed is None:
            _report(COPIED, _copied_bytes())
            code = 0
        else:
            _report(FAILED, failed[0] | failed[1] << 32)
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _settle(name: str, pipe: int, parent: int, cpus: set[int]) -> None:
    """Become a process of its own: no signals, no sockets, no core of the engine's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):     # a terminal's: they are meant for the parent, which ends us
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    if pipe != _PIPE_FD:
        os.dup2(pipe, _PIPE_FD, inheritable=False)
    os.closerange(_PIPE_FD + 1, 2**31 - 1)
    with contextlib.suppress(OSError), open("/proc/self/comm", "w", encoding="ascii") as comm:
        comm.write(name)
    if cpus:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, cpus)


def _report(kind: int, value: int) -> None:
    """Tell the parent; what does not fit into the pipe is not told."""
    with contextlib.suppress(OSError):
        os.write(_PIPE_FD, RECORD.pack(kind, value))


def _measure() -> None:
    """The child's second thread: what was copied, once a second, or as seldom as keeps it a hundredth of the work."""
    while True:
        start = time.monotonic()
        _report(COPIED, _copied_bytes())
        time.sleep(max(limits.SNAPSHOT_COW_S, 100 * (time.monotonic() - start)))


def _copied_bytes() -> int:
    """Memory that only this process has, and has written or was left alone with: copied since the fork, by us or by
    the parent. 0 where the system does not tell."""
    try:
        with open("/proc/self/smaps_rollup", "rb", buffering=0) as rollup:
            found = _PRIVATE_DIRTY.search(rollup.read())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
