"""What the exporter makes of answers: sums of the whole, counters that never go back, names, HTTP."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from harness.servers import free_port
from shardd.base import limits
from shardd.supervisor.exporter import families
from shardd.supervisor.exporter.families import Families
from shardd.supervisor.exporter.gather import Answer, Process, Snapshot, Tally, of_engine
from shardd.supervisor.exporter.http import HttpServer, Page

INFO = """# Server
redis_version:7.2.6
uptime_in_seconds:10

# Clients
connected_clients:3
maxclients:10000

# Memory
used_memory:{memory}
used_memory_rss:5000
maxmemory:100
maxmemory_policy:noeviction

# Persistence
rdb_last_bgsave_status:ok

# Stats
total_connections_received:9
total_commands_processed:99
keyspace_hits:{hits}
latest_fork_usec:1500
total_error_replies:2
total_net_input_bytes:4000

# CPU
used_cpu_sys:1.500000
used_cpu_user:2.500000

# Commandstats
cmdstat_get:calls={gets},usec=1000000,usec_per_call=1.00,rejected_calls=1,failed_calls=2
cmdstat_mget:calls=7,usec=5,usec_per_call=1.00,rejected_calls=0,failed_calls=0
cmdstat_config|get:calls=1,usec=5,usec_per_call=5.00,rejected_calls=0,failed_calls=0
cmdstat_shardd|proxy:calls=2,usec=5,usec_per_call=1.00,rejected_calls=0,failed_calls=0

# Errorstats
errorstat_ERR:count=2

# Latencystats
latency_percentiles_usec_get:p50=1.003,p99.9=8.031

# Keyspace
db0:keys={keys},expires=1,avg_ttl=1500
db3:keys=2,expires=0,avg_ttl=0
"""
OWN = {"calls": {"get": [100, 4, False], "mget": [5, 0, True], "ping": [6, 0, True]},
       "errors": {"ERR": 1, "NOAUTH": 3},
       "highest": {"client_recent_max_input_buffer": 70},
       "latency": {"queue": {"count": 9, "total_us": 90_000, "upto": list(range(9)) + [9] * 9}},
       "links": {"0": {"up": True, "in_flight": 2}, "1": {"up": False, "in_flight": 0}}}
FIGURES = {"connected_clients": 4, "total_connections_received": 20, "total_commands_processed": 111,
           "total_net_input_bytes": 700, "proxy_lost_replies": 1, "used_cpu_sys": 0.5, "used_cpu_user": 0.5}


def info(memory: int = 1000, hits: int = 10, gets: int = 50, keys: int = 4) -> str:
    return INFO.format(memory=memory, hits=hits, gets=gets, keys=keys)


def process(kind: str, index: int, answer: Answer | None, state: str = "up") -> Process:
    name = f"{kind} {index}"
    return Process(kind, index, name, name, state == "draining", state, 1, 4711, 7000, 8192, 0.5, answer)


def engine(index: int, text: str | None, *replies: object) -> Process:
    return process("engine", index, None if text is None else of_engine(0.001, [text.encode(), *replies]))


def proxy(index: int, own: dict | None = OWN) -> Process:
    return process("proxy", index, None if own is None else Answer(0.002, FIGURES, own=own))


class Shown:
    """A registry's collector, and what a strict reader finds in its exposition."""

    def __init__(self) -> None:
        self.tally = Tally()

    def __call__(self, *processes: Process) -> dict[tuple[str, frozenset], float]:
        families.note_counters(self.tally, processes)
        self.snapshot = Snapshot(processes, 0.003, 0, self.tally)
        registry = CollectorRegistry()
        registry.register(self)
        return series(generate_latest(registry).decode())

    def collect(self) -> Iterator[Metric]:
        found = Families()
        families.whole_server(found, self.snapshot, {"maxclients": "500", "run_id": "abc"})
        families.slow_log(found, self.snapshot)
        families.latency_events(found, self.snapshot)
        families.engines(found, self.snapshot)
        families.proxies(found, self.snapshot)
        yield from found


def series(text: str) -> dict[tuple[str, frozenset], float]:
    """Name and labels -> value. Fails where a series or a family comes twice, or a sample is of no family."""
    found: dict[tuple[str, frozenset], float] = {}
    names = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in names, family.name
        assert family.samples and family.documentation, family.name
        names.add(family.name)
        for sample in family.samples:
            assert sample.name.startswith(family.name), sample
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, sample
            found[key] = sample.value
    return found


def at(found: dict[tuple[str, frozenset], float], name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


# --- the whole ----------------------------------------------------------------------------------------------------

def test_gauges_of_the_whole():
    found = Shown()(engine(0, info(memory=1000, keys=4)), engine(1, info(memory=500, keys=6)), proxy(0), proxy(1))
    assert at(found, "redis_up") == 1
    assert at(found, "redis_memory_used_bytes") == 1500
    assert at(found, "redis_connected_clients") == 2 * 3 + 2 * 4, "cluster clients, and those of the proxies"
    assert at(found, "redis_client_recent_max_input_buffer_bytes") == 70
    assert at(found, "redis_config_maxclients") == 500
    assert at(found, "redis_db_keys", db="db0") == 10 and at(found, "redis_db_keys", db="db3") == 4
    assert at(found, "redis_db_keys_expiring", db="db0") == 2
    assert at(found, "redis_db_avg_ttl_seconds", db="db0") == 1.5
    assert at(found, "redis_rdb_last_bgsave_status") == 1, "ok is 1"
    assert at(found, "redis_latest_fork_seconds") == 0.0015
    assert at(found, "redis_instance_info", role="", redis_version="7.2.6", redis_build_id="", redis_mode="", os="",
              maxmemory_policy="noeviction", tcp_port="", run_id="abc", process_id="", master_replid="") == 1


def test_counters_of_the_whole():
    found = Shown()(engine(0, info(hits=10, gets=50)), engine(1, info(hits=5, gets=30)), proxy(0), proxy(1))
    assert at(found, "redis_keyspace_hits_total") == 15
    assert at(found, "redis_commands_total", cmd="get") == 80, "engines count: cluster clients ask them directly"
    assert at(found, "redis_commands_total", cmd="mget") == 10, "proxies count what engines see in parts"
    assert at(found, "redis_commands_total", cmd="ping") == 12
    assert at(found, "redis_commands_total", cmd="config|get") == 2
    assert at(found, "redis_commands_total", cmd="shardd|proxy") is None, "not a client's"
    assert at(found, "redis_commands_processed_total") == 80 + 10 + 12 + 2
    assert at(found, "redis_commands_duration_seconds_total", cmd="get") == 2
    assert at(found, "redis_commands_rejected_calls_total", cmd="get") == 2 * 1 + 2 * 4
    assert at(found, "redis_commands_failed_calls_total", cmd="get") == 4
    assert at(found, "redis_errors_total", err="ERR") == 2 * 2 + 2 * 1
    assert at(found, "redis_errors_total", err="NOAUTH") == 6
    assert at(found, "redis_total_error_replies") == 12
    assert at(found, "redis_connections_received_total") == 2 * 9 + 2 * 20
    assert at(found, "redis_net_input_bytes_total") == 1400, "an engine counts the proxies' links, too"
    assert at(found, "redis_cpu_user_seconds_total") == 2 * 2.5 + 2 * 0.5


def test_latency_percentiles_are_a_summary():
    found = Shown()(engine(0, info()), engine(1, info()), proxy(0))
    assert at(found, "redis_latency_percentiles_usec", cmd="get", quantile="99.9") == 8.031
    assert at(found, "redis_latency_percentiles_usec_count", cmd="get") == 100


def test_a_whole_without_answers():
    found = Shown()(engine(0, None), proxy(0, None))
    assert at(found, "redis_up") == 0 and at(found, "shardd_engine_up", engine="0") == 0
    assert at(found, "redis_memory_used_bytes") is None
    assert at(found, "redis_db_keys", db="db0") == 0


def test_counters_never_go_back():
    shown = Shown()
    shown(engine(0, info(hits=10, gets=50)), engine(1, info(hits=5, gets=30)), proxy(0))
    found = shown(engine(0, info(hits=11, gets=51)), engine(1, None), proxy(0))
    assert at(found, "redis_keyspace_hits_total") == 16, "who is silent counts with what it said last"
    assert at(found, "redis_commands_total", cmd="get") == 81
    found = shown(engine(0, info(hits=11, gets=51)), engine(1, info(hits=1, gets=2)), proxy(0))
    assert at(found, "redis_keyspace_hits_total") == 17, "started again: its 5 stay"
    assert at(found, "redis_commands_total", cmd="get") == 83
    found = shown(engine(0, info(hits=11, gets=51)), engine(1, info(hits=4, gets=2)), proxy(0))
    assert at(found, "redis_keyspace_hits_total") == 20
    assert at(found, "shardd_engine_keyspace_hits_total", engine="1") == 4, "its own starts anew, as it did"


def test_a_tally_keeps_what_is_not_said_any_more():
    tally = Tally()
    tally.note("a", "x", {"one": 3, "two": 4})
    tally.note("a", "x", {"two": 5})
    tally.note("b", "x", {"two": 1})
    tally.note("a", "y", {"two": 100})
    assert tally.totals("x") == {"one": 3, "two": 6}
    tally.note("a", "x", {"one": 1, "two": 5})
    assert tally.totals("x") == {"one": 4, "two": 6}


def test_what_ended_processes_have_counted_stays():
    tally = Tally()
    tally.note("a", "x", {"one": 3})
    tally.note("b", "x", {"one": 4})
    tally.end("a")
    assert tally.totals("x") == {"one": 7}
    tally.note("c", "x", {"one": 1})
    tally.end("c"), tally.end("nobody")
    assert tally.totals("x") == {"one": 8}


def test_a_proxy_that_drains_counts_in_the_whole_and_is_not_shown_beside_its_successor():
    draining = Process("proxy", 0, "proxy 0", "proxy 0, pid 1", True, "draining", 0, 1, 7000, 0, 0.0,
                       Answer(0.001, FIGURES, own=OWN))
    found = Shown()(engine(0, info()), proxy(0), draining)
    assert at(found, "redis_connected_clients") == 3 + 2 * 4
    assert at(found, "redis_commands_total", cmd="ping") == 12
    assert at(found, "shardd_proxy_connected_clients", proxy="0") == 4
    assert at(found, "shardd_proxies_draining") == 1


# --- the parts ----------------------------------------------------------------------------------------------------

def test_each_process_has_its_own():
    found = Shown()(engine(0, info(memory=1000, keys=4)), process("engine", 1, None, "suspect"), proxy(0))
    assert at(found, "shardd_engine_keys", engine="0") == 6 and at(found, "shardd_engine_slots", engine="1") == 8192
    assert at(found, "shardd_engine_memory_used_bytes", engine="0") == 1000
    assert at(found, "shardd_engine_commands_total", engine="0") == 99
    assert at(found, "shardd_engine_cpu_seconds_total", engine="0", mode="user") == 2.5
    assert at(found, "shardd_engine_state", engine="1", state="suspect") == 1
    assert at(found, "shardd_engine_state", engine="1", state="up") == 0
    assert at(found, "shardd_engine_restarts_total", engine="1") == 1
    assert at(found, "shardd_engine_keys", engine="1") is None, "unknown is not zero"
    assert at(found, "shardd_proxy_connected_clients", proxy="0") == 4
    assert at(found, "shardd_proxy_lost_replies_total", proxy="0") == 1
    assert at(found, "shardd_proxy_link_up", proxy="0", engine="1") == 0
    assert at(found, "shardd_proxy_commands_in_flight", proxy="0", engine="0") == 2


def test_latency_of_the_proxies_is_a_histogram():
    found = Shown()(proxy(0), proxy(1))
    upto = {bound: at(found, "shardd_proxy_latency_seconds_bucket", proxy="1", part="queue", le=bound)
            for bound in ("1e-05", "2.5e-05", "0.001", "10.0", "+Inf")}
    assert upto == {"1e-05": 0, "2.5e-05": 1, "0.001": 6, "10.0": 9, "+Inf": 9}
    assert at(found, "shardd_proxy_latency_seconds_count", proxy="0", part="queue") == 9
    assert at(found, "shardd_proxy_latency_seconds_sum", proxy="0", part="queue") == 0.09


def test_the_slow_log_of_the_whole():
    one = [[5, 1700000002, 20000, [b"GET", b"a"], b"", b""]]
    two = [[9, 1700000001, 70000, [b"GET", b"a"], b"", b""]]
    found = Shown()(engine(0, info(), 6, one), engine(1, info(), 10, two), engine(2, info(), 0, []))
    assert at(found, "redis_slowlog_length") == 16
    assert at(found, "redis_slowlog_last_id") == 9 * 3 + 1
    assert at(found, "redis_last_slow_execution_duration_seconds") == 0.02


def test_histograms_of_several_engines_are_added_up():
    """LATENCY HISTOGRAM: cumulative counts, as far as they grow."""
    one = [b"get", [b"calls", 10, b"histogram_usec", [1, 4, 2, 8, 8, 10]], b"shardd|proxy", [
        b"calls", 1, b"histogram_usec", [1, 1]]]
    two = [b"get", [b"calls", 3, b"histogram_usec", [2, 1, 4, 3]]]
    found = Shown()(engine(0, info(), 0, [], one, [[b"command", 1700000000, 250, 300]]),
                    engine(1, info(), 0, [], two, [[b"command", 1700000009, 90, 300]]))
    upto = {bound: at(found, "redis_commands_latencies_usec_bucket", cmd="get", le=bound)
            for bound in ("1.0", "2.0", "4.0", "8.0", "+Inf")}
    assert upto == {"1.0": 4, "2.0": 9, "4.0": 11, "8.0": 13, "+Inf": 13}
    assert at(found, "redis_commands_latencies_usec_count", cmd="get") == 13
    assert at(found, "redis_commands_latencies_usec_sum", cmd="get") == 2_000_000
    assert at(found, "redis_latency_spike_duration_seconds", event_name="command") == 0.09, "the latest"


# --- HTTP ---------------------------------------------------------------------------------------------------------

async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await reader.read()
    finally:
        writer.close()


def served(*requests: bytes, errors: list[str] | None = None) -> list[bytes]:
    """The answers of a server whose pages show what was asked for; /broken raises."""
    async def page(path: str, query: dict[str, list[str]]) -> Page:
        if path == "/broken":
            raise RuntimeError("oh")
        return Page(f"{path} {query}".encode())

    async def run() -> list[bytes]:
        server = HttpServer(page, (errors if errors is not None else []).append)
        port = free_port()
        assert await server.start(["127.0.0.1"], port) == [f"127.0.0.1:{port}"]
        try:
            return [await exchange(port, request) for request in requests]
        finally:
            await server.stop()

    return asyncio.run(run())


def test_http_answers_get_and_head():
    got, head = served(b"GET /a?b=1&b=2 HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD /a HTTP/1.1\r\n\r\n")
    lines, body = got.split(b"\r\n\r\n")
    assert lines.startswith(b"HTTP/1.1 200 OK\r\n") and b"Connection: close" in lines
    assert body == b"/a {'b': ['1', '2']}" and b"Content-Length: %d\r\n" % len(body) in lines
    assert head.endswith(b"\r\n\r\n") and b"Content-Length: 5\r\n" in head


@pytest.mark.parametrize("request_, status", [
    (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"), (b"GET\r\n\r\n", b"400"), (b"\x16\x03\x01 nonsense \r\n\r\n", b"400"),
    (b"GET /x HTTP/3\r\n\r\n", b"400"),
    (b"GET /x?" + b"&".join(b"a=%d" % n for n in range(99)) + b" HTTP/1.1\r\n\r\n", b"400"),
    (b"GET /x HTTP/1.1\r\n" + b"h: " + b"x" * 2 * limits.METRICS_REQUEST_BYTES_MAX + b"\r\n\r\n", b"431")])
def test_http_refuses_nonsense(request_, status):
    assert served(request_)[0].split(b" ")[1] == status


def test_a_page_that_fails_is_a_500_and_a_line_in_the_log():
    errors: list[str] = []
    broken, fine = served(b"GET /broken HTTP/1.1\r\n\r\n", b"GET /a HTTP/1.1\r\n\r\n", errors=errors)
    assert broken.startswith(b"HTTP/1.1 500") and fine.startswith(b"HTTP/1.1 200")
    assert errors == ["The page /broken cannot be made: RuntimeError: oh"]


def test_who_sends_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(limits, "METRICS_CONNECTION_MS", 50)
    assert served(b"GET /a HT") == [b""]


def test_too_many_connections_are_closed(monkeypatch):
    monkeypatch.setattr(limits, "METRICS_CONNECTIONS_MAX", 2)

    async def page(path: str, query: dict[str, list[str]]) -> Page:
        return Page(b"fine")

    async def run() -> None:
        server = HttpServer(page, print)
        port = free_port()
        await server.start(["127.0.0.1"], port)
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        with pytest.raises(ConnectionResetError):
            assert await exchange(port, b"GET / HTTP/1.1\r\n\r\n") == b""
            raise ConnectionResetError      # closed without a reset
        for _, writer in idle:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.05)
        assert (await exchange(port, b"GET / HTTP/1.1\r\n\r\n")).endswith(b"fine")
        await server.stop()

    asyncio.run(run())
