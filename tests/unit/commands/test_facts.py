"""Where INFO's figures of an engine come from."""
import pytest

from shardd.base import limits
from unit.inproc import Caller, Engine


@pytest.fixture
def engine() -> Engine:
    return Engine("--databases", "4")


def info(engine: Engine, section: str) -> dict[str, str]:
    lines = engine("INFO", section).decode().split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def test_every_section_has_its_facts(engine):
    text = engine("INFO everything").decode()
    assert text.count("\r\n\r\n# ") == 13
    fields = [line.partition(":")[0] for line in text.split("\r\n") if ":" in line]
    assert len(fields) == len(set(fields)) > 180


def test_memory_is_the_allocators(engine):
    engine("SETRANGE k 999999 x")
    memory = info(engine, "memory")
    used, overhead, dataset = (int(memory[f"used_memory{name}"]) for name in ("", "_overhead", "_dataset"))
    assert used > 1_000_000 and used == overhead + dataset
    assert dataset >= 1_000_000
    assert int(memory["used_memory_peak"]) >= used
    engine("DEL k")
    less = info(engine, "memory")
    assert int(less["used_memory"]) < used - 900_000
    assert int(less["used_memory_peak"]) >= used
    assert less["maxmemory_policy"] == "noeviction"


def test_clients_and_their_buffers(engine):
    before = int(info(engine, "memory")["mem_clients_normal"])
    other = Caller(engine)
    other("PING")
    assert info(engine, "clients")["connected_clients"] == "2"
    assert int(info(engine, "memory")["mem_clients_normal"]) > before
    other.sock.sendall(b"*2\r\n$4\r\nECHO\r\n$5000\r\n" + b"x" * 4000)
    engine.server.reactor.poll()
    assert int(info(engine, "clients")["client_recent_max_input_buffer"]) >= 4000


def test_the_buffers_of_many_clients_are_estimated(engine, monkeypatch):
    def buffers() -> int:
        return int(info(engine, "memory")["mem_clients_normal"])

    callers = [Caller(engine) for _ in range(9)]
    exact = buffers()
    monkeypatch.setattr(limits, "INFO_CLIENTS_MAX", 5)
    assert abs(buffers() - exact) <= exact // 2
    assert len(callers) == 9


def test_counters_and_their_reset(engine):
    engine("SET k v")
    engine("GET k")
    engine("GET nosuch")
    engine("SET gone v PX 1")
    engine.server.keyspace.set_time(engine.server.keyspace.now_ms + 1000)
    engine("NOSUCH")
    engine("AUTH a b")
    stats = info(engine, "stats")
    assert (stats["keyspace_hits"], stats["keyspace_misses"]) == ("1", "1")
    assert stats["total_error_replies"] == "2" and stats["acl_access_denied_auth"] == "1"
    assert int(stats["total_commands_processed"]) >= 6 and int(stats["total_net_input_bytes"]) > 0
    assert info(engine, "errorstats") == {"errorstat_ERR": "count=1", "errorstat_WRONGPASS": "count=1"}
    assert info(engine, "commandstats")["cmdstat_get"].startswith("calls=2,")
    assert int(info(engine, "persistence")["rdb_changes_since_last_save"]) >= 2
    engine("CONFIG RESETSTAT")
    stats = info(engine, "stats")
    for name in ("keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys", "total_error_replies",
                 "acl_access_denied_auth"):
        assert stats[name] == "0", name
    assert info(engine, "errorstats") == {}
    assert "cmdstat_get" not in info(engine, "commandstats")


def test_keyspace_lists_databases_with_keys(engine):
    assert info(engine, "keyspace") == {}
    now = engine.server.keyspace.now_ms
    engine("SET", "a", "v", "PXAT", now + 10**9)
    engine("SET b v")
    engine("MOVE b 2")
    found = info(engine, "keyspace")
    assert list(found) == ["db0", "db2"]
    assert found["db2"] == "keys=1,expires=0,avg_ttl=0"
    assert found["db0"].startswith("keys=1,expires=1,avg_ttl=")
    assert 10**9 - 60_000 <= int(found["db0"].rpartition("=")[2]) <= 10**9


def test_cluster_mode_shows():
    assert info(Engine("--cluster-enabled", "yes"), "cluster") == {"cluster_enabled": "1"}
    assert info(Engine("--cluster-enabled", "yes"), "server")["redis_mode"] == "cluster"
