"""SAVE, BGSAVE, LASTSAVE, INFO persistence and DEBUG RELOAD; that a snapshot keeps every type, encoding and time."""
import time

import pytest

from harness.resp import OK, Error, Status
from harness.targets import Target

pytestmark = pytest.mark.not_on("cluster", reason="each engine would be asked for itself")

WAIT_S = 30.0
STARTED = Status("Background saving started")

FIELDS = [
    "loading", "async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age", "current_fork_perc",
    "current_save_keys_processed", "current_save_keys_total", "rdb_changes_since_last_save", "rdb_bgsave_in_progress",
    "rdb_last_save_time", "rdb_last_bgsave_status", "rdb_last_bgsave_time_sec", "rdb_current_bgsave_time_sec",
    "rdb_saves", "rdb_last_cow_size", "rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]


def persistence(c) -> dict[str, str]:
    lines = c.must("INFO persistence").decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def wait_for_child(c) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_S
    while (found := persistence(c))["rdb_bgsave_in_progress"] != "0":
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_save(r: Target):
    c = r.conn()
    c.must("SET k v")
    assert int(persistence(c)["rdb_changes_since_last_save"]) > 0
    before = c("LASTSAVE")
    assert c("SAVE") == OK
    assert persistence(c)["rdb_changes_since_last_save"] == "0"
    assert before <= c("LASTSAVE") <= time.time() + 1
    assert c("SAVE x") == Error("ERR wrong number of arguments for 'save' command")
    assert c("LASTSAVE x") == Error("ERR wrong number of arguments for 'lastsave' command")


def test_bgsave(r: Target):
    c = r.conn()
    c.must("CONFIG RESETSTAT")
    c.must("SET k v")
    assert c("BGSAVE") == STARTED
    found = wait_for_child(c)
    assert found["rdb_changes_since_last_save"] == "0" and found["rdb_last_bgsave_status"] == "ok"
    assert int(found["rdb_last_bgsave_time_sec"]) >= 0 and found["rdb_current_bgsave_time_sec"] == "-1"
    assert int(found["rdb_saves"]) >= 1 and int(found["rdb_last_cow_size"]) > 0
    stats = dict(line.split(":", 1) for line in c.must("INFO stats").decode().splitlines() if ":" in line)
    assert int(stats["latest_fork_usec"]) > 0 and int(stats["total_forks"]) >= 1
    assert c("BGSAVE schedule") == STARTED
    wait_for_child(c)
    assert c("BGSAVE now") == Error("ERR syntax error")
    assert c("BGSAVE schedule x") == Error("ERR syntax error")


@pytest.mark.not_on("cluster", reason="the keys of its engines are saved at their own speed")
def test_what_happens_while_a_snapshot_is_written(r: Target):
    c = r.conn()
    c.must("MSET", *[word for number in range(64) for word in (f"k{number}", "v")])
    with r.config(rdb_key_save_delay="100000"):
        c.must("BGSAVE")
        found = persistence(c)
        assert found["rdb_bgsave_in_progress"] == "1" and int(found["rdb_current_bgsave_time_sec"]) >= 0
        assert 0 < int(found["current_save_keys_total"]) <= 64
        for name in ("BGSAVE", "SAVE", "BGSAVE SCHEDULE"):
            assert c(name) == Error("ERR Background save already in progress")
        assert c("SET", "k0", "new") == OK
        c.must("FLUSHALL")      # what is being written is of no use any more
        found = wait_for_child(c)
    assert found["rdb_last_bgsave_status"] == "ok", "it was ended on purpose"


def test_a_transaction_schedules_its_snapshot(r: Target):
    c = r.conn()
    assert c("MULTI") == OK
    assert c("BGSAVE") == Status("QUEUED")
    assert c("SAVE") == Error("ERR Command not allowed inside a transaction")
    assert c("DISCARD") == OK
    saves = persistence(c)["rdb_saves"]
    c("MULTI"), c("BGSAVE")
    assert c("EXEC") == [Status("Background saving scheduled")]
    deadline = time.monotonic() + WAIT_S
    while persistence(c)["rdb_saves"] == saves:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    wait_for_child(c)


def test_fields_of_info(r: Target):
    found = persistence(r.conn())
    names = list(found)
    wanted = FIELDS if r.name != "oracle" else [name for name in FIELDS if name in found]
    assert [name for name in names if name in wanted] == wanted
    assert found["loading"] == "0" and not [name for name in names if name.startswith("loading_")]


def fill(c) -> None:
    """Every type, in every encoding that Redis 7.0 has."""
    c.must("MSET", "s:int", "12345", "s:embstr", "short", "s:raw", "x" * 100, "s:lzf", "abc" * 5000, "s:empty", "",
           "s:binary", bytes(range(256)), "s:negative", "-7")
    c.must("APPEND s:grown one")
    c.must("APPEND s:grown two")
    c.must("RPUSH l:small a b 3 -4")
    c.must("RPUSH", "l:large", *[f"element {number} " * 5 for number in range(2000)])
    c.must("RPUSH", "l:long", "y" * 20_000, "z")
    c.must("SADD st:ints 1 2 3 -70000 5000000000")
    c.must("SADD st:small a b c 1")
    c.must("SADD", "st:large", *[f"member{number}" for number in range(1000)])
    c.must("ZADD z:small 1 a 2.5 b -inf c inf d")
    c.must("ZADD", "z:large", *[word for number in range(1000) for word in (number / 3, f"m{number}")])
    c.must("HSET h:small f v g 1")
    c.must("HSET", "h:large", *[f"{kind}{number}" for number in range(1000) for kind in "fv"])
    for number, key in enumerate(("s:int", "l:large", "st:ints", "z:small", "h:large")):
        c.must("PEXPIREAT", key, 4_000_000_000_000 + number)
    c.must("SELECT 3")
    c.must("SET other database EX 100000")
    c.must("SELECT 0")


def test_reload_keeps_everything(r: Target):
    c = r.conn()
    fill(c)
    c.must("SET short-lived v PX 1")
    time.sleep(0.01)
    assert c("EXISTS short-lived") == 0
    keys = sorted(c.must("KEYS *"))
    before = c.must("DEBUG DIGEST")
    times = [c.must("PEXPIRETIME", key) for key in keys]
    encodings = [c.must("OBJECT", "ENCODING", key) for key in keys]
    c.must("DEBUG RELOAD")
    assert c("DEBUG DIGEST") == before
    assert sorted(c.must("KEYS *")) == keys
    assert [c.must("PEXPIRETIME", key) for key in keys] == times
    for key, encoding in zip(keys, encodings, strict=True):
        if key != b"s:grown":       # what was changed in place is not told apart in a file
            assert c.must("OBJECT", "ENCODING", key) == encoding, key
    found = persistence(c)
    assert int(found["rdb_last_load_keys_loaded"]) == len(keys) + 1
    assert found["rdb_changes_since_last_save"] == "0"


def test_reload_without_saving_and_without_flushing(r: Target):
    c = r.conn()
    c.must("SET k old")
    c.must("SAVE")
    c.must("SET k new")
    c.must("SET other v")
    assert c("DEBUG RELOAD NOSAVE NOFLUSH MERGE") == OK
    assert c("MGET k other") == [b"old", b"v"] if r.name != "cluster" else True
    assert c("DEBUG RELOAD NOSAVE") == OK
    assert c("GET k") == b"old" and c("EXISTS other") == 0
    assert c("DEBUG RELOAD SOMETHING") == Error(
        "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.")


@pytest.mark.not_on("oracle", reason="its file would say so, and it refuses version 12")
def test_reload_keeps_the_times_of_fields(r: Target):
    c = r.conn()
    c.must("HSET h f v g w")
    c.must("HPEXPIREAT h 4000000000000 FIELDS 1 f")
    c.must("HSET", "large", *[f"{kind}{number}" for number in range(1000) for kind in "fv"])
    c.must("HPEXPIREAT large 4000000000001 FIELDS 2 f1 f999")
    c.must("DEBUG RELOAD")
    assert c("HPEXPIRETIME h FIELDS 2 f g") == [4_000_000_000_000, -1]
    assert c("HPEXPIRETIME large FIELDS 3 f1 f2 f999") == [4_000_000_000_001, -1, 4_000_000_000_001]
    assert c("HLEN large") == 1000


def test_access_is_kept_where_the_policy_needs_it(r: Target):
    c = r.conn()
    c.must("SET k v")
    with r.config(maxmemory_policy="allkeys-lfu"):
        for _ in range(50):
            c.must("GET k")
        before = c.must("OBJECT FREQ k")
        c.must("DEBUG RELOAD")
        assert abs(c.must("OBJECT FREQ k") - before) <= 1


def test_flushall_saves_where_there_are_save_points(r: Target):
    c = r.conn()
    with r.config(save="10000 10000"):
        c.must("SET k v")
        assert c("FLUSHALL") == OK
        assert persistence(c)["rdb_changes_since_last_save"] == "0"
        assert c("DEBUG RELOAD NOSAVE") == OK and c("DBSIZE") == 0
