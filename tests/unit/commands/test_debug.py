"""DEBUG: who may, and what it does."""
import re
import time
from types import SimpleNamespace

import pytest

from harness.resp import OK, Error, Status
from shardd.base.digest import dataset
from shardd.commands import debug
from shardd.commands.server import may_debug
from unit.inproc import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine("--enable-debug-command", "yes")


def syntax(word: str) -> Error:
    return Error(f"ERR unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP.")


def test_it_is_off_unless_allowed():
    reply = Engine()("DEBUG SLEEP 0")
    assert reply.startswith("ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\"")


@pytest.mark.parametrize("is_unix, peer, local", [
    (True, "/x.sock:0", True), (False, "127.0.0.1:5", True), (False, "127.8.0.1:5", True), (False, "[::1]:5", True),
    (False, "10.0.0.1:5", False), (False, "[fe80::1]:5", False), (False, "1.127.0.1:5", False)])
def test_local_means_this_host(is_unix, peer, local):
    engine = Engine("--enable-debug-command", "local")
    client = SimpleNamespace(transport=SimpleNamespace(is_unix=is_unix, peer=peer))
    assert may_debug(engine.server, client) is local
    assert engine("DEBUG SLEEP 0") == OK, "over a Unix socket"


@pytest.mark.parametrize("line", [
    "BOGUS", "SLEEP", "SLEEP 0 0", "OBJECT", "OBJECT a b", "SET-ACTIVE-EXPIRE", "DIGEST x", "PROTOCOL", "CHECK x",
    "LOG", "ERROR"])
def test_wrong_arguments(engine, line):
    assert engine(f"DEBUG {line}") == syntax(line.split()[0])


@pytest.mark.parametrize("raw, seconds", [
    (b"0", 0), (b"abc", 0), (b"-5", 0), (b"1e-4", 0.0001), (b".5", 0.5), (b"2.", 2), (b"0.25x", 0.25), (b" 3 ", 3),
    (b"+1", 1), (b"nan", 0), (b"", 0), (b"1e400", 2**31), (b"9999999999999", 2**31)])
def test_sleep_takes_what_c_takes(raw, seconds):
    assert debug.seconds(raw) == seconds


def test_sleep_stands_still(engine):
    start = time.monotonic()
    assert engine("DEBUG SLEEP 0.05") == OK
    assert time.monotonic() - start >= 0.05


def test_object(engine):
    engine("SET k hello")
    reply = engine("DEBUG OBJECT k")
    assert isinstance(reply, Status)
    assert re.fullmatch(
        r"Value at:0x[0-9a-f]+ refcount:1 encoding:embstr serializedlength:6 lru:\d+ lru_seconds_idle:0", reply)
    engine("SELECT 1")
    assert engine("DEBUG OBJECT k") == Error("ERR no such key")


@pytest.mark.parametrize("word, on", [("0", False), ("1", True), ("x", False), ("2x", True), ("-1", True)])
def test_active_expiry_can_be_off(engine, word, on):
    engine.server.expire_enabled = not on
    assert engine("DEBUG", "SET-ACTIVE-EXPIRE", word) == OK
    assert engine.server.expire_enabled is on


def test_a_new_replication_id(engine):
    before = engine.server.replication_id
    assert engine("DEBUG CHANGE-REPL-ID") == OK
    assert re.fullmatch("[0-9a-f]{40}", engine.server.replication_id) and engine.server.replication_id != before
    assert f"master_replid:{engine.server.replication_id}".encode() in engine("INFO replication")


@pytest.mark.parametrize("size, fine", [
    ("0", True), ("100", True), ("1gb", True), ("4gb", False), ("-1", False), ("abc", False)])
def test_packed_threshold_is_checked(engine, size, fine):
    wrong = Error("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    assert engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", size) == (OK if fine else wrong)
    assert engine("DEBUG", "QUICKLIST-PACKED-THRESHOLD", 0) == OK, "it is the process's"


def test_examples_of_types(engine):
    assert engine("DEBUG PROTOCOL map") == [0, 0, 1, 1, 2, 0]
    assert engine("DEBUG PROTOCOL double") == b"3.141"
    engine("HELLO 3")
    assert engine("DEBUG PROTOCOL map") == {0: False, 1: True, 2: False}
    assert engine("DEBUG PROTOCOL set") == [0, 1, 2]
    assert engine("DEBUG PROTOCOL null") is None
    assert engine("DEBUG PROTOCOL verbatim").format == "txt"
    assert engine("DEBUG PROTOCOL nosuch") == Error(
        "ERR Wrong protocol type name. Please use one of the following: "
        "string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false")


def test_digests(engine):
    zeros = Status("0" * 40)
    assert engine("DEBUG DIGEST") == zeros
    engine("SET k v")
    assert engine("DEBUG DIGEST") != zeros
    one, none = engine("DEBUG DIGEST-VALUE k nosuch")
    assert engine("DEBUG DIGEST-VALUE") == []
    assert none == zeros and isinstance(one, Status) and len(one) == 40 and one != zeros


def test_parts_of_a_digest(engine):
    engine("MSET a 1 b 2")
    engine("MOVE b 1")
    first, one, second, two = engine("DEBUG DIGEST-KEYS")
    assert (first, second) == (0, 1) and len(one) == len(two) == 40
    assert Status(dataset([{0: int(one, 16)}, {1: int(two, 16)}]).hex()) == engine("DEBUG DIGEST")


def test_error_and_log(engine, capfd):
    assert engine("DEBUG", "ERROR", "MYCODE some\r\ntext") == Error("MYCODE some  text")
    assert engine("DEBUG", "LOG", "hello there") == OK
    assert "DEBUG LOG: hello there" in capfd.readouterr().out


def test_check_names_what_is_broken(engine, monkeypatch):
    engine("SET k v PX 100000")
    assert engine("DEBUG CHECK") == OK

    def broken(db: object) -> int:
        raise AssertionError("the count is\r\nwrong")

    monkeypatch.setattr(debug, "check_database", broken)
    assert engine("DEBUG CHECK") == Error("ERR Check failed: the count is  wrong")


def test_help(engine):
    lines = engine("DEBUG HELP")
    assert lines[0].startswith("DEBUG <subcommand>") and Status("CHECK") in lines
