"""The append-only file of an engine: its files, when it is rewritten, and being switched on and off.

    off --CONFIG SET appendonly yes--> wait --first rewrite done--> on --CONFIG SET appendonly no--> off
                                        ^ '--rewrite failed: again--'

    rewrite:  journal ....|.................... --> increment n    |  increment n+1 ..........
                          fork: new increment, manifest            |
                          child: base m+1 (temporary file) --------'  rename, manifest, old files go

Owns: the manifest in force, the files' names and their life, the rewrite's steps, what INFO says of it all. Does not
own the writing (journal.aof), the child (engine.snapshot), loading (engine.aof_load), nor the format of the manifest
(journal.manifest).

All of it is Redis 7's multi part AOF (aof.c): names, order of steps, log lines. A crash between any two steps leaves a
manifest that names whole files: it is replaced after the file that it names anew is there, and before files that it
names no more are deleted. Two differences: increments are opened for appending, so that a cut-off short write leaves no
hole; and nothing is rewritten while effects wait to be written, since they would stand in the base and behind it.

After a sync that failed, the kernel may have dropped what it could not write, whatever the next sync says. So once it
works again, the log is rewritten from memory.

Invariants: the journal's reader is attached exactly while there is a file to write to; the manifest on disk is
`manifest`, unless a step that failed says otherwise in the log.
"""
import contextlib
import dataclasses
import os
import re
import stat
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from shardd.base import errors, limits
from shardd.base.clock import mono_ms, mono_us
from shardd.base.errors import ConfigError, LoadError
from shardd.base.files import sync_directory
from shardd.engine.aof_load import AofLoad
from shardd.engine.snapshot import AOF
from shardd.journal import manifest as manifests
from shardd.journal.aof import POLICIES, AofWriter
from shardd.journal.manifest import Manifest, ManifestError
from shardd.journal.rdb_save import save_commands, save_keyspace

OFF: Final = "off"
WAIT: Final = "wait"
ON: Final = "on"

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class AppendOnly:
    """The log of one engine.

    state: OFF, WAIT (switched on, the first rewrite is to come) or ON. scheduled: a rewrite is wanted as soon as no
    child runs. writer: journal.aof.AofWriter. base_size: bytes of the log after the last rewrite.
    """

    def __init__(self, server: Any) -> None:
        """server: engine.server.Server."""
        self._server, self._config, self._log = server, server.config, server.log
        self.on_status: Callable[[], object] = lambda: None
        """Called when `error_text` may have changed."""
        self.writer = AofWriter(server.log, server.latency, self._check_writes)
        self.state = OFF
        self.manifest = Manifest()
        self.scheduled = False
        self.base_size = 0
        self.rewrites = self.failures = 0
        self.last_rewrite_ok = True
        self.last_rewrite_s = -1
        self._rewrite_began_ms = 0          # monotonic; 0: none is under way
        self._rewrite_rdb = True            # the base that is made is an RDB file
        self._sync_failed = False
        self._waiters: dict[Any, int] = {}  # clients in WAITAOF, and what they wait for
        self._delay_minutes = 0
        self._next_rewrite_ms = 0
        self._look_ms = 0
        for name, apply in (("appendfsync", self._set_policy),
                            ("no-appendfsync-on-rewrite", partial(setattr, self.writer, "no_sync_with_child")),
                            ("aof-timestamp-enabled", partial(setattr, self.writer, "timestamps"))):
            self._config.subscribe(name, apply)
            apply(self._config[name])
        self._config.subscribe("appendonly", self._switch)

    def _set_policy(self, policy: str) -> None:
        self.writer.policy = POLICIES[policy]

    @property
    def directory(self) -> str:
        """appenddirname, below the present directory."""
        return str(self._config["appenddirname"])

    @property
    def prefix(self) -> str:
        """appendfilename, with which the names of all files begin."""
        return str(self._config["appendfilename"])

    def path(self, name: str) -> str:
        """Where a file of the log is."""
        return os.path.join(self.directory, name)

    # --- start ------------------------------------------------------------------------------------------------------

    def load(self) -> AofLoad | None:
        """What is to be loaded at start; None where there is no log, or appendonly is no. LoadError."""
        self.manifest = self._read_manifest()
        if not self._config["appendonly"]:
            return None
        self._upgrade()
        if not self.manifest:
            self._refuse_without_manifest()
            return None
        return AofLoad(self._server, self.directory, self.manifest)

    def reload(self) -> AofLoad | None:
        """DEBUG LOADAOF: all that is on disk, after what is in memory went there. LoadError."""
        self._server.journal.flush()
        self.writer.flush(True)
        manifest = self._read_manifest()
        return AofLoad(self._server, self.directory, manifest) if manifest else None

    def _read_manifest(self) -> Manifest:
        name = manifests.manifest_name(self.prefix)
        try:
            return manifests.read(self.directory, self.prefix)
        except OSError as error:
            raise LoadError("Fatal error: can't open the AOF manifest file "
                            f"{self.path(name)} for reading: {error.strerror}") from None
        except ManifestError as error:
            self._log.warning("*** FATAL AOF MANIFEST FILE ERROR ***")
            where = ""
            if error.line_number:
                self._log.warning(f"Reading the manifest file, at line {error.line_number}")
                self._log.warning(f">>> '{error.line}'")
                where = f" in line {error.line_number}"
            raise LoadError(f"{error.reason}{where} of {self.path(name)}") from None

    def _refuse_without_manifest(self) -> None:
        """Files of a log whose manifest is gone must not be written over: Redis does that, and begins anew. What a
        crash at the very first start leaves, a first base and an empty first increment, may be."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(os.listdir(self.directory)):
                found = re.fullmatch(re.escape(self.prefix) + r"\.(\d+)\.(base|incr)\.(rdb|aof)", name)
                if found and (int(found[1]) > 1 or (found[2] == "incr" and self._has_content(name))):
                    raise LoadError(f"{self.path(manifests.manifest_name(self.prefix))} is not there, but {name} is: "
                                    "without the manifest nobody can say which files count. Put it back, or move the "
                                    f"files out of {self.directory} to begin with an empty append-only file")

    def _has_content(self, name: str) -> bool:
        try:
            found = os.stat(self.path(name))
            return found.st_size > 0 or not stat.S_ISREG(found.st_mode)
        except FileNotFoundError:
            return False

    def _with_new_increment(self, manifest: Manifest) -> Manifest:
        """The manifest with one more increment, whose file holds nothing: one with data that the manifest does not
        name, or calls history, is left alone."""
        history = {entry.name for entry in manifest.history}
        while True:
            made = manifest.with_new_increment(self.prefix)
            name = made.increments[-1].name
            if name not in history and not self._has_content(name):
                return made
            if name not in history:
                self._log.warning(f"The AOF manifest does not name {self.path(name)}, which is there and not empty: it "
                                  "is not loaded, and left as it is")
            manifest = dataclasses.replace(manifest, last_increment=made.last_increment)

    def _upgrade(self) -> None:
        """A log of one file, from before Redis 7, becomes the base of a new one. A crash in between starts it anew."""
        prefix, manifest = self.prefix, self.manifest
        if not os.path.isfile(prefix):
            return
        begun = (manifest.base is not None and manifest.base.name == prefix and not manifest.increments
                 and not os.path.exists(self.path(prefix)))
        if manifest and not begun:
            return
        self._make_directory()
        try:
            self._persist(Manifest().with_base(prefix))
            os.rename(prefix, self.path(prefix))
            sync_directory(self.directory)
            sync_directory("")
        except OSError as error:
            raise LoadError(f"Error trying to move the old AOF file {prefix} into dir {self.directory}: "
                            f"{error.strerror}") from None
        self._log.notice(f"Successfully migrated an old-style AOF file ({prefix}) into the AOF directory "
                         f"({self.directory}).")

    def _make_directory(self) -> None:
        try:
            if not os.path.isdir(self.directory):
                os.makedirs(self.directory, 0o755, exist_ok=True)
                sync_directory(os.path.dirname(self.directory))     # what is in it may be synced as often as it likes
        except OSError as error:
            raise LoadError(f"Can't open or create append-only dir {self.directory}: {error.strerror}") from None

    def open(self) -> None:
        """All is loaded, or there was nothing: write from now on. LoadError where that cannot be."""
        if not self._config["appendonly"]:
            return
        self._make_directory()
        manifest = self.manifest
        try:
            if not manifest:
                manifest = self._first_base(manifest)
            known = bool(manifest.increments)
            if not known:
                manifest = self._with_new_increment(manifest)
            name = manifest.increments[-1].name
            fd = os.open(self.path(name), _FLAGS, 0o644)
            if manifest != self.manifest:
                self._persist(manifest)
        except OSError as error:
            raise LoadError(f"The append-only file in {self.directory} can't be opened: {error.strerror}") from None
        self._attach(fd)
        sizes = [os.stat(self.path(entry.name)).st_size for entry in self.manifest.files]
        self.writer.total_size = sum(sizes)
        self.base_size = sizes[0] if self.manifest.base is not None else 0
        self.state = ON
        self._log.notice(f"{'Opening' if known else 'Creating'} AOF incr file {name} on server start")
        self._delete_history()

    def _first_base(self, manifest: Manifest) -> Manifest:
        """The base of a log that begins: what is in memory now. OSError."""
        rdb = self._config["aof-use-rdb-preamble"]
        manifest = manifest.with_new_base(self.prefix, rdb)
        assert manifest.base is not None
        temporary = self.path(f"temp-{manifest.base.name}")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self._writer_of_base(rdb)(self._server.keyspace, fd)
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, self.path(manifest.base.name))
        self._log.notice(f"Creating AOF base file {manifest.base.name} on server start")
        return manifest

    def _writer_of_base(self, rdb: bool) -> Any:
        """Writes a base: callable(keyspace, fd, progress_fd=...)."""
        config = self._config
        if not rdb:
            return partial(save_commands, incremental_fsync=config["aof-rewrite-incremental-fsync"],
                           timestamp=config["aof-timestamp-enabled"], key_delay_us=config["rdb-key-save-delay"])
        return partial(save_keyspace, compress=config["rdbcompression"], checksum=config["rdbchecksum"],
                       incremental_fsync=config["aof-rewrite-incremental-fsync"], aof_base=True)

    def _attach(self, fd: int) -> None:
        """Write to another file from here on."""
        journal = self._server.journal
        reading = self.writer.fd >= 0
        self.writer.open(fd, os.fstat(fd).st_size)
        if reading:
            journal.say_database()
        else:
            journal.add_reader(self.writer)
            self.writer.start_at(journal.offset)

    def _detach(self) -> None:
        if self.writer.fd >= 0:
            self._server.journal.remove_reader(self.writer)
            self.writer.close()

    def _persist(self, manifest: Manifest) -> None:
        """Replace the manifest, on disk and here. OSError: neither, and the log says so."""
        try:
            manifests.write(manifest, self.directory, self.prefix)
        except OSError as error:
            self._log.warning("Error trying to write the AOF manifest file "
                              f"{manifests.manifest_name(self.prefix)}: {error.strerror}")
            raise
        self.manifest = manifest

    def _delete_history(self) -> None:
        """Delete what the last rewrite has made superfluous."""
        if self._config["aof-disable-auto-gc"] or not self.manifest.history:
            return
        for entry in self.manifest.history:
            self._log.notice(f"Removing the history file {entry.name} in the background")
            self._unlink(self.path(entry.name))
        with contextlib.suppress(OSError):
            self._persist(self.manifest.without_history())

    def _unlink(self, path: str) -> None:
        """Delete a file; its blocks are freed in the thread."""
        with contextlib.suppress(OSError):
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                os.unlink(path)
            finally:
                self.writer.syncer.close_later(fd)

    def close(self) -> None:
        """The engine ends: all is on disk."""
        if self.state != OFF:
            self._log.notice("Calling fsync() on the AOF file.")
            self._detach()

    # --- on and off at run time ---------------------------------------------------------------------------------------

    def _switch(self, on: bool) -> None:
        if on and self.state == OFF:
            self._start()
        elif not on and self.state != OFF:
            self._stop()

    def _start(self) -> None:
        """appendonly no -> yes: the first base is a rewrite. ConfigError."""
        snapshots, log = self._server.snapshots, self._log
        self.state = WAIT
        if snapshots.active == AOF:     # it began while the log was off: its base has no increment behind it
            log.notice("AOF was enabled but there is already an AOF rewriting in background. Stopping background "
                       "AOF and starting a rewrite now.")
            snapshots.stop()
        if snapshots.active:
            self.scheduled = True
            log.notice("AOF was enabled but there is already another background operation. An AOF background was "
                       "scheduled to start when possible.")
        elif self._server.context.in_exec:
            self.scheduled = True
            log.notice("AOF was enabled during a transaction. An AOF background was scheduled to start when possible.")
        else:
            if not self.rewrite():
                self.state = OFF
                log.warning("Redis needs to enable the AOF but can't trigger a background AOF rewrite operation. Check "
                            "the above logs for more info about the error.")
                raise ConfigError("Unable to turn on AOF. Check server logs.")
        self._sync_failed = False
        self.writer.forget_errors()

    def _stop(self) -> None:
        """appendonly yes -> no."""
        waited, self.state = self.state == WAIT, OFF
        self._detach()
        self.scheduled = False
        for client in self._waiters:
            self._server.dispatcher.blocking.answer(client, errors.WAITAOF_OFF)
        self._waiters.clear()
        if self._server.snapshots.active == AOF:
            self._log.notice(f"Killing running AOF rewrite child: {self._server.snapshots.pid}")
            self._server.snapshots.stop()
        if waited:
            self._unlink(self.path(self._temporary_increment))
        self._check_writes()

    # --- rewriting ----------------------------------------------------------------------------------------------------

    def rewrite(self) -> bool:
        """Begin to rewrite the log; whether that was possible. The log says why where not."""
        server = self._server
        if server.snapshots.active:
            return False
        self._rewrite_rdb = self._config["aof-use-rdb-preamble"]
        try:
            if not self.manifest:
                self._refuse_without_manifest()
            self._make_directory()
            server.snapshots.start(AOF, self._temporary, self._rewritten, aof_base=True, before_fork=self._before_fork,
                                   write=None if self._rewrite_rdb else self._writer_of_base(False))
        except LoadError as error:
            return self._cannot_rewrite(str(error))
        except OSError as error:
            return self._cannot_rewrite(f"Can't rewrite append only file in background: {error.strerror}")
        self.scheduled = False
        self._rewrite_began_ms = mono_ms()
        return True

    def _cannot_rewrite(self, line: str) -> bool:
        """Counts as one that failed, so that one that is scheduled is not tried anew at every turn of the clock."""
        self._log.warning(line)
        self.last_rewrite_ok = False
        self.failures += 1
        return False

    @property
    def _temporary(self) -> str:
        return f"temp-rewriteaof-bg-{os.getpid()}.aof"

    @property
    def _temporary_increment(self) -> str:
        return f"temp-{self.prefix}.incr"

    def _before_fork(self) -> None:
        """What happens from now on goes to a new increment. OSError: no fork."""
        self.writer.flush(True)
        if self.writer.pending_len:
            why = os.strerror(self.writer.error)
            raise OSError(self.writer.error, f"not all that has happened is in the old file: {why}")
        self.rewrites += 1
        if self.state == OFF:
            return
        manifest = self.manifest
        if self.state == WAIT:
            name = self._temporary_increment
        else:
            manifest = self._with_new_increment(manifest)
            name = manifest.increments[-1].name
        try:
            fd = os.open(self.path(name), _FLAGS | os.O_TRUNC, 0o644)
        except OSError as error:
            self._log.warning(f"Can't open the append-only file {name}: {error.strerror}")
            raise
        try:
            if manifest != self.manifest:
                self._persist(manifest)
        except OSError:
            os.close(fd)
            raise
        self._log.notice(f"Creating AOF incr file {name} on background rewrite")
        self._attach(fd)

    def _rewritten(self, error: str | None) -> None:
        """The child is over. error: None where the new base is there."""
        if error is None:
            self._log.notice("Background AOF rewrite terminated with success")
            try:
                self._install()
            except OSError:
                error = "the new files could not be put in place"
        else:
            self._log.warning("Background AOF rewrite terminated with error" if not self._server.snapshots.cancelled
                              else "Background AOF rewrite terminated by signal 10")
        if error is None:
            self.last_rewrite_ok = True
            self.failures = 0
            self._log.notice("Background AOF rewrite finished successfully")
        elif not self._server.snapshots.cancelled:
            self.last_rewrite_ok = False
            self.failures += 1
        self._unlink(self._temporary)
        if self.state == WAIT:
            if error is None:
                self.state = ON
            else:
                if self.writer.fd >= 0:         # else the fork was put off, and failed then
                    self._server.journal.remove_reader(self.writer)
                    self.writer.forget()
                    self.writer.close()
                self._unlink(self.path(self._temporary_increment))
                self.scheduled = True
        self.last_rewrite_s = (mono_ms() - self._rewrite_began_ms) // 1000
        self._rewrite_began_ms = 0

    def _install(self) -> None:
        """The new base takes the place of the old files. OSError: the old ones are in force, or the new base alone
        where the log was just switched on and its first increment cannot be put behind it."""
        manifest = self.manifest.with_new_base(self.prefix, self._rewrite_rdb)
        assert manifest.base is not None
        self._put(self._temporary, manifest.base.name, manifest.with_rewritten(0 if self.state != ON else 1))
        manifest = self.manifest
        if self.state == WAIT:
            manifest = self._with_new_increment(manifest)
            self._put(self.path(self._temporary_increment), manifest.increments[-1].name, manifest)
        assert manifest.base is not None
        if self.state != OFF:
            self.writer.total_size = os.stat(self.path(manifest.base.name)).st_size + self.writer.size
            self.base_size = self.writer.total_size
        self._delete_history()

    def _put(self, old: str, new: str, manifest: Manifest) -> None:
        """Rename a file into the directory, and have the manifest name it. OSError: neither."""
        self._rename(old, new)
        try:
            self._persist(manifest)
        except OSError:
            # the new manifest may be in place all the same, where only the sync of the directory has failed
            with contextlib.suppress(OSError, ManifestError):
                if manifests.read(self.directory, self.prefix).text() == self.manifest.text():
                    self._unlink(self.path(new))
            raise

    def _rename(self, old: str, new: str) -> None:
        kind = "incr" if old.endswith(".incr") else "base"
        started_us = mono_us()
        try:
            os.rename(old, self.path(new))
        except OSError as error:
            self._log.warning(f"Error trying to rename the temporary AOF {kind} file {old} into {new}: "
                              f"{error.strerror}")
            raise
        self._server.latency.note("aof-rename", mono_us() - started_us)
        self._log.notice(f"Successfully renamed the temporary AOF {kind} file {os.path.basename(old)} into {new}")

    def _is_limited(self) -> bool:
        """Whether rewrites that nobody asked for have to wait, since the last ones have failed: one minute, then two,
        four ... as in Redis."""
        if self.failures < limits.AOF_REWRITE_FAILURES_MAX:
            self._delay_minutes = self._next_rewrite_ms = 0
            return False
        if self._next_rewrite_ms:
            if mono_ms() < self._next_rewrite_ms:
                return True
            self._next_rewrite_ms = 0
            return False
        self._delay_minutes = min(max(1, self._delay_minutes * 2), limits.AOF_REWRITE_DELAY_MINUTES_MAX)
        self._next_rewrite_ms = mono_ms() + self._delay_minutes * 60_000
        self._log.warning("Background AOF rewrite has repeatedly failed and triggered the limit, will retry in "
                          f"{self._delay_minutes} minutes")
        return True

    def schedule(self) -> None:
        """BGREWRITEAOF while another child runs, or in a transaction."""
        self.scheduled = True
        self.failures = 0

    # --- by the clock -------------------------------------------------------------------------------------------------

    def cron(self) -> None:
        """Each turn of the cron: what could not be written, syncs, and rewrites that are due."""
        writer, server = self.writer, self._server
        active = server.snapshots.active
        writer.child_active = bool(active)
        if self.state != OFF:
            writer.flush()
            self._look_at_syncs()
            self._look_at_file()
            if self._waiters and self.state == ON:
                self._wake()
        if active:
            return
        if self.scheduled and not self._is_limited():
            self.rewrite()
        elif self.state == ON and (percent := self._config["auto-aof-rewrite-percentage"]) \
                and writer.total_size > self._config["auto-aof-rewrite-min-size"]:
            growth = writer.total_size * 100 // (self.base_size or 1) - 100
            if growth >= percent and not self._is_limited():
                self._log.notice(f"Starting automatic rewriting of AOF on {growth}% growth")
                self.rewrite()

    def _look_at_syncs(self) -> None:
        """The thread may have met an error, or be rid of it."""
        error = self.writer.sync_error
        if error and not self._sync_failed:
            self._log.warning(f"Fail to fsync the AOF file: {os.strerror(error)}")
            self._sync_failed = True
            self._check_writes()
        elif error:
            self.writer.sync_again()
        elif self._sync_failed:
            self._log.notice("AOF fsync error looks solved; the AOF is rewritten, since what the disk has not taken "
                             "may be lost")
            self._sync_failed = False
            self.scheduled = True
            self._check_writes()

    def _look_at_file(self) -> None:
        """Whoever deletes the log under a running engine: what it writes from then on would be lost at its end."""
        if mono_ms() < self._look_ms:
            return
        self._look_ms = mono_ms() + limits.AOF_LOOK_MS
        if self.state == ON and not self.scheduled and os.fstat(self.writer.fd).st_nlink == 0:
            self._log.warning(f"The AOF incr file {self.manifest.increments[-1].name} has been deleted. The AOF is "
                              "rewritten, so that the data is on disk again")
            self.scheduled = True

    # --- what others ask ----------------------------------------------------------------------------------------------

    @property
    def error_text(self) -> bytes | None:
        """The error that refuses writes, None where there is none."""
        if self.state == OFF:
            return None
        if self.writer.failed:
            return errors.misconf_aof(os.strerror(self.writer.error))
        if self._sync_failed:
            return errors.misconf_aof(os.strerror(self.writer.sync_error or self.writer.error))
        return None

    def _check_writes(self) -> None:
        self.on_status()

    def acknowledged(self, offset: int) -> list[int]:
        """What WAITAOF replies: whether the journal is on disk up to this offset, and on how many replicas'."""
        return [int(self.state == ON and self.writer.synced >= offset), 0]

    def wait_for(self, client: Any, offset: int) -> None:
        """A client waits (engine.blocking) until the journal is on disk up to this offset."""
        self._waiters[client] = offset

    def _wake(self) -> None:
        """End the wait of those for whom the disk has all."""
        blocking, synced = self._server.dispatcher.blocking, self.writer.synced
        done = [client for client, offset in self._waiters.items() if offset <= synced]
        for client in done:
            del self._waiters[client]
            blocking.answer(client)

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT"""
        self.rewrites = self.failures = self.writer.delayed_syncs = 0

    def facts(self) -> dict[str, Any]:
        """INFO persistence, the part that is always there."""
        began = self._rewrite_began_ms
        return {
            "aof_enabled": int(self.state != OFF), "aof_rewrite_in_progress": int(self._server.snapshots.active == AOF),
            "aof_rewrite_scheduled": int(self.scheduled), "aof_last_rewrite_time_sec": self.last_rewrite_s,
            "aof_current_rewrite_time_sec": (mono_ms() - began) // 1000 if began else -1,
            "aof_last_bgrewrite_status": "ok" if self.last_rewrite_ok else "err", "aof_rewrites": self.rewrites,
            "aof_rewrites_consecutive_failures": self.failures,
            "aof_last_write_status": "err" if self.writer.failed or self._sync_failed else "ok",
            "aof_last_cow_size": self._server.snapshots.cow_bytes[AOF],
        }

    def more_facts(self) -> dict[str, Any]:
        """INFO persistence, the part that is there while the log is on."""
        if self.state == OFF:
            return {}
        writer = self.writer
        return {
            "aof_current_size": writer.total_size, "aof_base_size": self.base_size, "aof_pending_rewrite": 0,
            "aof_buffer_length": writer.pending_len, "aof_pending_bio_fsync": writer.syncer.syncing,
            "aof_delayed_fsync": writer.delayed_syncs,
        }
