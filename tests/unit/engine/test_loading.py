"""What is read at a start, what clients get meanwhile, and that a bad file is never taken for a good one."""
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import rdb
from harness.resp import OK, Error, Status
from shardd.base.clock import mono_us
from shardd.base.errors import LoadError
from shardd.engine.loading import Loading
from unit.inproc import Engine

LOADING = Error("LOADING Redis is loading the dataset in memory")


@pytest.fixture
def dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dump.rdb of 3000 keys in the working directory."""
    monkeypatch.chdir(tmp_path)
    engine = Engine("--appendonly", "no")
    engine("MSET", *[word for number in range(3000) for word in (f"k{number}", "v" * 20)])
    engine("SET", "soon", "v", "PXAT", "4000000000000")
    assert engine("SAVE") == OK
    return tmp_path / "dump.rdb"


@pytest.fixture
def engine(dump: Path) -> Iterator[Engine]:
    yield Engine("--appendonly", "no")


def begin(engine: Engine) -> Loading:
    """A loading that has come to a part of the file."""
    loading = Loading(engine.server)
    engine.server.begin_loading(loading)
    while not loading.part.position:
        assert not loading.step(0)
    return loading


def test_all_is_there_in_the_end(engine: Engine) -> None:
    loading = begin(engine)
    steps = 1
    while not loading.step(mono_us()):
        steps += 1
    engine.server.end_loading()
    assert steps > 10 and engine("DBSIZE") == 3001 and engine("PEXPIRETIME", "soon") == 4_000_000_000_000
    facts = engine.server.persistence.facts()
    assert (facts["rdb_last_load_keys_loaded"], facts["rdb_last_load_keys_expired"]) == (3001, 0)
    assert facts["rdb_changes_since_last_save"] == 0 and facts["loading"] == 0
    engine.check()


def test_what_runs_meanwhile(engine: Engine) -> None:
    begin(engine)
    for command in ("GET k", "SET k v", "PING", "DBSIZE", "FLUSHALL", "SAVE", "BGSAVE", "KEYS *", "RANDOMKEY"):
        assert engine(*command.split()) == LOADING, command
    assert engine("CONFIG", "GET", "databases") == [b"databases", b"16"]
    assert engine("ECHO", "x") == b"x" and engine("SELECT", "1") == OK and isinstance(engine("LASTSAVE"), int)
    assert engine("MULTI") == OK and engine("SET", "k", "v") == LOADING
    assert engine("EXEC") == Error("EXECABORT Transaction discarded because of previous errors.")
    assert repr(engine("NOSUCH")).startswith("Error(\"ERR unknown command"), "what is wrong in itself is said first"
    assert engine("GET") == Error("ERR wrong number of arguments for 'get' command")


def test_a_cluster_loads_as_well(dump: Path) -> None:
    engine = Engine("--appendonly", "no", "--cluster-enabled", "yes")
    begin(engine)
    assert engine("GET", "k1") == LOADING and engine("MGET", "{a}1", "{a}2") == LOADING
    assert engine("MGET", "a", "b") == Error("CROSSSLOT Keys in request don't hash to the same slot")


def test_progress(engine: Engine) -> None:
    loading = begin(engine)
    fields = dict(line.split(":", 1) for line in bytes(engine("INFO", "persistence")).decode().splitlines()
                  if ":" in line)
    total = os.path.getsize("dump.rdb")
    assert fields["loading"] == "1" and fields["loading_total_bytes"] == str(total)
    assert 0 < int(fields["loading_loaded_bytes"]) < total
    assert fields["loading_loaded_perc"] == f"{100 * int(fields['loading_loaded_bytes']) / (total + 1):.2f}"
    assert int(fields["loading_eta_seconds"]) >= 0 and int(fields["loading_rdb_used_mem"]) > 0
    assert abs(int(fields["loading_start_time"]) - int(engine("TIME")[0])) < 60
    assert list(fields)[-6:] == ["loading_start_time", "loading_total_bytes", "loading_rdb_used_mem",
                                 "loading_loaded_bytes", "loading_loaded_perc", "loading_eta_seconds"]
    status = engine.server.status()["loading"]
    assert status["total_bytes"] == total and 0 < status["bytes"] < total and set(status) == {
        "bytes", "total_bytes", "keys", "eta_s"}
    json.dumps(status)
    while not loading.step(mono_us() + 1_000_000):
        pass
    engine.server.end_loading()
    assert "loading" not in engine.server.status()


def test_nothing_is_evicted_while_it_comes(engine: Engine) -> None:
    engine("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    loading = begin(engine)
    engine("CONFIG", "SET", "maxmemory", "100kb")
    while not loading.step(mono_us() + 1_000_000):
        engine("ECHO", "x")
    assert engine.server.keyspace.evicted == 0
    engine.server.end_loading()
    for _ in range(1000):       # each may evict for a moment only
        engine("SET", "k", "v")
        if engine.server.keyspace.evicted:
            break
    assert engine.server.keyspace.evicted > 0


@pytest.mark.parametrize("spoil", ["checksum", "cut", "magic", "directory"])
def test_a_damaged_file_is_refused_and_stays(dump: Path, spoil: str) -> None:
    data = dump.read_bytes()
    bad = {"checksum": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:-100], "magic": b"REDIX" + data[5:],
           "directory": b""}[spoil]
    if spoil == "directory":
        dump.unlink()
        dump.mkdir()
    else:
        dump.write_bytes(bad)
    engine = Engine("--appendonly", "no")
    with pytest.raises(LoadError, match="dump.rdb can't be loaded: |can't open the RDB file dump.rdb .*Is a directory"):
        loading = Loading(engine.server)
        engine.server.begin_loading(loading)
        while not loading.step(mono_us() + 1_000_000):
            pass
    if spoil != "directory":
        assert dump.read_bytes() == bad


def test_a_start_without_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    engine = Engine("--appendonly", "no")
    loading = Loading(engine.server)
    assert loading.nothing and loading.step(0)
    assert engine("PING") == Status("PONG")


def test_a_dump_becomes_the_beginning_of_the_log(dump: Path) -> None:
    engine = Engine("--appendonly", "yes")
    loading = Loading(engine.server)
    assert not loading.nothing and not loading.from_aof
    while not loading.step(mono_us() + 1_000_000):
        pass
    engine.server.aof.open()
    engine.server.aof.close()
    dump.unlink()
    other = Engine("--appendonly", "yes")
    loading = Loading(other.server)
    assert loading.from_aof
    while not loading.step(mono_us() + 1_000_000):
        pass
    assert other("DBSIZE") == 3001


def test_what_a_file_says_of_itself_harms_nobody(engine: Engine, dump: Path) -> None:
    said = b"".join(b"\xfa" + rdb.string(name) + rdb.string(text) for name, text in [
        ("redis-ver", "7\nforged line"), ("ctime", "9" * 5000), ("ctime", "9" * 128), ("used-mem", "8" * 5000),
        ("used-mem", "9" * 128)])
    dump.write_bytes(rdb.file(said + rdb.key(rdb.STRING, "k", rdb.string("v"))))
    lines: list[str] = []
    engine.server.log.notice = lines.append
    loading = Loading(engine.server)
    engine.server.begin_loading(loading)
    while not loading.step(mono_us() + 10**6):
        pass
    engine.server.end_loading()
    assert engine("GET", "k") == b"v"
    assert "Loading RDB produced by version 7 forged line" in lines and all("\n" not in line for line in lines)
