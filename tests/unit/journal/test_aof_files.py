"""What is loaded of append-only files: whole units, in order, and nothing else; cut ends are repaired."""
import os
from pathlib import Path

import pytest

from harness.resp import encode
from shardd.base.clock import mono_us
from shardd.base.errors import LoadError
from unit.journal.aof_rig import INCREMENT, Log, put


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "appendonlydir").mkdir()
    return tmp_path / "appendonlydir"


def unit(*commands: str) -> bytes:
    return b"".join(encode(*command.split()) for command in commands)


UNITS = [unit("SELECT 0", "SET a 1"), b"#TS:1790000000\r\n" + unit("SET b 2"),
         unit("MULTI", "SET a 3", "SELECT 1", "SET c 4", "EXEC"), unit("SELECT 0", "INCR a"),
         unit("MULTI", "SET d 5", "SET e 6", "EXEC")]


def test_every_cut_is_repaired_at_the_end_of_a_whole_unit(place):
    whole = b"".join(UNITS)
    ends = [sum(map(len, UNITS[:count])) for count in range(len(UNITS) + 1)]
    starts = {0, len(encode("SELECT", 0)), ends[3] + len(encode("SELECT", 0)), *ends}
    states = {}
    log = Log()
    for end in sorted(starts):
        put(place, (INCREMENT, "i", whole[:end]))
        log.load()
        states[end] = log.server.keyspace.total_keys(), log.strings()
    for cut in range(len(whole) + 1):
        put(place, (INCREMENT, "i", whole[:cut]))
        log.lines.clear()
        log.load()
        valid = max(start for start in starts if start <= cut)
        assert (log.server.keyspace.total_keys(), log.strings()) == states[valid], cut
        annotated = cut == ends[1] + 16         # an annotation alone is no cut
        assert (place / INCREMENT).stat().st_size == (cut if annotated else valid), cut
        assert log.said(f"!!! Truncating the AOF {INCREMENT} at offset {valid} !!!") == (cut != valid and not annotated)
    assert states[len(whole)] == (5, {b"a": b"4", b"b": b"2", b"d": b"5", b"e": b"6"})


def test_a_transaction_without_its_end_is_said(place):
    put(place, (INCREMENT, "i", unit("SET a 1", "MULTI", "SET a 2")))
    log = Log().load()
    assert log.strings() == {b"a": b"1"}
    assert log.said(f"Revert incomplete MULTI/EXEC transaction in AOF file {INCREMENT}")
    assert log.said(f"AOF {INCREMENT} loaded anyway because aof-load-truncated is enabled")
    assert (place / INCREMENT).read_bytes() == unit("SET a 1")


def test_a_cut_is_fatal_where_the_option_says_so(place):
    put(place, (INCREMENT, "i", b"".join(UNITS)[:-1]))
    log = Log("--aof-load-truncated", "no")
    with pytest.raises(LoadError, match="Unexpected end of file.*redis-check-aof --fix.*aof-load-truncated"):
        log.load()
    assert (place / INCREMENT).stat().st_size == len(b"".join(UNITS)) - 1


def test_only_the_last_file_may_be_cut(place):
    put(place, ("base", "b", unit("SET a 1")), (INCREMENT, "i", unit("SET a 2")[:-1]), ("last", "i", unit("SET a 3")))
    log = Log()
    with pytest.raises(LoadError, match="the truncated file is not the last file"):
        log.load()
    assert (place / INCREMENT).stat().st_size == len(unit("SET a 2")) - 1


@pytest.mark.parametrize("data, reason", [
    (b"SET a 1\r\n", "offset 0"), (b"*0\r\n", "offset 0"), (b"*-1\r\n", "offset 0"), (b"*x\r\n", "offset 0"),
    (b"*1\n$4\r\nPING\r\n", "offset 0"), (b"*1\r\n+PING\r\n", "offset 0"), (b"*1\r\n$-1\r\n", "offset 0"),
    (b"*1\r\n$4\r\nPINGx\r\n", "offset 0"), (b"*1\r\n$99999999999\r\n", "offset 0"), (b"\0\0\0\0", "offset 0"),
    (b"*1\r\n$4294967296\r\n", "offset 0"), (b"#" + b"x" * 2000 + b"\r\n", "offset 0"),
    (unit("SET a 1") + b"garbage", f"offset {len(unit('SET a 1'))}"),
    (unit("EXEC"), "Unexpected EXEC"), (unit("MULTI", "MULTI", "SET a 1", "EXEC"), "Unexpected MULTI"),
    (unit("MULTI", "SET a 1") + b"*x\r\n", "is no command")])
def test_what_is_no_log_is_fatal(place, data, reason):
    put(place, (INCREMENT, "i", data))
    with pytest.raises(LoadError, match=f"Bad file format reading the append only file {INCREMENT}.*redis-check-aof"
                       f".*{reason}"):
        Log().load()
    assert (place / INCREMENT).read_bytes() == data


@pytest.mark.parametrize("line, reason", [
    ("NOSUCH a", "Unknown command 'NOSUCH'"), ("XADD s 1-1 f v", "Unknown command 'XADD'"),
    ("SET a", "Wrong number of arguments for 'set'"), ("CONFIG SET maxmemory 1", "'config|set', which changes no data"),
    ("SHUTDOWN NOSAVE", "'shutdown', which changes no data"), ("DEBUG SLEEP 9", "which changes no data"),
    ("SUBSCRIBE x", "'subscribe', which changes no data"), ("CONFIG nosuch", "Unknown command 'CONFIG'")])
def test_commands_that_cannot_be_in_a_log_are_fatal(place, line, reason):
    put(place, (INCREMENT, "i", unit("SET a 1", line)))
    with pytest.raises(LoadError, match=reason.replace("|", "\\|") + f".* reading the append only file {INCREMENT}"):
        Log().load()


def test_an_error_of_an_effect_is_said_and_loading_goes_on(place):
    put(place, (INCREMENT, "i", unit("SET a x", "INCR a", "LPUSH a 1", "SET b 2")))
    log = Log().load()
    assert log.strings() == {b"a": b"x", b"b": b"2"}
    assert log.said("'ERR value is not an integer or out of range' after processing the command 'incr'")
    assert log.said("2 of 4 effects in the append-only file ended with an error")


@pytest.mark.parametrize("line", ["SELECT 99", "SELECT p", "SWAPDB 0 4"])
def test_a_database_that_is_not_there_is_fatal(place, line):
    put(place, (INCREMENT, "i", unit("SELECT 1", "SET a 1", line, "SET b 2")))
    with pytest.raises(LoadError, match="which database the next effects are for.*option databases.*reading the append"):
        Log().load()


def test_nothing_expires_while_loading_and_no_event_blocks_or_counts(place):
    put(place, ("base", "b", unit("SET gone 1 PXAT 1000", "SET a 1")),
        (INCREMENT, "i", unit("APPEND gone 2", "PEXPIREAT a 1", "PERSIST a", "BLPOP nolist 0", "HSET h f v",
                              "HPEXPIREAT h 1000 FIELDS 1 f", "HPERSIST h FIELDS 1 f")))
    log = Log("--notify-keyspace-events", "KEA")
    calls = log.engine("INFO commandstats")
    log.load()
    assert log.engine("GET a") == b"1" and log.engine("EXISTS gone") == 0 and log.engine("HGET h f") == b"v"
    assert b"cmdstat_append" not in log.engine("INFO commandstats") and calls is not None


def test_files_are_loaded_in_order_and_empty_ones_are_none(place):
    put(place, ("base", "b", b""), ("one", "i", unit("SELECT 2", "SET a 1")), ("two", "i", b""),
        ("three", "i", unit("SET a 3")))
    log = Log().load()
    assert log.strings() == {b"a": b"3"}        # each file begins with database 0
    assert [line.split("* ")[1].split(":")[0] for line in log.lines if "DB loaded" in line] == [
        "DB loaded from base file base", "DB loaded from incr file one", "DB loaded from incr file two",
        "DB loaded from incr file three"]


def test_a_file_that_is_missing_is_fatal(place):
    put(place, ("base", "b", b""), ("one", "i", b""))
    os.unlink(place / "one")
    log = Log()
    with pytest.raises(LoadError, match="file one, which the manifest in appendonlydir names.*No such file"):
        log.load()
    assert log.said("Unable to obtain the AOF file one length. stat: No such file or directory")


def test_a_manifest_that_does_not_hold_is_fatal(place):
    (place / "appendonly.aof.manifest").write_text("file a seq 1 type b\nfile b seq 1\n")
    log = Log()
    with pytest.raises(LoadError, match="Invalid AOF manifest file format in line 2 of "
                       "appendonlydir/appendonly.aof.manifest"):
        log.load()
    assert log.said("*** FATAL AOF MANIFEST FILE ERROR ***") and log.said(">>> 'file b seq 1'")


def test_large_words_and_transactions_span_what_is_read_at_once(place):
    large = "x" * 3_000_000
    many = [f"SET k{n} {n}" for n in range(50_000)]
    put(place, (INCREMENT, "i", unit(f"SET large {large}", "MULTI", *many, "EXEC", "SET small 1")))
    log = Log().load()
    assert log.engine("STRLEN large") == len(large) and log.engine("DBSIZE") == 50_002
    (place / INCREMENT).write_bytes(unit("SET small 2", "MULTI", *many))
    log.load()
    assert log.strings() == {b"small": b"2"}


def test_progress(place):
    put(place, ("base", "b", unit(*[f"SET a{n} {n}" for n in range(20_000)])), (INCREMENT, "i", unit("SET b 1")))
    log = Log()
    load = log.server.aof.load()
    size = sum(path.stat().st_size for path in place.iterdir() if path.name != "appendonly.aof.manifest")
    assert (load.total, load.position, load.keys) == (size, 0, 0)
    assert not load.step(mono_us() + 1)
    seen = [load.position]
    while not load.step(mono_us() + 1):
        seen.append(load.position)
    assert seen == sorted(seen) and len(set(seen)) > 10 and 0 < seen[0] < size
    assert (load.position, load.keys) == (size, 20_001)


def test_an_old_log_of_one_file_moves_into_the_directory(place, monkeypatch):
    place.rmdir()
    Path("appendonly.aof").write_bytes(unit("SET a 1"))
    log = Log().load()
    assert log.strings() == {b"a": b"1"} and not Path("appendonly.aof").exists()
    assert (place / "appendonly.aof.manifest").read_text() == "file appendonly.aof seq 1 type b\n"
    assert log.said("Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory")
    # a crash between the manifest and the move
    os.rename(place / "appendonly.aof", "appendonly.aof")
    assert Log().load().strings() == {b"a": b"1"} and (place / "appendonly.aof").exists()
    # a log that is there already is not replaced by such a file
    Path("appendonly.aof").write_bytes(unit("SET a 2"))
    assert Log().load().strings() == {b"a": b"1"} and Path("appendonly.aof").exists()
