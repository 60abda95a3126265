"""What of an engine is on disk: when dump.rdb is written and read, what INFO says of it, and what a failing disk means.

    SAVE, BGSAVE, `save` points (cron), FLUSHALL, SHUTDOWN ---> temp-<pid>.rdb, fsync, rename to dbfilename, fsync of dir
    DEBUG RELOAD, LOADAOF -------------------------------------> as at a start (engine.loading), in one go

Owns: these decisions and their state, INFO persistence, `dir`. Does not own the child (engine.snapshot), the loading
(engine.loading), the append only file (server.aof), or the formats (journal).

As in Redis: at a start the data counts as saved; a failed BGSAVE is tried again by the save points after limits.
BGSAVE_RETRY_S, and until one succeeds writes are refused where there are save points and stop-writes-on-bgsave-error
says so; a SAVE that fails tells its client only. What changed during a BGSAVE is not saved: `changes` counts it on.

Of a tree the save points are the whole's: each engine counts for its even part of a point's changes, so that where none
of them is due all together have fewer than the point allows.
"""
import glob
import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from shardd.base import errors, limits
from shardd.base.clock import mono_ms, mono_us, now_ms
from shardd.base.errors import CommandError, ConfigError, LoadError
from shardd.commands.info import Facts
from shardd.engine import snapshot
from shardd.engine.loading import Loading, RdbFile
from shardd.engine.snapshot import AOF, RDB, save_options, sentence, write_file

_TEMPORARY: Final = re.compile(r"temp-(?:rewriteaof-bg-)?(\d+)\.(?:rdb|aof)")


def _mono_s() -> int:
    """For intervals: a wall clock that is put back would put off all save points by as much."""
    return mono_ms() // 1000


class Persistence:
    """What is saved and what is not, of one engine.

    last_save_s: unix time; last_ok: whether the last BGSAVE succeeded; last_took_s: how long, -1: none yet; saves: SAVE
    and BGSAVE since CONFIG RESETSTAT; scheduled: a BGSAVE waits for another child's end; loaded_keys, expired_keys: of
    the last RDB file that was loaded; loading: what is being loaded, None: nothing.
    """

    def __init__(self, server: Any) -> None:
        """server: engine.server.Server."""
        self._server = server
        self.last_save_s = now_ms() // 1000
        self.last_ok = True
        self.last_took_s = -1
        self.saves = 0
        self.scheduled = False
        self.loaded_keys = self.expired_keys = 0
        self.loading: Loading | None = None
        self._saved_at = server.keyspace.dirty      # of the keyspace's count of changes, what is on disk,
        self._child_saves = 0                       # and what will be when the child is done
        self._saved_s = _mono_s()
        self._last_try_s = 0
        self._started_s = -1
        self._reloading = False                     # DEBUG LOADAOF, DEBUG RELOAD
        config = server.config
        server.aof.on_status = self.check_writes
        config.subscribe("dir", self._enter)
        for name in ("save", "stop-writes-on-bgsave-error"):
            config.subscribe(name, lambda value: self.check_writes())

    @property
    def changes(self) -> int:
        """How many there were since the last save."""
        return max(0, self._server.keyspace.dirty - self._saved_at)

    def _enter(self, path: str) -> None:
        """CONFIG SET dir."""
        try:
            os.chdir(path)
        except OSError as error:
            raise ConfigError(error.strerror or str(error)) from None

    # --- saving ---------------------------------------------------------------------------------------------------

    @staticmethod
    def _temporary() -> str:
        return f"temp-{os.getpid()}.rdb"

    def save(self) -> bool:
        """Write dump.rdb now, while everybody waits; whether it is there."""
        server = self._server
        path, target = self._temporary(), server.config["dbfilename"]
        server.keyspace.set_time(now_ms())
        write = partial(server.snapshots.writer(), **save_options(server.config, RDB))
        failed = write_file(path, target, write, server.keyspace)
        if failed is not None:
            server.log.warning(sentence(path, target, *failed))
            return False
        server.log.notice("DB saved on disk")
        self._saved(server.keyspace.dirty)
        return True

    def _saved(self, changes: int) -> None:
        self._saved_at = changes
        self.last_save_s = now_ms() // 1000
        self._saved_s = _mono_s()
        self.last_ok = True
        self.check_writes()

    def start(self) -> bool:
        """Begin a BGSAVE; whether there is one. No child must be active."""
        server = self._server
        self.saves += 1
        self._last_try_s = _mono_s()
        try:
            server.snapshots.start(RDB, self._temporary(), self._done, rename_to=server.config["dbfilename"],
                                   before_fork=self._forking)
        except OSError as error:
            server.log.warning(f"Can't save in background: fork: {error.strerror}")
            self.last_ok = False
            self.check_writes()
            return False
        self._started_s = self._last_try_s
        return True

    def _forking(self) -> None:
        self._child_saves = self._server.keyspace.dirty

    def _done(self, error: str | None) -> None:
        """A BGSAVE is over."""
        log, snapshots = self._server.log, self._server.snapshots
        self.last_took_s = _mono_s() - self._started_s
        self._started_s = -1
        if error is None:
            log.notice("Background saving terminated with success")
            return self._saved(self._child_saves)
        log.warning(f"Background saving terminated by signal {snapshots.ended_by}" if snapshots.ended_by else
                    "Background saving error")
        if not snapshots.cancelled:
            self.last_ok = False
            self.check_writes()

    def background(self, schedule: bool) -> str:
        """BGSAVE [SCHEDULE]; what is replied. CommandError where it cannot be."""
        server = self._server
        if server.snapshots.active == RDB:
            raise CommandError(errors.SAVE_UNDER_WAY)
        in_exec = server.context.in_exec
        if server.snapshots.active or in_exec:
            if not schedule and not in_exec:
                raise CommandError(errors.SAVE_OTHER_CHILD)
            self.scheduled = True
            return "Background saving scheduled"
        if not self.start():
            raise CommandError(errors.SAVE_FAILED)
        return "Background saving started"

    def foreground(self) -> None:
        """SAVE. CommandError where it fails."""
        if self._server.snapshots.active == RDB:
            raise CommandError(errors.SAVE_UNDER_WAY)
        self.saves += 1
        if not self.save():
            raise CommandError(errors.SAVE_FAILED)

    def flushed(self) -> None:
        """FLUSHALL has emptied everything: a snapshot of what was is of no use, and with save points the empty state is
        saved at once, as in Redis. One that the append only file tells of changes no other file: in the middle of a
        loading dump.rdb would lose what is there."""
        server = self._server
        if self.loading is not None or self._reloading:
            return
        points = server.config["save"]
        if server.snapshots.active == RDB:
            if points:
                server.snapshots.stop()
            else:
                server.snapshots.cancel()
        if points:
            self.save()

    def cron(self) -> None:
        """Each turn of the clock: what is due."""
        server = self._server
        if server.snapshots.active:
            return
        now_s = _mono_s()
        may_try = self.last_ok or now_s - self._last_try_s > limits.BGSAVE_RETRY_S
        if self.scheduled and may_try:
            self.scheduled = not self.start()
            return
        engines = len(server.topology.engines) if server.topology is not None else 1
        for seconds, changes in server.config["save"]:
            if self.changes * engines >= changes and now_s - self._saved_s > seconds and may_try:
                server.log.notice(f"{changes} changes in {seconds} seconds. Saving...")
                self.start()
                return

    def remove_leftovers(self) -> None:
        """At a start: what processes that died while they saved have left in `dir`."""
        for path in glob.glob("temp-*"):
            name = _TEMPORARY.fullmatch(path)
            if name is None or (int(name[1]) != os.getpid() and os.path.exists(f"/proc/{name[1]}")):
                continue
            try:
                os.unlink(path)
            except OSError as error:
                self._server.log.warning(f"{path} is left over from a save that was interrupted, and can't be removed: "
                                         f"{error.strerror}")
            else:
                self._server.log.notice(f"Removed {path}, left over from a save that was interrupted")

    # --- a disk that fails ----------------------------------------------------------------------------------------

    def check_writes(self) -> None:
        """Whether writes are refused has to be decided anew."""
        server = self._server
        text = server.aof.error_text
        config = server.config
        if not self.last_ok and config["stop-writes-on-bgsave-error"] and config["save"]:
            text = errors.MISCONF_RDB
        server.dispatcher.writes_denied = text

    # --- the end --------------------------------------------------------------------------------------------------

    def leave(self, save: bool | None, force: bool = False) -> bool:
        """Before the process ends: end the child, and write dump.rdb where that is asked for. False: the data would be
        lost, so stay; never with `force`.

        save: SHUTDOWN's SAVE (True), NOSAVE (False), None: where there are save points. The append only file is closed
        later, with the process.
        """
        server, log = self._server, self._server.log
        if self.loading is not None:
            save = False        # half the data must not take the place of all
        if server.snapshots.active == RDB:
            log.warning("There is a child saving an .rdb. Killing it!")
            server.snapshots.stop()
        elif server.snapshots.active == AOF:
            if server.aof.state == "wait" and not force:
                log.warning("Writing initial AOF, can't exit.")
                return False
            log.warning("There is a child rewriting the AOF. Killing it!")
            server.snapshots.stop()
        elif server.snapshots.pid:
            log.warning("There is a child writing a part of a backup. Killing it!")
            server.snapshots.stop()
        if save or (save is None and server.config["save"]):
            log.notice("Saving the final RDB snapshot before exiting.")
            if not self.save():
                if not force:
                    log.warning("Error trying to save the DB, can't exit.")
                    return False
                log.warning("Error trying to save the DB. Exit anyway.")
        return True

    # --- DEBUG RELOAD, DEBUG LOADAOF ------------------------------------------------------------------------------

    def reload(self, *, merge: bool = False, flush: bool = True, save: bool = True) -> None:
        """Save, forget everything, load. CommandError where that fails."""
        server = self._server
        if self.loading is not None:
            raise CommandError(errors.LOADING)
        if server.snapshots.active == RDB:
            server.snapshots.stop()         # its file would come behind ours, and be older
        if save and not self.save():
            raise CommandError(errors.SAVE_FAILED)
        self._load_now(flush, lambda: RdbFile(server, server.config["dbfilename"], replace=merge))
        server.log.warning("DB reloaded by DEBUG RELOAD")

    def load_aof(self) -> None:
        """Forget everything, and load the append only file. CommandError where that fails."""
        server = self._server
        if self.loading is not None:
            raise CommandError(errors.LOADING)
        self._load_now(True, server.aof.reload)
        server.log.warning("Append Only File loaded by DEBUG LOADAOF")

    def _load_now(self, flush: bool, source: Callable[[], Any]) -> None:
        server = self._server
        keyspace = server.keyspace
        unsaved = self.changes
        self._reloading = True
        try:
            if flush:
                for db in keyspace.databases:
                    db.clear()
                while keyspace.free_step(limits.LOAD_FREE_KEYS):
                    pass
            part = source()
            while part is not None and not part.step(mono_us() + limits.LOAD_STEP_US):
                pass
        except LoadError as error:
            server.log.warning(str(error))
            raise CommandError(errors.DEBUG_RELOAD_FAILED) from None
        finally:
            self._reloading = False
            keyspace.set_time(now_ms())
            self._saved_at = keyspace.dirty - unsaved

    def loaded(self) -> None:
        """At a start: all is loaded, and what is on disk is what we have."""
        self._saved_at = self._server.keyspace.dirty
        self.loading = None

    # --- INFO -----------------------------------------------------------------------------------------------------

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT"""
        self.saves = 0

    def facts(self) -> Facts:
        """INFO's section `persistence`."""
        server, snapshots = self._server, self._server.snapshots
        done, total = snapshots.keys_done, snapshots.keys_total
        facts: Facts = {
            "loading": int(self.loading is not None), "async_loading": 0, "current_cow_peak": snapshots.cow_peak,
            "current_cow_size": snapshots.cow_now, "current_cow_size_age": snapshots.cow_age_s,
            "current_fork_perc": f"{100 * done / total if total else 0:.2f}", "current_save_keys_processed": done,
            "current_save_keys_total": total, "rdb_changes_since_last_save": self.changes,
            "rdb_bgsave_in_progress": int(snapshots.active == RDB), "rdb_last_save_time": self.last_save_s,
            "rdb_last_bgsave_status": "ok" if self.last_ok else "err", "rdb_last_bgsave_time_sec": self.last_took_s,
            "rdb_current_bgsave_time_sec": _mono_s() - self._started_s if self._started_s >= 0 else -1,
            "rdb_saves": self.saves, "rdb_last_cow_size": snapshots.cow_bytes[RDB],
            "rdb_last_load_keys_expired": self.expired_keys, "rdb_last_load_keys_loaded": self.loaded_keys,
            **server.aof.facts(), "module_fork_in_progress": 0, "module_fork_last_cow_size": 0,
            **server.aof.more_facts(),
        }
        return facts | self.loading.facts() if self.loading is not None else facts
