"""The life of a log: its first files, its rewriting step by step, crashes between the steps, on and off at run time."""
import contextlib
import errno
import os
import shutil
import time
from functools import partial
from pathlib import Path

import pytest

from harness import OK, Error
from harness.resp import Status, encode
from shardd.base.errors import LoadError
from shardd.engine.loading import Loading
from shardd.journal import manifest as manifests
from unit.journal.aof_rig import Log

DIRECTORY = Path("appendonlydir")
MANIFEST = DIRECTORY / "appendonly.aof.manifest"


class Child:
    """Takes the place of server.snapshots: a child that ends when the test says so."""

    def __init__(self, log: Log) -> None:
        self.log, self.active, self.pid, self.cancelled, self.ended_by = log, "", 0, False, 0
        self.cow_bytes = {"aof": 4711, "rdb": 0}
        self.fails: OSError | None = None
        log.server.snapshots = self

    def start(self, purpose, path, on_done, *, aof_base, before_fork, write=None):
        self.log.server.journal.flush()
        before_fork()
        if self.fails:
            raise self.fails
        self.active, self.pid, self.on_done = purpose, 99, on_done
        fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        (write or self.log.aof._writer_of_base(True))(self.log.server.keyspace, fd)
        os.close(fd)

    def end(self, error: str | None = None) -> None:
        self.active = ""
        self.on_done(error)

    def stop(self) -> None:
        self.cancelled = True
        self.end("cancelled")


@pytest.fixture
def started(tmp_path, monkeypatch):
    def start(*options: str) -> Log:
        log = Log("--appendfsync", "no", *options).load()
        log.aof.open()
        log.child = Child(log)
        return log

    monkeypatch.chdir(tmp_path)
    return start


def names() -> list[str]:
    return sorted(name.removeprefix("appendonly.aof.") for name in os.listdir(DIRECTORY))


def told() -> list[str]:
    return [" ".join(line.split()[1::2]).removeprefix("appendonly.aof.") for line in MANIFEST.read_text().splitlines()]


def reloaded() -> dict[bytes, bytes]:
    return Log().load().strings()


# --- the first files --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("preamble, suffix", [("yes", "rdb"), ("no", "aof")])
def test_a_log_begins_with_a_base_and_an_increment(started, preamble, suffix):
    log = started("--aof-use-rdb-preamble", preamble)
    assert names() == [f"1.base.{suffix}", "1.incr.aof", "manifest"]
    assert told() == [f"1.base.{suffix} 1 b", "1.incr.aof 1 i"]
    assert log.aof.state == "on" and log.said("Creating AOF base file appendonly.aof.1.base")
    size = (DIRECTORY / f"appendonly.aof.1.base.{suffix}").stat().st_size
    assert log.aof.more_facts()["aof_base_size"] == log.aof.more_facts()["aof_current_size"] == size


def test_data_that_came_from_elsewhere_is_in_the_first_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = Log()
    log.engine("SET from_dump 1")
    log.aof.open()
    assert reloaded() == {b"from_dump": b"1"}


def test_the_last_increment_is_gone_on_with(started):
    log = started()
    log.engine("SET a 1")
    log.aof.close()
    again = Log().load()
    again.aof.open()
    again.engine("SET b 2")
    again.aof.close()
    assert told() == ["1.base.rdb 1 b", "1.incr.aof 1 i"] and reloaded() == {b"a": b"1", b"b": b"2"}
    assert again.said("Opening AOF incr file appendonly.aof.1.incr.aof on server start")
    sizes = [path.stat().st_size for path in DIRECTORY.iterdir() if path != MANIFEST]
    assert Log().load().aof.more_facts() == {}
    later = Log().load()
    later.aof.open()
    assert later.aof.more_facts()["aof_current_size"] == sum(sizes)


def test_a_manifest_without_increments_is_enough(started):
    started().aof.close()
    manifests.write_single_base(str(DIRECTORY), "appendonly.aof", "appendonly.aof.1.base.rdb")
    os.unlink(DIRECTORY / "appendonly.aof.1.incr.aof")
    log = Log().load()
    log.aof.open()
    assert told() == ["1.base.rdb 1 b", "1.incr.aof 1 i"]


def test_a_place_that_cannot_be_written_is_fatal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("appendonlydir").write_text("no directory")
    with pytest.raises(LoadError, match="Can't open or create append-only dir appendonlydir"):
        Log().aof.open()


def test_history_is_deleted_at_the_start(started):
    started().aof.close()
    (DIRECTORY / "old").write_text("x")
    MANIFEST.write_text(MANIFEST.read_text() + "file old seq 9 type h\n")
    kept = Log("--aof-disable-auto-gc", "yes").load()
    kept.aof.open()
    kept.aof.close()
    assert "old" in names()
    Log().load().aof.open()
    assert "old" not in names() and told() == ["1.base.rdb 1 b", "1.incr.aof 1 i"]


# --- rewriting --------------------------------------------------------------------------------------------------------

def test_a_rewrite_step_by_step(started):
    log = started()
    log.engine("SET a 1")
    assert log.engine("BGREWRITEAOF") == Status("Background append only file rewriting started")
    assert told() == ["1.base.rdb 1 b", "1.incr.aof 1 i", "2.incr.aof 2 i"]
    assert log.engine("BGREWRITEAOF") == Error("ERR Background append only file rewriting already in progress")
    log.engine("SET b 2")
    assert (DIRECTORY / "appendonly.aof.2.incr.aof").read_bytes() == encode("SELECT", 0) + encode("SET", "b", 2)
    assert reloaded() == {b"a": b"1", b"b": b"2"}
    log.child.end()
    assert told() == ["2.base.rdb 2 b", "2.incr.aof 2 i"] and names() == ["2.base.rdb", "2.incr.aof", "manifest"]
    assert reloaded() == {b"a": b"1", b"b": b"2"} and not list(Path().glob("temp*"))
    facts = log.aof.facts() | log.aof.more_facts()
    assert (facts["aof_rewrites"], facts["aof_last_bgrewrite_status"], facts["aof_last_cow_size"]) == (1, "ok", 4711)
    assert facts["aof_base_size"] == facts["aof_current_size"] == sum(
        (DIRECTORY / f"appendonly.aof.{name}").stat().st_size for name in ("2.base.rdb", "2.incr.aof"))


def test_a_slow_rename_is_a_latency_event(started, monkeypatch):
    log = started("--latency-monitor-threshold", "1")
    rename = os.rename

    def slowly(old, new) -> None:
        time.sleep(0.002)
        rename(old, new)

    log.aof.rewrite()
    monkeypatch.setattr(os, "rename", slowly)
    log.child.end()
    assert [event[0] for event in log.engine("LATENCY LATEST")] == [b"aof-rename"]


def test_a_failed_rewrite_leaves_all_and_the_next_one_takes_all(started):
    log = started()
    for number in (1, 2):
        log.engine("SET", f"k{number}", number)
        log.engine("BGREWRITEAOF")
        log.child.end("no space")
        assert log.aof.facts()["aof_rewrites_consecutive_failures"] == number
        assert log.aof.facts()["aof_last_bgrewrite_status"] == "err"
    log.engine("SET k3 3")
    assert told() == ["1.base.rdb 1 b", "1.incr.aof 1 i", "2.incr.aof 2 i", "3.incr.aof 3 i"]
    state = log.strings()
    assert reloaded() == state and len(state) == 3
    log.engine("BGREWRITEAOF")
    log.child.end()
    assert told() == ["2.base.rdb 2 b", "4.incr.aof 4 i"] and names() == ["2.base.rdb", "4.incr.aof", "manifest"]
    assert reloaded() == state and log.aof.failures == 0


class Crash(BaseException):
    """The process ends here."""


def test_a_crash_at_any_step_loses_nothing_and_applies_nothing_twice(started, tmp_path, monkeypatch):
    """Each call that changes the disk, once before it and once behind it."""
    reached = set()
    for number in range(40):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        log = started()
        log.engine("SET n 5")
        log.engine("INCR n")
        left, at = number, []

        def step(name, call, *args, **options):
            """One call: the process ends before it, or behind it, or goes on."""
            nonlocal left
            for act in (lambda: None, lambda: call(*args, **options)):
                if at or left < 0:
                    at.append(name)     # nothing more is done once it has ended
                    raise Crash
                done = act()
                left -= 1
            return done

        with monkeypatch.context() as patch:
            for module, names_ in ((os, ("open", "rename", "unlink")), (manifests, ("write",))):
                for name in names_:
                    patch.setattr(module, name, partial(step, name, getattr(module, name)))
            with contextlib.suppress(Crash):
                assert log.aof.rewrite()
                log.engine("INCR n")
                log.child.end()
        crashed = at[0] if at else None
        if crashed is None:
            break
        reached.add(crashed)
        expected = log.strings()
        assert reloaded() == expected, (number, crashed)
        again = Log().load()
        again.aof.open()
        again.engine("INCR n")
        assert reloaded() == {b"n": b"%d" % (int(expected[b"n"]) + 1)}
    else:
        pytest.fail("more steps than expected")
    assert reached == {"open", "rename", "write", "unlink"} and number > 10


def test_a_disk_that_fails_at_the_end_leaves_the_old_files_in_force(started, monkeypatch):
    log = started()
    log.engine("SET a 1")
    log.engine("BGREWRITEAOF")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(manifests, "write", fail)
        log.child.end()
    assert log.aof.facts()["aof_last_bgrewrite_status"] == "err" and "2.base.rdb" not in names()
    assert told() == ["1.base.rdb 1 b", "1.incr.aof 1 i", "2.incr.aof 2 i"]
    log.engine("SET b 2")
    assert reloaded() == {b"a": b"1", b"b": b"2"}


def test_nothing_is_rewritten_where_it_cannot_begin(started, monkeypatch):
    log = started()
    log.engine("SET a 1")
    refused = Error("ERR Can't execute an AOF background rewriting. Please check the server logs for more information.")
    log.writer.planned = [-errno.ENOSPC] * 9
    log.engine("SET b 2")
    assert log.engine("BGREWRITEAOF") == refused    # what waits to be written would be there twice
    log.writer.planned = []
    log.child.fails = OSError(errno.EAGAIN, "Resource temporarily unavailable")
    assert log.engine("BGREWRITEAOF") == refused and log.said("Can't rewrite append only file in background: Resource")
    log.engine("SET c 3")
    assert reloaded() == {b"a": b"1", b"b": b"2", b"c": b"3"}
    assert log.aof.facts()["aof_last_bgrewrite_status"] == "err"


def test_a_rewrite_waits_for_another_child_and_for_a_transaction(started):
    log = started()
    log.child.active = "rdb"
    assert log.engine("BGREWRITEAOF") == Status("Background append only file rewriting scheduled")
    log.aof.cron()
    assert log.aof.facts()["aof_rewrite_scheduled"] == 1 and log.aof.rewrites == 0
    log.child.active = ""
    log.aof.cron()
    assert log.child.active == "aof" and log.aof.facts()["aof_rewrite_scheduled"] == 0
    log.child.end()
    log.engine("MULTI")
    log.engine("BGREWRITEAOF")
    assert log.engine("EXEC") == [Status("Background append only file rewriting scheduled")] and log.aof.scheduled


def test_growth_starts_a_rewrite(started):
    log = started("--auto-aof-rewrite-min-size", "2000", "--auto-aof-rewrite-percentage", "100")
    log.engine("SET", "a", "x" * 1000)
    log.aof.cron()
    assert log.child.active == ""
    log.engine("SET", "a", "x" * 1000)
    log.aof.cron()
    assert log.child.active == "aof" and log.said("Starting automatic rewriting of AOF on ")
    log.child.end()
    log.engine("SET", "a", "x" * 500)
    log.aof.cron()
    assert log.child.active == ""       # it has not doubled
    log.engine("CONFIG SET auto-aof-rewrite-percentage 0")
    log.engine("SET", "a", "x" * 5000)
    log.aof.cron()
    assert log.child.active == ""


def test_rewrites_that_fail_again_and_again_come_less_often(started, monkeypatch):
    log = started("--auto-aof-rewrite-min-size", "0", "--auto-aof-rewrite-percentage", "1")
    log.engine("SET", "a", "x" * 1000)
    now = [10_000_000]
    monkeypatch.setattr("shardd.engine.appendonly.mono_ms", lambda: now[0])
    for _ in range(3):
        log.aof.cron()
        log.child.end("no")
    pauses = []
    for _ in range(8):
        begun = now[0]
        log.aof.cron()
        while log.child.active == "":
            now[0] += 30_000
            log.aof.cron()
        log.child.end("no")
        pauses.append((now[0] - begun) // 60_000)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    assert log.said("Background AOF rewrite has repeatedly failed and triggered the limit, will retry in 60 minutes")
    log.engine("BGREWRITEAOF")          # at once
    assert log.child.active == "aof"


# --- on and off -------------------------------------------------------------------------------------------------------

def test_switched_on_at_run_time_the_log_begins_with_a_rewrite(started):
    log = started()
    log.engine("SET a 1")
    assert log.engine("CONFIG SET appendonly no") == OK
    assert log.aof.state == "off" and not log.server.journal.active and log.aof.more_facts() == {}
    log.engine("SET a 2")
    assert log.engine("CONFIG SET appendonly yes") == OK
    assert log.aof.state == "wait" and log.aof.facts()["aof_enabled"] == 1
    log.engine("SET b 3")
    assert reloaded() == {b"a": b"1"}           # the old log is in force until then
    log.child.end("no space")
    assert log.aof.state == "wait" and log.aof.scheduled and not log.server.journal.active
    assert "temp-appendonly.aof.incr" not in os.listdir(DIRECTORY)
    log.engine("SET c 4")
    log.aof.cron()
    log.engine("SET d 5")
    log.child.end()
    assert log.aof.state == "on" and told() == ["2.base.rdb 2 b", "2.incr.aof 2 i"]
    log.engine("SET e 6")
    assert reloaded() == {b"a": b"2", b"b": b"3", b"c": b"4", b"d": b"5", b"e": b"6"}


def test_switched_off_while_it_is_rewritten(started):
    log = started()
    log.engine("SET a 1")
    log.engine("BGREWRITEAOF")
    log.engine("SET b 2")
    log.engine("CONFIG SET appendonly no")
    assert log.child.active == "" and log.said("Killing running AOF rewrite child: 99")
    assert reloaded() == {b"a": b"1", b"b": b"2"}
    assert log.aof.facts()["aof_last_bgrewrite_status"] == "ok" and log.aof.failures == 0


@pytest.mark.parametrize("on", [False, True])
def test_switched_at_the_very_moment_that_the_child_is_done(tmp_path, monkeypatch, on):
    """Its base lacks what came after the fork, which is in an increment, or nowhere where the log was off."""
    monkeypatch.chdir(tmp_path)
    log = Log("--appendfsync", "no").load()
    log.aof.open()
    log.engine("SET a 1")
    if on:
        assert log.engine("CONFIG SET appendonly no") == OK
        log.engine("SET a 2")
        (DIRECTORY / "temp-appendonly.aof.incr").write_bytes(encode("SET", "a", "of another time"))
    log.engine("BGREWRITEAOF")
    os.waitid(os.P_PID, log.server.snapshots.pid, os.WEXITED | os.WNOWAIT)
    log.engine("SET b 3")
    assert log.engine("CONFIG", "SET", "appendonly", "yes" if on else "no") == OK
    assert reloaded() == ({b"a": b"1"} if on else {b"a": b"1", b"b": b"3"})
    log.server.snapshots.stop()


def test_switched_on_in_a_transaction_while_it_is_rewritten(started):
    log = started()
    log.engine("CONFIG SET appendonly no")
    log.engine("BGREWRITEAOF")
    (DIRECTORY / "temp-appendonly.aof.incr").write_bytes(encode("SET", "a", "of another time"))
    log.engine("MULTI")
    log.engine("CONFIG SET appendonly yes")
    log.engine("EXEC")
    assert log.child.active == "" and log.aof.scheduled
    log.aof.cron()
    log.engine("SET b 1")
    log.child.end()
    assert log.aof.state == "on" and log.writer.fd >= 0 and reloaded() == {b"b": b"1"}


def test_switched_off_before_it_was_on(started):
    log = started()
    log.engine("CONFIG SET appendonly no")
    log.engine("CONFIG SET appendonly yes")
    assert "temp-appendonly.aof.incr" in os.listdir(DIRECTORY)
    log.engine("CONFIG SET appendonly no")
    assert "temp-appendonly.aof.incr" not in os.listdir(DIRECTORY)


def test_a_fork_that_is_put_off_and_fails_leaves_it_waiting(started, monkeypatch):
    log = started()
    log.engine("CONFIG SET appendonly no")
    turns = []
    monkeypatch.setattr(log.child, "start", lambda *args, **options: turns.append(args[2]))
    log.engine("CONFIG SET appendonly yes")
    log.engine("SET a 1")
    turns[0]("fork: Cannot allocate memory")
    assert log.aof.state == "wait" and log.aof.scheduled and not log.server.journal.active
    log.engine("SET b 2")
    log.aof.cron()
    assert len(turns) == 2 and log.aof.facts()["aof_last_bgrewrite_status"] == "err"


def test_it_cannot_be_switched_on_where_no_child_can_begin(started):
    log = started()
    log.engine("CONFIG SET appendonly no")
    log.child.fails = OSError(errno.ENOMEM, "Cannot allocate memory")
    assert log.engine("CONFIG SET appendonly yes") == Error(
        "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn on AOF. Check server logs.")
    assert log.aof.state == "off" and log.engine("CONFIG GET appendonly") == [b"appendonly", b"no"]


def test_switching_on_waits_for_another_child(started):
    log = started()
    log.engine("CONFIG SET appendonly no")
    log.child.active = "rdb"
    log.engine("CONFIG SET appendonly yes")
    assert log.aof.state == "wait" and log.aof.scheduled
    log.child.active = ""
    log.aof.cron()
    assert log.child.active == "aof"


def test_writes_are_refused_while_they_cannot_be_logged(started):
    log = started()
    log.writer.planned = [-errno.ENOSPC] * 3
    assert log.engine("SET a 1") == OK          # with everysec and no it is said before it is known
    refused = Error("MISCONF Errors writing to the AOF file: No space left on device")
    assert log.engine("SET a 2") == refused and log.engine("PING") == refused and log.engine("GET a") == b"1"
    log.engine("MULTI")
    assert log.engine("SET a 2") == refused
    assert log.engine("EXEC") == Error("EXECABORT Transaction discarded because of previous errors.")
    log.writer.planned = []
    log.aof.cron()
    assert log.engine("SET a 3") == OK and reloaded() == {b"a": b"3"}


def test_resetstat(started):
    log = started()
    log.engine("BGREWRITEAOF")
    log.child.end("no")
    log.writer.delayed_syncs = 7
    log.engine("CONFIG RESETSTAT")
    facts = log.aof.facts() | log.aof.more_facts()
    assert (facts["aof_rewrites"], facts["aof_rewrites_consecutive_failures"], facts["aof_delayed_fsync"]) == (0, 0, 0)
    assert facts["aof_last_bgrewrite_status"] == "err"


# --- WAITAOF ----------------------------------------------------------------------------------------------------------

def test_waitaof_answers_at_once_where_all_is_on_disk(started):
    log = started("--appendfsync", "always")
    assert log.engine("WAITAOF 1 0 0") == [1, 0]
    log.engine("SET a 1")
    assert log.engine("WAITAOF 1 0 0") == [1, 0]
    log.engine("MULTI"), log.engine("SET a 2"), log.engine("WAITAOF 1 0 0")
    assert log.engine("EXEC") == [OK, [0, 0]]


def test_waitaof_waits_for_the_sync(started):
    log = started("--appendfsync", "everysec")
    log.writer.syncer.hold(True)
    log.engine("SET a 1")
    caller = log.engine.run
    caller.send(encode("WAITAOF", 1, 0, 0) + encode("GET", "a"))
    assert not caller._turn()
    log.writer.syncer.hold(False)
    while log.writer.syncer.syncing:
        pass
    log.aof.cron()
    log.server.dispatcher.end_of_batch()
    assert caller.read() == [1, 0] and caller.read() == b"1"


def test_waitaof_ends_with_its_time_or_with_the_log(started):
    log = started("--appendfsync", "no")
    log.engine("SET a 1")
    caller = log.engine.run
    for words in ((1, 0, 1), (0, 1, 1)):        # there is no replica
        caller.send(encode("WAITAOF", *words))
        log.server.dispatcher.blocking.time_out(2**62)
        log.server.dispatcher.end_of_batch()
        assert caller.read() == [0, 0]
    caller.send(encode("WAITAOF", 1, 0, 0))
    log.server.config.set_many([(b"appendonly", b"no")])
    log.server.dispatcher.end_of_batch()
    off = Error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
    assert caller.read() == off
    assert log.engine("WAITAOF 1 0 0") == off and log.engine("WAITAOF 0 0 0") == [0, 0]


@pytest.mark.parametrize("words, text", [
    ("x 0 0", "ERR value is not an integer or out of range"),
    ("2 0 0", "ERR value is out of range, value must between 0 and 1"),
    ("-1 0 0", "ERR value is out of range, value must between 0 and 1"),
    ("0 -1 0", "ERR value is out of range, must be positive"), ("0 x 0", "ERR value is out of range, must be positive"),
    ("0 0 x", "ERR timeout is not an integer or out of range"), ("0 0 -1", "ERR timeout is negative"),
    ("0 0 9223372036854775807", "ERR timeout is out of range")])
def test_waitaof_says_what_is_wrong(started, words, text):
    assert started().engine("WAITAOF " + words) == Error(text)


# --- loaded again -----------------------------------------------------------------------------------------------------

def test_what_is_loaded_again_does_not_go_to_the_log_again(started):
    log = started()
    log.engine("SET a 1 PX 1000000"), log.engine("SADD s 1 2 3"), log.engine("SPOP s"), log.engine("INCRBYFLOAT f 1.5")
    log.server.journal.flush()
    size = (DIRECTORY / "appendonly.aof.1.incr.aof").stat().st_size
    assert log.engine("DEBUG LOADAOF") == OK
    log.server.journal.flush()
    assert (DIRECTORY / "appendonly.aof.1.incr.aof").stat().st_size == size
    log.engine("SET b 2")
    assert (DIRECTORY / "appendonly.aof.1.incr.aof").stat().st_size > size


@pytest.mark.parametrize("again", [False, True])
def test_a_flushall_in_the_log_leaves_dump_rdb_and_the_loading_alone(started, again):
    log = started()
    log.engine("SET b 1"), log.engine("FLUSHALL"), log.engine("SET a 1 PXAT", 4_000_000_000_000), log.engine("SET a 2")
    log.aof.close()
    Path("dump.rdb").write_bytes(b"what was saved")
    other = Log("--save", "3600", "1000")
    if again:
        other.aof.load()
        assert other.engine("DEBUG LOADAOF") == OK
    else:
        loading = Loading(other.server)
        other.server.begin_loading(loading)
        while not loading.step(2**60):
            pass
        other.server.end_loading()
    assert other.strings() == {b"a": b"2"} and Path("dump.rdb").read_bytes() == b"what was saved"


# --- files that are not as the manifest says ----------------------------------------------------------------------

def test_a_manifest_that_is_in_place_though_its_sync_failed_keeps_its_files(started, monkeypatch):
    log = started()
    log.engine("SET a 1")
    log.engine("BGREWRITEAOF")
    write = manifests.write

    def written_and_failed(*args):
        write(*args)
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(manifests, "write", written_and_failed)
        log.child.end()
    assert log.aof.facts()["aof_last_bgrewrite_status"] == "err" and told() == ["2.base.rdb 2 b", "1.incr.aof 1 h",
                                                                                "1.base.rdb 1 h", "2.incr.aof 2 i"]
    log.engine("SET b 2")
    assert reloaded() == {b"a": b"1", b"b": b"2"}


@pytest.mark.parametrize("base", [b"", b"REDI", b"*1\r\n$4\r\nPING\r\n"])
def test_a_base_that_should_be_an_rdb_file_is_one(started, base):
    started().aof.close()
    (DIRECTORY / "appendonly.aof.1.base.rdb").write_bytes(base)
    with pytest.raises(LoadError, match="Error reading the RDB base file appendonly.aof.1.base.rdb.*RDB file|is empty"):
        Log().load()


def test_a_crash_while_the_log_is_switched_on_leaves_one_that_can_be_loaded(started):
    """Of the two files one is there at first: the base, which the manifest names before the increment comes."""
    log = started()
    log.engine("CONFIG SET appendonly no")
    for path in DIRECTORY.iterdir():
        path.unlink()
    log.aof.manifest = manifests.Manifest()
    log.engine("SET a 1"), log.engine("CONFIG SET appendonly yes"), log.engine("SET b 2")
    steps = []
    put = log.aof._put

    def looked_at(*args):
        put(*args)
        steps.append((told(), reloaded()))

    log.aof._put = looked_at
    log.child.end()
    assert steps == [(["1.base.rdb 1 b"], {b"a": b"1"}),
                     (["1.base.rdb 1 b", "1.incr.aof 1 i"], {b"a": b"1", b"b": b"2"})]


def test_what_a_rewrite_that_died_has_left_is_removed(started):
    log = started()
    for name in ("temp-rewriteaof-bg-99999999.aof", "temp-99999999.rdb", "temp-rewriteaof-bg-1.aof", "temp-other.aof"):
        Path(name).write_text("x")
    log.server.persistence.remove_leftovers()
    assert sorted(path.name for path in Path().glob("temp*")) == ["temp-other.aof", "temp-rewriteaof-bg-1.aof"]


def test_a_log_that_was_deleted_is_written_anew(started):
    log = started()
    log.engine("SET a 1")
    shutil.rmtree(DIRECTORY)
    log.engine("SET b 2")
    log.aof._look_ms = 0
    log.aof.cron()
    assert log.said("The AOF incr file appendonly.aof.1.incr.aof has been deleted") and log.child.active == "aof"
    log.child.end()
    log.engine("SET c 3")
    assert reloaded() == {b"a": b"1", b"b": b"2", b"c": b"3"}
    said = len(log.lines)
    log.aof._look_ms = 0
    log.aof.cron()
    assert log.child.active == "" and len(log.lines) == said


def test_a_rewrite_that_is_scheduled_and_cannot_begin_is_not_tried_at_every_turn(started):
    log = started()
    shutil.rmtree(DIRECTORY)
    DIRECTORY.write_text("in the way")
    log.aof.scheduled = True
    for _ in range(20):
        log.aof.cron()
    assert sum("Can't open or create append-only dir" in line for line in log.lines) == 3
    assert log.aof.facts()["aof_last_bgrewrite_status"] == "err"


def test_a_new_directory_is_synced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    synced = []
    monkeypatch.setattr("shardd.engine.appendonly.sync_directory", synced.append)
    Log().aof.open()
    Log().load().aof.open()
    assert synced == [""]
