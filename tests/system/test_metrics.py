"""The Prometheus endpoint of a running tree: every scrape is read strictly, also while an engine hangs or is gone."""

import http.client
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from harness import Conn, build, encode
from harness.servers import Server, free_port
from system.test_supervisor import eventually, status
from unit.supervisor.test_exporter import at, series

# what contrib/grafana_prometheus_redis_dashboard.json (Grafana's dashboard 763) and contrib/redis-mixin of
# github.com/oliver006/redis_exporter ask for, and what its README names besides
DASHBOARDS = """
redis_up redis_uptime_in_seconds redis_connected_clients redis_memory_used_bytes redis_memory_max_bytes
redis_commands_processed_total redis_keyspace_hits_total redis_keyspace_misses_total redis_net_input_bytes_total
redis_net_output_bytes_total redis_db_keys redis_db_keys_expiring redis_expired_keys_total redis_evicted_keys_total
redis_commands_total redis_commands_duration_seconds_total redis_memory_used_rss_bytes
redis_total_system_memory_bytes redis_mem_fragmentation_ratio redis_instance_info redis_start_time_seconds
redis_blocked_clients redis_connected_slaves redis_rejected_connections_total redis_config_maxclients
redis_config_maxmemory redis_slowlog_length redis_slowlog_last_id redis_last_slow_execution_duration_seconds
redis_cpu_sys_seconds_total redis_cpu_user_seconds_total redis_connections_received_total redis_process_id
redis_rdb_last_save_timestamp_seconds redis_rdb_changes_since_last_save redis_rdb_last_bgsave_status redis_aof_enabled
redis_aof_last_write_status redis_loading_dump_file redis_master_repl_offset redis_replication_backlog_bytes
redis_cluster_state redis_cluster_slots_ok redis_cluster_slots_fail redis_cluster_known_nodes redis_cluster_size
redis_errors_total redis_commands_rejected_calls_total redis_commands_failed_calls_total redis_max_clients
redis_memory_used_peak_bytes redis_memory_used_dataset_bytes redis_allocator_active_bytes redis_latest_fork_seconds
redis_expired_stale_percentage redis_pubsub_channels redis_exporter_scrapes_total redis_exporter_last_scrape_error
redis_exporter_last_scrape_duration_seconds redis_total_error_replies redis_unexpected_error_replies
""".split()


def get(port: int, path: str, timeout_s: float = 10) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.fixture
def tree(start) -> tuple[Server, int]:
    port = free_port()
    return start("tree", engines=2, metrics_port=port, proxy_latency_sample=1), port


def scrape(port: int) -> dict:
    code, text = get(port, "/metrics")
    assert code == 200
    return series(text)


def newer(port: int) -> dict:
    """A scrape that is not the one before: they are kept for a second."""
    time.sleep(1.05)
    return scrape(port)


def test_the_whole_under_the_names_of_redis_exporter(tree):
    server, port = tree
    with server.conn() as conn:
        for n in range(100):
            conn.must("SET", f"key:{n}", "value", *(["EX", "1000"] if n % 2 else []))
        conn("GET", "key:1"), conn("MGET", "key:1", "key:2", "key:none"), conn("NOSUCH"), conn("INCR", "key:1")
        found = newer(port)
        assert {name for name, _ in found} >= set(DASHBOARDS)
        assert at(found, "redis_up") == 1
        assert at(found, "redis_db_keys", db="db0") == 100 and at(found, "redis_db_keys_expiring", db="db0") == 50
        assert at(found, "shardd_engine_keys", engine="0") + at(found, "shardd_engine_keys", engine="1") == 100
        assert at(found, "redis_commands_total", cmd="set") == 100
        assert at(found, "redis_commands_total", cmd="mget") == 1
        assert at(found, "redis_commands_failed_calls_total", cmd="incr") == 1
        assert at(found, "redis_errors_total", err="ERR") == 2
        assert at(found, "redis_keyspace_misses_total") == 1
        assert at(found, "redis_connected_clients") == 1
        assert at(found, "shardd_proxy_link_up", proxy="0", engine="1") == 1
        for part in ("queue", "engine", "network", "total"):
            count = at(found, "shardd_proxy_latency_seconds_count", proxy="0", part=part)
            bucket = at(found, "shardd_proxy_latency_seconds_bucket", proxy="0", part=part, le="+Inf")
            assert count == bucket >= 100
        assert at(found, "shardd_healthy") == 1 and at(found, "redis_cluster_state") == 1
        used = int(conn.must("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0])
        assert abs(at(found, "redis_memory_used_bytes") - used) < 64_000, "buffers of clients come and go"


def test_several_proxies_are_one_server(start):
    port = free_port()
    server = start("tree", engines=1, proxies=2, metrics_port=port)
    conns = [server.conn() for _ in range(8)]
    for conn in conns:
        conn.must("PING"), conn.must("SET", "key", "value")
    found = newer(port)
    own = [{name: at(found, f"shardd_proxy_{name}", proxy=str(proxy)) for name in ("up", "connected_clients")}
           for proxy in range(2)]
    assert [proxy["up"] for proxy in own] == [1, 1]
    assert at(found, "redis_connected_clients") == sum(proxy["connected_clients"] for proxy in own) == 8
    assert at(found, "redis_commands_total", cmd="set") == 8
    for conn in conns:
        conn.close()


def test_config_set_shows(tree):
    server, port = tree
    with server.conn() as conn:
        conn.must("CONFIG", "SET", "maxmemory", "100mb")
    found = eventually(lambda: at(newer(port), "redis_memory_max_bytes") == 100 * 2**20 and scrape(port))
    assert at(found, "redis_config_maxmemory") == 100 * 2**20
    assert at(found, "shardd_engine_memory_max_bytes", engine="0") == 50 * 2**20


def test_other_pages(tree):
    _, port = tree
    assert get(port, "/health") == (200, "ok\n")
    code, page = get(port, "/")
    assert code == 200 and "/metrics" in page
    assert get(port, "/nosuch")[0] == 404


def test_slots_by_what_they_cost(tree):
    server, port = tree
    with server.conn() as conn:
        for n in range(7):
            conn.must("SET", f"{{busy}}:{n}", "value")
        for n in range(30):
            conn.must("SET", f"key:{n}", "value")
        slot = str(conn.must("CLUSTER", "KEYSLOT", "busy"))

        def page(query: str) -> dict:
            code, text = get(port, "/metrics/slots" + query)
            assert code == 200, text
            return series(text)

        found = page("?top=5")
        assert len(found) == 5, "keys alone, as long as no more is counted"
        assert [dict(labels)["slot"] for (_, labels), value in found.items() if value == 7] == [slot]
        assert get(port, "/metrics/slots?by=cpu-usec")[0] == 400
        assert get(port, "/metrics/slots?by=nosuch")[0] == get(port, "/metrics/slots?top=0")[0] == 400
        conn.must("CONFIG", "SET", "cluster-slot-stats-enabled", "yes")
        for _ in range(100):
            conn.must("GET", "{busy}:1")
        eventually(lambda: get(port, "/metrics/slots?by=network-bytes-in&top=1")[0] == 200)
        time.sleep(1.05)
        found = page("?by=network-bytes-in&top=1")
        assert {name for name, _ in found} == {
            "redis_cluster_slot_key_count", "redis_cluster_slot_cpu_usec_total",
            "redis_cluster_slot_network_bytes_in_total", "redis_cluster_slot_network_bytes_out_total"}
        assert {dict(labels)["slot"] for _, labels in found} == {slot}


def test_a_hanging_engine_delays_no_scrape(tree):
    """Within two seconds, with the engine's figures missing, the whole's counters kept, and health told."""
    server, port = tree
    with server.conn() as conn:
        for n in range(50):
            conn.must("SET", f"key:{n}", "value")
    before = newer(port)
    children = status(server)
    os.kill(children["engine 1"]["pid"], signal.SIGSTOP)
    try:
        for _ in range(3):
            started = time.monotonic()
            found = newer(port)
            assert time.monotonic() - started < 1.05 + 2
            assert at(found, "shardd_engine_up", engine="1") == 0 and at(found, "shardd_engine_up", engine="0") == 1
            assert at(found, "shardd_engine_keys", engine="1") is None
            assert at(found, "redis_exporter_last_scrape_error", err="engine 1") == 1
            assert get(port, "/metrics/slots", timeout_s=2)[0] == 200
            assert at(found, "redis_commands_total", cmd="set") == 50
            assert at(found, "redis_keyspace_misses_total") >= at(before, "redis_keyspace_misses_total")
            assert at(found, "redis_db_keys", db="db0") == at(before, "shardd_engine_keys", engine="0")
        eventually(lambda: status(server)["engine 1"]["state"] == "suspect")
        code, text = get(port, "/health")
        assert code == 503 and text == "Engine 1 is suspect: 8192 slots\n"
        assert at(newer(port), "shardd_engine_state", engine="1", state="suspect") == 1
    finally:
        os.kill(children["engine 1"]["pid"], signal.SIGCONT)
    found = eventually(lambda: at(newer(port), "shardd_engine_up", engine="1") and scrape(port))
    assert at(found, "redis_db_keys", db="db0") == 50
    eventually(lambda: get(port, "/health")[0] == 200)


def test_a_restarted_engine_keeps_the_counters_of_the_whole(tree):
    server, port = tree
    with server.conn() as conn:
        for n in range(50):
            conn.must("SET", f"key:{n}", "value")
    before = newer(port)
    os.kill(status(server)["engine 0"]["pid"], signal.SIGKILL)
    eventually(lambda: status(server)["engine 0"]["state"] == "up" and status(server)["engine 0"]["restarts"] == 1)
    found = eventually(lambda: at(newer(port), "shardd_engine_up", engine="0") and scrape(port))
    assert at(found, "redis_commands_total", cmd="set") == at(before, "redis_commands_total", cmd="set") == 50
    assert at(found, "shardd_engine_restarts_total", engine="0") == 1
    assert at(found, "shardd_engine_keys", engine="0") == 0, "it keeps nothing on disk yet"


def test_a_proxy_that_has_a_successor(start):
    """Its clients are still the server's, and what is shown as the proxy is the successor."""
    port = free_port()
    server = start("tree", engines=1, metrics_port=port)
    old = server.conn()
    for _ in range(20):
        old.must("SET", "key", "value")
    assert at(newer(port), "shardd_proxy_commands_total", proxy="0") >= 20
    finished = threading.Event()
    busy = threading.Thread(target=lambda: all(old.must("GET", "key") for _ in iter(lambda: finished.wait(0.02), True)))
    busy.start()        # who is silent would be disconnected at once
    try:
        with Conn(str(server.dir / "run" / "supervisor.sock")) as control:
            control.send(encode("SHARDD", "RESTART", "proxy", "0"))
            eventually(lambda: at(newer(port), "shardd_proxies_draining") == 1)
            new = server.conn()
            new.must("GET", "key")
            found = newer(port)
            assert at(found, "redis_connected_clients") == 2
            assert at(found, "shardd_proxy_connected_clients", proxy="0") == 1
            assert at(found, "shardd_proxy_commands_total", proxy="0") < 20
            assert at(found, "redis_commands_total", cmd="set") == 20
    finally:
        finished.set()
        busy.join()
    old.close()
    found = eventually(lambda: at(newer(port), "shardd_proxies_draining") == 0 and scrape(port))
    assert at(found, "redis_connected_clients") == 1
    assert at(found, "redis_connections_received_total") >= 2, "the old one's stay"
    new.close()


def test_no_port_is_opened_unless_asked_for(start):
    server = start("tree", engines=1)
    assert "Metrics" not in server.log()


@pytest.mark.parametrize("options, words", [
    (["--metrics-port", "{taken}"], "metrics-port"),
    (["--port", "{free}", "--metrics-port", "{free}"], "is the port of the clients"),
    (["--port", "0", "--unixsocket", "x.sock", "--metrics-port", "70000"], "metrics-port")])
def test_a_port_that_cannot_be_had_is_said_at_the_start(tmp_path, start, options, words):
    places = {"taken": start("engine").port, "free": free_port()}
    argv = [sys.executable, "-m", "shardd.supervisor.main", "--dir", str(tmp_path), "--bind", "127.0.0.1",
            *([] if "--port" in options else ["--port", str(places["free"])]),
            *(word.format(**places) for word in options)]
    done = subprocess.run(argv, env=build.environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and words in done.stderr, done.stderr
