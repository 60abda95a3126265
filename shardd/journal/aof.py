"""The writer of the append-only file: the journal's reader that brings it to disk.

    stream --take(p, n), once per turn--> write() --> increment --fdatasync--> disk
                        \\                ^                       always: at once, before any reply leaves
                         `-> pending -----'                       everysec: in another thread, once a second
                             while a sync is under way, or the last write failed

One turn of the loop is one write, straight from the stream's buffer, before its replies leave (engine.delivery). What
cannot be written is kept in `pending` and comes first the next time, so the file has the units in their order, whole.

Owns: when is written and synced, what happens where that fails, and the figures about it. Does not own which file it is
(engine.appendonly opens it), the thread (journal.syncer), or what follows from an error (engine.dispatch refuses
writes).

What fails is treated as in Redis (aof.c, flushAppendOnlyFile):
- A short write is cut off again, so that the file ends with a whole unit; where even that fails, the rest follows
  behind it once it can.
- With everysec and no, the error is shown (`failed`, `error`), writes are refused, and each turn of the cron tries
  anew.
- With always, the process ends at once (`die`): what it has in memory and has shown to others is not on disk, and
  replies that say that it is are in the buffer. Nobody can be told OK for a write that is lost. After a failed
  fdatasync not even a second one would tell the truth, since the kernel forgets pages that it could not write.

Invariants: the file's first `size` bytes are whole units; `written` <= `taken`, both offsets in the journal; pending is
empty, or begins where the file ends. `take` never raises: without memory to keep what is not written the process ends.
"""
import os

import cython
from cython.cimports.libc.errno import EINTR, ENOSPC, errno
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memmove
from cython.cimports.posix.unistd import ftruncate
from cython.cimports.shardd.base.clock import monotonic_ms, monotonic_us, unix_us
from cython.cimports.shardd.base.memory import regrow
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.journal.stream import StreamReader
from cython.cimports.shardd.journal.syncer import Syncer
from cython.cimports.shardd.journal.threads import fdatasync, usleep
from cython.cimports.shardd.net.sys import sys_close, sys_write

from shardd.base import limits

const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

POSTPONED_MAX_MS = cython.declare(int64_t, limits.AOF_POSTPONED_MS_MAX)
SYNC_PAUSE_MS = cython.declare(int64_t, limits.AOF_FSYNC_MS)
LOG_PAUSE_S = cython.declare(int64_t, limits.AOF_ERROR_LOG_S)
PENDING_KEPT = cython.declare(cython.Py_ssize_t, limits.REPLY_BYTES_KEPT)

POLICIES: dict = {"no": SYNC_NO, "everysec": SYNC_EVERYSEC, "always": SYNC_ALWAYS}


@cython.final
@cython.cclass
class AofWriter(StreamReader):
    """Writes one increment after the other."""

    def __init__(self, log: object, latency: object, on_status: object) -> None:
        """on_status: called without arguments when `failed` has changed."""
        self.syncer = Syncer()
        self.log, self.latency, self.on_status = log, latency, on_status
        self.die = os._exit
        self.fd = -1
        self.policy = SYNC_EVERYSEC

    def __dealloc__(self) -> None:
        free(self.pending)
        if self.fd >= 0:
            sys_close(self.fd)

    # ---- files

    def open(self, fd: int, size: int) -> None:
        """Write to another increment from now on: the old one is synced and closed in the thread. The descriptor is
        ours; it must append. size: bytes that are in the file. MemoryError, OSError: nothing has changed."""
        if self.fd >= 0:
            self.syncer.put(self.fd, self.written, True, True)
            self.synced_ms = monotonic_ms()
        self.fd = fd
        self.size = self.synced_size = size

    def close(self) -> None:
        """Bring all to disk and write no more. An error is logged."""
        if self.fd < 0:
            return
        self.flush(True)
        if self.pending_len:
            self.log.warning(f"{self.pending_len} bytes of effects could not be written to the AOF file, and are lost")
        self.syncer.drain()
        if fdatasync(self.fd) != 0:
            self.log.warning(f"Fail to fsync the AOF file: {os.strerror(errno)}")
        else:
            self.synced_here = self.written
        sys_close(self.fd)
        self.fd = -1
        self.size = self.synced_size = 0
        self.forget()

    def forget(self) -> None:
        """Drop what is not written: the file that it was for is given up, or begins anew."""
        self.pending_len = 0
        self.postponed_ms = 0

    def forget_errors(self) -> None:
        """The log begins anew, and with it the judgement about it."""
        if self.failed:
            self.log.warning("AOF reopen, just ignore the last error.")
            self.failed = False
        if self.syncer.error_of():
            self.log.warning("AOF reopen, just ignore the AOF fsync error in bio job")
            self.syncer.forget_error()
        self.on_status()

    def start_at(self, offset: int) -> None:
        """The journal's offset at which this reader was added."""
        self.taken = self.written = self.synced_here = offset

    # ---- figures

    @property
    def synced(self) -> int:
        """The journal is on disk up to this offset."""
        return max(self.synced_here, self.syncer.synced)

    @property
    def sync_error(self) -> int:
        """The errno of the last sync in the thread, 0 where it went well."""
        return self.syncer.error_of()

    @property
    def held_bytes(self) -> int:
        """Room for what is not in the file yet."""
        return self.pending_cap

    # ---- the stream's side

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        now_ms: int64_t = monotonic_ms()
        done: cython.Py_ssize_t
        if self.fd < 0:
            return 0
        self.taken += n
        if self.timestamps:
            self.stamp()
        if self.must_wait(now_ms):
            return self.keep(p, n)
        if self.pending_len:
            self.keep(p, n)
            self.write_pending()
        else:
            done = self.write_out(p, n)
            if done < n:
                self.keep(p + done, n - done)
            else:
                self.written = self.taken
        if self.pending_len == 0:
            self.sync_if_due(now_ms)
        return 0

    def flush(self, force: bool = False) -> None:
        """Write what is pending, and sync where that is due: what the cron does each turn. force: do not wait for a
        sync that is under way."""
        now_ms: int64_t = monotonic_ms()
        if self.fd < 0:
            return
        if self.pending_len:
            if not force and self.must_wait(now_ms):
                return
            self.write_pending()
            if self.pending_len:
                return
        self.sync_if_due(now_ms)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.int:
        """Put bytes behind what is pending."""
        cap: cython.Py_ssize_t = self.pending_cap
        if cap - self.pending_len < n:
            cap = max(self.pending_len + n, 2 * cap)
            try:
                self.pending = cython.cast(bytep, regrow(self.pending, cap))
            except MemoryError:
                self.log.warning("Out of memory for what is not in the AOF yet, which must not be lost. Exiting...")
                self.die(1)
                return 0
            self.pending_cap = cap
        memcpy(self.pending + self.pending_len, p, n)
        self.pending_len += n
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def stamp(self) -> cython.int:
        """An annotation in front of the units of another second."""
        line: bytes
        now_s: int64_t = unix_us() // 1000000
        if now_s > self.stamped_s:
            self.stamped_s = now_s
            line = b"#TS:%d\r\n" % now_s
            self.keep(cython.cast(const_bytes, cython.cast(cython.p_char, line)), len(line))
        return 0

    # ---- writing

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def must_wait(self, now_ms: int64_t) -> cython.bint:
        """With everysec: a sync is under way, behind which a write would block the loop; for two seconds it may."""
        if self.policy != SYNC_EVERYSEC or not self.syncer.is_syncing():
            return False
        if self.postponed_ms == 0:
            self.postponed_ms = now_ms
            return True
        if now_ms - self.postponed_ms < POSTPONED_MAX_MS:
            return True
        self.delayed_syncs += 1
        self.log.notice("Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without "
                        "waiting for fsync to complete, this may slow down Redis.")
        return False

    @cython.cfunc
    @cython.exceptval(-100000, check=False)
    def write_some(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """One write(): how many bytes, or -errno. `planned`: for tests, what the next ones do instead: write so many
        bytes at most, or fail with -errno; None: as usual."""
        outcome: object = None
        wrote: cython.Py_ssize_t
        if self.planned:
            outcome = self.planned.pop(0)
        if outcome is not None:
            if outcome < 0:
                return outcome
            n = min(n, cython.cast(cython.Py_ssize_t, outcome))
        wrote = sys_write(self.fd, p, n)
        return wrote if wrote >= 0 else -errno

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_out(self, p: const_bytes, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Write n bytes behind the file's end; how many of them are in the file now: n, or, where it failed, 0, unless
        a part of them could not be removed again."""
        done: cython.Py_ssize_t = 0
        wrote: cython.Py_ssize_t = 0
        error: cython.int = 0
        started_us: int64_t
        if self.flush_sleep_us:
            usleep(self.flush_sleep_us)
        started_us = monotonic_us() if self.latency.threshold_ms else 0
        while done < n:
            wrote = self.write_some(p + done, n - done)
            if wrote < 0:
                if wrote == -EINTR:
                    continue
                error = cython.cast(cython.int, -wrote)
                break
            if wrote == 0:
                break
            done += wrote
        if started_us:
            if self.postponed_ms:
                self.note("aof-write-pending-fsync", started_us)
            elif self.child_active:
                self.note("aof-write-active-child", started_us)
            else:
                self.note("aof-write-alone", started_us)
            self.note("aof-write", started_us)
        self.postponed_ms = 0
        if done < n:
            done = self.write_failed(done, n, error)
        elif self.failed:
            self.log.notice("AOF write error looks solved, Redis can write again.")
            self.failed = False
            self.on_status()
        self.size += done
        self.total_size += done
        return done

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note(self, event: str, started_us: int64_t) -> cython.int:
        self.latency.note(event, monotonic_us() - started_us)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_failed(self, done: cython.Py_ssize_t, n: cython.Py_ssize_t, error: cython.int) -> cython.int:
        """A write ended after `done` bytes. They are removed; how many are left, 0 where that went well."""
        now_s: int64_t = monotonic_ms() // 1000 + 1
        says: cython.bint = self.logged_s == 0 or now_s - self.logged_s > LOG_PAUSE_S
        if says:
            self.logged_s = now_s
        self.error = error if error else ENOSPC
        if done == 0:
            if says:
                self.log.warning(f"Error writing to the AOF file: {os.strerror(self.error)}")
        else:
            if says:
                self.log.warning(f"Short write while writing to the AOF file: (nwritten={done}, expected={n})")
            if self.planned_truncate == 0 and ftruncate(self.fd, self.size) == 0:
                done = 0
            elif says:
                why = os.strerror(self.planned_truncate or errno)
                self.log.warning("Could not remove short write from the append-only file.  Redis may refuse to load "
                                 f"the AOF the next time it starts.  ftruncate: {why}")
        self.planned_truncate = 0
        if self.policy == SYNC_ALWAYS:
            self.log.warning("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")
            self.die(1)
        if not self.failed:
            self.failed = True
            self.on_status()
        return done

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_pending(self) -> cython.int:
        """Write what is pending; what cannot be written stays."""
        done: cython.Py_ssize_t = self.write_out(self.pending, self.pending_len)
        self.pending_len -= done
        if self.pending_len:
            memmove(self.pending, self.pending + done, self.pending_len)
            return 0
        self.written = self.taken
        if self.pending_cap > PENDING_KEPT:
            free(self.pending)
            self.pending = cython.NULL
            self.pending_cap = 0
        return 0

    # ---- syncing

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sync_if_due(self, now_ms: int64_t) -> cython.int:
        """All is written: see that it gets to the disk, as the policy says."""
        if self.synced_size == self.size or self.policy == SYNC_NO or (self.no_sync_with_child and self.child_active):
            return 0
        if self.policy == SYNC_ALWAYS:
            self.synced_ms = now_ms
            return self.sync_now()
        if now_ms - self.synced_ms >= SYNC_PAUSE_MS:
            self.synced_ms = now_ms
            if not self.syncer.is_syncing():
                try:
                    self.syncer.put(self.fd, self.written, True, False)
                    self.synced_size = self.size
                except (MemoryError, OSError) as failed:
                    self.log.warning(f"Can't have the AOF file fsynced in the background, trying again: {failed}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sync_now(self) -> cython.int:
        """Wait for the disk: no reply leaves before."""
        started_us: int64_t = monotonic_us() if self.latency.threshold_ms else 0
        error: cython.int = 0
        if self.syncer.planned_errno:
            error = self.syncer.planned_errno
        elif fdatasync(self.fd) != 0:
            error = errno
        if error:
            self.log.warning("Can't persist AOF for fsync error when the AOF fsync policy is 'always': "
                             f"{os.strerror(error)}. Exiting...")
            self.die(1)
            return 0
        if started_us:
            self.note("aof-fsync-always", started_us)
        self.synced_size = self.size
        self.synced_here = self.written
        return 0

    def sync_again(self) -> None:
        """The last sync in the thread has failed: the next turn may try anew."""
        if not self.syncer.is_syncing():
            self.synced_size = cython.cast(uint64_t, -1)
