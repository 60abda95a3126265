"""Times to live: EXPIRE and its three sisters with conditions and bounds, TTL and its sisters, PERSIST, and that a key
is gone when its time has come, whether somebody asks for it or not."""

import time

import pytest

from harness import OK, Error
from harness.texts import INT64_MAX, INT64_MIN, NOT_INT, arity, expire_time

NX_WITH_OTHERS = Error("ERR NX and XX, GT or LT options at the same time are not compatible")
GT_WITH_LT = Error("ERR GT and LT options at the same time are not compatible")
SETTERS = {"EXPIRE": 1000, "PEXPIRE": 1, "EXPIREAT": 1000, "PEXPIREAT": 1}  # name -> unit in ms
FAR_MS = 4_000_000_000_000  # in the year 2096


def argument(command: str, ttl_ms: int) -> int:
    """What `command` takes for a time `ttl_ms` from now."""
    if command.endswith("AT"):
        ttl_ms += int(time.time() * 1000)
    return ttl_ms // SETTERS[command]


def near(value_ms: int, expected_ms: int) -> bool:
    return expected_ms - 20_000 <= value_ms <= expected_ms + 20_000


@pytest.mark.parametrize("command", SETTERS)
def test_set_read_and_persist(r, command):
    assert r(command, "k", argument(command, 500_000)) == 0
    r("SET k v")
    assert r(command, "k", argument(command, 500_000)) == 1
    now_ms = int(time.time() * 1000)
    assert near(r("TTL k") * 1000, 500_000)
    assert near(r("PTTL k"), 500_000)
    assert near(r("EXPIRETIME k") * 1000, now_ms + 500_000)
    assert near(r("PEXPIRETIME k"), now_ms + 500_000)
    assert r(command, "k", argument(command, 100_000)) == 1
    assert near(r("PTTL k"), 100_000)
    assert r("GET k") == b"v"
    assert r("PERSIST k") == 1
    assert r("PERSIST k") == 0
    assert [r(f"{name} k") for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")] == [-1] * 4
    assert r("GET k") == b"v"


def test_readers_of_missing_keys(r):
    assert [r(f"{name} nokey") for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")] == [-2] * 4
    assert r("PERSIST nokey") == 0


def test_absolute_times_are_exact(r):
    r("SET k v")
    assert r("PEXPIREAT", "k", FAR_MS + 123) == 1
    assert r("PEXPIRETIME k") == FAR_MS + 123
    assert r("EXPIRETIME k") == FAR_MS // 1000
    r("PEXPIREAT", "k", FAR_MS + 500)
    assert r("EXPIRETIME k") == FAR_MS // 1000 + 1, "rounded, not cut"
    assert r("EXPIREAT", "k", FAR_MS // 1000) == 1
    assert r("PEXPIRETIME k") == FAR_MS


@pytest.mark.parametrize("command", SETTERS)
@pytest.mark.parametrize("past", [0, -1, -1000, 1])
def test_past_times_delete(r, command, past):
    if past == 1 and not command.endswith("AT"):
        past = -2
    r("SET k v")
    assert r(command, "k", past) == 1
    assert r("EXISTS k") == 0
    assert r("DBSIZE") == 0
    assert r(command, "k", past) == 0


# --- conditions -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", SETTERS)
def test_conditions(r, command):
    low, mid, high = (argument(command, ms) for ms in (1_000_000, 2_000_000, 3_000_000))

    def set_to(condition, value, reply, ttl_ms):
        assert r(command, "k", value, *condition.split()) == reply, (condition, value)
        assert r("PTTL k") == -1 if ttl_ms is None else near(r("PTTL k"), ttl_ms), (condition, value)

    r("SET k v")
    set_to("XX", mid, 0, None)
    set_to("GT", mid, 0, None)
    set_to("XX GT", mid, 0, None)
    set_to("XX LT", mid, 0, None)
    set_to("LT", mid, 1, 2_000_000)
    set_to("NX", low, 0, 2_000_000)
    set_to("GT", low, 0, 2_000_000)
    set_to("LT", high, 0, 2_000_000)
    set_to("GT", high, 1, 3_000_000)
    set_to("LT", mid, 1, 2_000_000)
    set_to("XX GT", high, 1, 3_000_000)
    set_to("XX LT", mid, 1, 2_000_000)
    set_to("XX", low, 1, 1_000_000)
    set_to("xx gt", mid, 1, 2_000_000)
    set_to("GT GT", high, 1, 3_000_000)
    r("PERSIST k")
    set_to("NX", low, 1, 1_000_000)
    assert r(f"{command} nokey {mid} NX") == 0


@pytest.mark.parametrize("command", ["EXPIREAT", "PEXPIREAT"])
def test_equal_times_are_neither_greater_nor_less(r, command):
    at = FAR_MS // SETTERS[command]
    r("SET k v")
    assert r(command, "k", at) == 1
    assert r(command, "k", at, "GT") == 0
    assert r(command, "k", at, "LT") == 0
    assert r(command, "k", at + 1, "GT") == 1
    assert r(command, "k", at, "LT") == 1
    assert r("PEXPIRETIME k") == FAR_MS


@pytest.mark.parametrize("command", SETTERS)
def test_conditions_on_past_times(r, command):
    r("SET k v")
    assert r(command, "k", -1, "XX") == 0
    assert r(command, "k", -1, "GT") == 0
    assert r("EXISTS k") == 1
    r("EXPIRE k 1000")
    assert r(command, "k", -1, "NX") == 0
    assert r(command, "k", -1, "GT") == 0
    assert r("EXISTS k") == 1
    assert r(command, "k", -1, "LT") == 1
    assert r("EXISTS k") == 0


@pytest.mark.parametrize("command", SETTERS)
def test_conditions_that_exclude_each_other(r, command):
    r("SET k v")
    for key in ("k", "nokey"):
        for tail in ("NX XX", "XX NX", "NX GT", "GT NX", "NX LT", "LT NX", "NX XX GT LT"):
            assert r(f"{command} {key} 100 {tail}") == NX_WITH_OTHERS
        for tail in ("GT LT", "LT GT", "XX GT LT"):
            assert r(f"{command} {key} 100 {tail}") == GT_WITH_LT
        assert r(f"{command} {key} 100 BOGUS") == Error("ERR Unsupported option BOGUS")
        assert r(f"{command} {key} 100 nx bogus") == Error("ERR Unsupported option bogus")
        assert r(f"{command} {key} abc BOGUS") == Error("ERR Unsupported option BOGUS")
        assert r(f"{command} {key} abc NX XX") == NX_WITH_OTHERS
    assert r("TTL k") == -1


# --- arguments --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("command", SETTERS)
def test_arity_and_numbers(r, command):
    assert r(command) == arity(command.lower())
    assert r(command, "k") == arity(command.lower())
    r("SET k v")
    for key in ("k", "nokey"):
        for bad in ("", "abc", "1.5", " 1", "1 ", "+1", INT64_MAX + 1, INT64_MIN - 1):
            assert r(command, key, bad) == NOT_INT
    assert r("TTL k") == -1


@pytest.mark.parametrize("command, number, fits", [
    ("EXPIRE", INT64_MAX, False), ("EXPIRE", INT64_MIN, False), ("EXPIRE", INT64_MAX // 1000, False),
    ("EXPIRE", INT64_MAX // 1000 + 1, False), ("EXPIRE", -(INT64_MAX // 1000) - 1, False),
    ("PEXPIRE", INT64_MAX, False),
    ("PEXPIRE", INT64_MAX - 1000, False), ("EXPIREAT", INT64_MAX, False), ("EXPIREAT", INT64_MIN, False),
    ("EXPIREAT", INT64_MAX // 1000 + 1, False), ("EXPIREAT", INT64_MAX // 1000, True), ("PEXPIREAT", INT64_MAX, True),
    ("EXPIRE", 9_000_000_000_000_000, True), ("PEXPIRE", 9_000_000_000_000_000_000, True)])
def test_bounds(r, command, number, fits):
    r("SET k v")
    if fits:
        assert r(command, "k", number) == 1
        assert r("GET k") == b"v"
        if command.endswith("AT"):
            assert r("PEXPIRETIME k") == number * SETTERS[command]
        else:
            assert near(r("PTTL k"), number * SETTERS[command])
    else:
        assert r(command, "k", number) == expire_time(command.lower())
        assert r(command, "nokey", number) == expire_time(command.lower())
        assert r("TTL k") == -1


@pytest.mark.parametrize("command, number", [("PEXPIRE", INT64_MIN), ("PEXPIREAT", INT64_MIN), ("PEXPIREAT", -1),
                                             ("EXPIRE", -(INT64_MAX // 1000)), ("EXPIREAT", -(INT64_MAX // 1000))])
def test_bounds_in_the_past(r, command, number):
    r("SET k v")
    assert r(command, "k", number) == 1
    assert r("EXISTS k") == 0


# --- the time comes ---------------------------------------------------------------------------------------------------

def eventually(condition, timeout_s: float = 10.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


@pytest.mark.parametrize("line", ["SET k v PX 30", "PSETEX k 30 v"])
def test_lazy_expiry(r, line):
    assert r(line) == OK
    assert eventually(lambda: r("GET k") is None)
    assert r("TTL k") == -2
    assert r("EXISTS k") == 0
    assert r("SETNX k w") == 1
    assert r("TTL k") == -1


def test_every_command_sees_an_expired_key_as_missing(r):
    def due():
        r.must("SET {t}k 5 PXAT 1")

    checks = [("GET {t}k", None), ("STRLEN {t}k", 0), ("APPEND {t}k x", 1), ("INCR {t}k", 1),
              ("GETRANGE {t}k 0 -1", b""),
              ("SETRANGE {t}k 1 a", 2), ("EXPIRE {t}k 10", 0), ("PERSIST {t}k", 0), ("DEL {t}k", 0), ("UNLINK {t}k", 0),
              ("TOUCH {t}k", 0), ("EXISTS {t}k", 0), ("GETSET {t}k v", None), ("GETDEL {t}k", None),
              ("GETEX {t}k", None),
              ("SET {t}k v XX", None), ("SET {t}k v NX", OK), ("SET {t}k v GET", None), ("RENAMENX {t}2 {t}k", 1),
              ("COPY {t}2 {t}k", 1), ("MGET {t}k {t}k", [None, None]), ("INCRBYFLOAT {t}k 1.5", b"1.5"),
              ("MSETNX {t}k v", 1), ("OBJECT ENCODING {t}k", None), ("SET {t}k v KEEPTTL", OK), ("SETNX {t}k v", 1)]
    for line, reply in checks:
        r.must("SET {t}2 v")
        due()
        assert r(line) == reply, line
        assert r("TTL {t}k") in (-1, -2), f"{line} revived the old time to live"
        r.must("DEL {t}k {t}2")
    due()
    assert r("RENAME {t}k {t}2") == Error("ERR no such key")


def test_active_expiry(r):
    """Keys nobody asks for go as well. DBSIZE counts what is stored, not what is due."""
    for n in range(500):
        r.must("SET", f"due:{n}", "v", "PX", 20)
    for n in range(50):
        r.must("SET", f"stays:{n}", "v", "PX", 10_000_000)
    assert eventually(lambda: r("DBSIZE") == 50)


@pytest.mark.not_on("cluster", reason="redis-py's RedisCluster knows no SELECT")
def test_active_expiry_in_every_database(r):
    for db in (1, 9, 15):
        conn = r.conn(db=db)
        conn.must("SET k v PX 10")
        assert eventually(lambda conn=conn: conn("DBSIZE") == 0)


def test_overwriting_clears_a_time_that_was_near(r):
    c = r.conn_to("k")
    assert c.many("SET k v PX 150", "SET k w") == [OK, OK]
    assert c.many("SET {k}2 v PX 150", "PERSIST {k}2") == [OK, 1]     # at once: it is to go no earlier
    r.must("SET canary v PX 200")
    assert eventually(lambda: r("EXISTS canary") == 0)
    assert r("GET k") == b"w"
    assert r("GET {k}2") == b"v"


def test_a_later_time_replaces_a_near_one(r):
    assert r.conn_to("k").many("SET k v PX 150", "PEXPIRE k 10000000") == [OK, 1]
    r.must("SET canary v PX 200")
    assert eventually(lambda: r("EXISTS canary") == 0)
    assert r("GET k") == b"v"
