"""The writer: what is in the file before a reply leaves, and what becomes of it where the disk fails."""
import errno
import os
import time
from pathlib import Path

import pytest

from harness import OK
from harness.resp import encode
from unit.inproc import Caller
from unit.journal.aof_rig import INCREMENT, Log

SELECT = encode("SELECT", 0)


@pytest.fixture
def log(tmp_path, monkeypatch):
    def start(*options: str) -> Log:
        log = Log(*options).load()
        log.server.aof.open()
        return log

    monkeypatch.chdir(tmp_path)
    return start


def file(name: str = INCREMENT) -> bytes:
    return (Path("appendonlydir") / name).read_bytes()


def sets(*numbers: int) -> bytes:
    return b"".join(encode("SET", "k", n) for n in numbers)


# --- as it should be --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("policy", ["always", "everysec", "no"])
def test_effects_are_in_the_file_before_their_reply(log, policy):
    log = log("--appendfsync", policy)
    assert file() == b""
    for number in (1, 2):
        until(lambda: not log.writer.syncer.syncing)
        assert log.engine("SET", "k", number) == OK
        assert file() == SELECT + sets(*range(1, number + 1))
    assert log.writer.size == len(file()) and log.writer.written == log.writer.taken == log.server.journal.offset
    if policy == "always":
        assert log.writer.synced == log.writer.written


def test_what_a_turn_brings_is_one_write_and_one_sync(log):
    log = log("--appendfsync", "always")
    log.writer.planned = [None] * 10
    callers = [Caller(log.engine) for _ in range(3)]
    for number, caller in enumerate(callers):
        caller.sock.send(encode("SET", "k", number) * 2)
    log.server.reactor.poll()
    assert len(log.writer.planned) == 9 and log.writer.synced == log.writer.written == len(file())


def test_a_transaction_is_one_write(log):
    log = log()
    log.writer.planned = [None] * 10
    log.engine.run.send(b"".join(encode(*line.split()) for line in ("MULTI", "SET a 1", "SELECT 2", "SET b 1", "EXEC")))
    assert len(log.writer.planned) == 9
    assert file() == b"".join(encode(*line.split()) for line in (
        "MULTI", "SELECT 0", "SET a 1", "SELECT 2", "SET b 1", "EXEC"))


def test_expiry_and_eviction_get_there(log):
    log = log("--appendfsync", "always")
    log.engine("SET", "k", 1, "PX", 1)
    log.server.keyspace.set_time(log.server.keyspace.now_ms + 1000)
    log.server.expirer.cycle(100_000)
    log.server.dispatcher.send_all()
    assert file().endswith(encode("DEL", "k")) and log.writer.synced == log.writer.written


def test_time_stamps(log):
    log = log("--aof-timestamp-enabled", "yes", "--appendfsync", "no")
    before = int(time.time())
    log.engine("SET k 1")
    log.engine("SET k 2")
    stamp, rest = file().split(b"\r\n", 1)
    assert stamp.startswith(b"#TS:") and before <= int(stamp[4:]) <= time.time()
    assert rest.replace(stamp, b"") in (SELECT + sets(1, 2), SELECT + sets(1) + b"\r\n" + sets(2))


def test_everysec_syncs_in_a_thread_once_a_second(log):
    log = log("--appendfsync", "everysec")
    writer = log.writer
    log.engine("SET k 1")
    until(lambda: writer.synced == writer.written)
    begun = time.monotonic()        # it may take its time, from here on, before the next is due
    log.engine("SET k 2")
    writer.flush()
    assert writer.synced_size < writer.size or time.monotonic() - begun > 0.5, "not so soon"
    until(lambda: (writer.flush(), writer.synced == writer.written)[1])


def until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# --- a slow disk ------------------------------------------------------------------------------------------------------

def test_writes_wait_for_a_slow_sync_two_seconds_at_most(log):
    log = log("--appendfsync", "everysec")
    writer = log.writer
    writer.syncer.hold(True)
    begun = time.monotonic()
    log.engine("SET k 1")
    assert writer.syncer.syncing == 1
    log.engine("SET k 2")       # answered, but kept
    assert file() == SELECT + sets(1) and writer.pending_len == len(sets(2)) and writer.postponed_ms
    until(lambda: (writer.flush(), writer.delayed_syncs)[1])
    assert 1.9 < time.monotonic() - begun
    assert file() == SELECT + sets(1, 2) and writer.pending_len == 0
    assert log.said("Asynchronous AOF fsync is taking too long")
    assert writer.syncer.syncing == 1
    writer.syncer.hold(False)
    until(lambda: not writer.syncer.syncing)


def test_what_waits_is_written_when_the_sync_is_over(log):
    log = log("--appendfsync", "everysec")
    writer = log.writer
    writer.syncer.hold(True)
    for number in (1, 2, 3):
        log.engine("SET", "k", number)
    assert file() == SELECT + sets(1)
    writer.syncer.hold(False)
    until(lambda: not writer.syncer.syncing)
    log.engine("SET k 4")
    assert file() == SELECT + sets(1, 2, 3, 4) and writer.delayed_syncs == 0 and writer.written == writer.taken


def test_debug_aof_flush_sleep(log):
    log = log("--appendfsync", "no", "--latency-monitor-threshold", "20")
    assert log.engine("DEBUG AOF-FLUSH-SLEEP 60000") == OK
    begun = time.monotonic()
    log.engine("SET k 1")
    assert time.monotonic() - begun >= 0.06 and file() == SELECT + sets(1)
    log.engine("DEBUG AOF-FLUSH-SLEEP 0")


# --- a failing disk ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("outcomes, error", [
    ([-errno.ENOSPC], errno.ENOSPC), ([10, -errno.EIO], errno.EIO), ([5, 5, 0], errno.ENOSPC),
    ([10, -errno.EINTR, -errno.EDQUOT], errno.EDQUOT)])
@pytest.mark.parametrize("policy", ["everysec", "no"])
def test_a_failed_write_is_cut_off_kept_and_tried_again(log, policy, outcomes, error):
    log = log("--appendfsync", policy)
    writer = log.writer
    log.engine("SET k 1")
    until(lambda: not writer.syncer.syncing)
    told = []
    log.server.aof.on_status = lambda: told.append(log.server.aof.error_text)
    writer.planned = list(outcomes)
    log.engine("SET k 2")
    text = b"MISCONF Errors writing to the AOF file: " + os.strerror(error).encode()
    assert writer.failed and told == [text] and log.server.aof.facts()["aof_last_write_status"] == "err"
    assert file() == SELECT + sets(1) and writer.size == len(file())
    assert log.said("Short write while writing" if outcomes[0] > 0 else "Error writing to the AOF file: ")
    writer.planned = [-errno.ENOSPC]
    log.server.aof.cron()
    assert writer.failed and len(told) == 1
    log.server.aof.cron()
    assert not writer.failed and told == [text, None] and log.said("AOF write error looks solved")
    assert file() == SELECT + sets(1, 2) and writer.size == len(file()) and writer.written == writer.taken
    log.engine("SET k 3")
    assert file() == SELECT + sets(1, 2, 3)


def test_what_cannot_be_cut_off_is_gone_on_with(log):
    log = log("--appendfsync", "no")
    writer = log.writer
    log.engine("SET k 1")
    real = writer.fd
    writer.planned = [7, -errno.EIO]
    writer.planned_truncate = errno.EIO
    log.engine("SET k 2")
    assert file() == SELECT + sets(1) + sets(2)[:7] and log.said("Could not remove short write") and writer.fd == real
    log.server.aof.cron()
    assert file() == SELECT + sets(1, 2) and writer.size == len(file()) and not writer.failed


@pytest.mark.parametrize("outcomes", [[-errno.ENOSPC], [10, -errno.EIO]])
def test_always_ends_the_process_before_the_reply(log, outcomes):
    log = log("--appendfsync", "always")
    log.engine("SET k 1")
    log.writer.planned = list(outcomes)
    ended = []

    def die(code: int) -> None:
        ended.append((code, file()))

    log.writer.die = die
    log.engine.run.sock.send(encode("SET", "k", 2))
    log.server.reactor.poll()
    assert ended == [(1, SELECT + sets(1))]     # and with it, no part of the write is left
    assert log.said("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...")


def test_always_ends_the_process_where_the_sync_fails(log):
    log = log("--appendfsync", "always")
    log.writer.syncer.planned_errno = errno.EIO
    ended = []
    log.writer.die = ended.append
    log.engine("SET k 1")
    assert ended == [1] and log.said("Can't persist AOF for fsync error when the AOF fsync policy is 'always': "
                                     "Input/output error. Exiting...")


def test_a_failed_sync_in_the_thread_refuses_writes_until_one_succeeds_and_has_the_log_rewritten(log):
    log = log("--appendfsync", "everysec")
    writer, aof = log.writer, log.server.aof
    aof.rewrite = lambda: False
    writer.syncer.planned_errno = errno.EIO
    log.engine("SET k 1")
    until(lambda: (aof.cron(), aof.error_text)[1])
    assert aof.error_text == b"MISCONF Errors writing to the AOF file: Input/output error"
    assert aof.facts()["aof_last_write_status"] == "err" and log.said("Fail to fsync the AOF file: Input/output error")
    assert writer.synced < writer.written
    writer.syncer.planned_errno = 0
    until(lambda: (aof.cron(), aof.error_text)[1] is None)
    assert writer.synced == writer.written and aof.scheduled and log.said("fsync error looks solved")


def test_no_sync_while_a_child_works(log):
    log = log("--appendfsync", "always", "--no-appendfsync-on-rewrite", "yes")
    log.writer.child_active = True
    log.engine("SET k 1")
    assert log.writer.synced < log.writer.written
    log.writer.child_active = False
    log.writer.flush()
    assert log.writer.synced == log.writer.written


def test_the_policy_changes_at_run_time(log):
    log = log("--appendfsync", "no")
    log.engine("SET k 1")
    log.writer.flush()
    assert log.writer.synced < log.writer.written
    log.engine("CONFIG SET appendfsync always")
    log.writer.flush()
    assert log.writer.synced == log.writer.written
