"""The server as a whole: INFO CONFIG TIME SLOWLOG MEMORY DEBUG."""

import time

import pytest

from harness import OK, Error, Status, Verbatim, encode
from harness.texts import NO_SUCH_KEY, NOT_INT, SYNTAX, unknown_subcommand

ONE_CONFIG = "the engines' configuration is set through the proxy"


@pytest.fixture
def c(r):
    """A connection of its own, for what needs no key."""
    return r.conn()


def fields(reply: bytes | str) -> dict[str, str]:
    text = reply if isinstance(reply, str) else reply.decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line and not line.startswith("#"))


def sections(reply: bytes) -> list[str]:
    return [line[2:].lower() for line in reply.decode().split("\r\n") if line.startswith("# ")]


# --- INFO -------------------------------------------------------------------------------------------------------------

DEFAULT_SECTIONS = ["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules",
                    "errorstats",
                    "cluster", "keyspace"]
# what redis_exporter, redis-cli and client libraries read
NEEDED = """redis_version redis_mode os arch_bits multiplexing_api process_id run_id tcp_port uptime_in_seconds
    uptime_in_days hz connected_clients maxclients blocked_clients used_memory
    used_memory_human used_memory_rss used_memory_peak
    used_memory_dataset used_memory_overhead maxmemory maxmemory_human maxmemory_policy mem_fragmentation_ratio
    mem_allocator loading rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status
    aof_enabled aof_rewrite_in_progress total_connections_received total_commands_processed instantaneous_ops_per_sec
    total_net_input_bytes total_net_output_bytes rejected_connections expired_keys evicted_keys keyspace_hits
    keyspace_misses role connected_slaves master_replid master_repl_offset used_cpu_sys used_cpu_user
    cluster_enabled""".split()


def test_info_sections_and_fields(c):
    reply = c("INFO")
    names = sections(reply)
    assert [name for name in DEFAULT_SECTIONS if name in names] == [name for name in names if name in DEFAULT_SECTIONS]
    assert set(DEFAULT_SECTIONS) - {"modules"} <= set(names)
    missing = [name for name in NEEDED if name not in fields(reply)]
    assert not missing


def test_info_types(c):
    info = fields(c("INFO everything"))
    for name in ("process_id", "tcp_port", "uptime_in_seconds", "connected_clients", "used_memory", "maxmemory",
                 "expired_keys",
                 "keyspace_hits", "total_commands_processed", "total_connections_received", "used_memory_rss",
                 "maxclients",
                 "evicted_keys", "rejected_connections", "total_net_input_bytes", "arch_bits", "loading",
                 "aof_enabled"):
        assert info[name].isdigit(), (name, info[name])
    assert info["role"] == "master"
    assert info["redis_mode"] in ("standalone", "cluster")
    assert len(info["run_id"]) == 40 and int(info["run_id"], 16) >= 0
    assert float(info["used_cpu_user"]) >= 0
    assert float(info["mem_fragmentation_ratio"]) >= 0


def test_info_of_one_section_or_several(c):
    assert sections(c("INFO server")) == ["server"]
    assert sections(c("INFO SERVER")) == ["server"]
    assert sections(c("info server clients")) == ["server", "clients"]
    assert sections(c("INFO clients server")) == ["server", "clients"], "in INFO's own order"
    assert sections(c("INFO server server")) == ["server"]
    assert c("INFO nosuch") == b""
    assert sections(c("INFO nosuch cpu")) == ["cpu"]
    assert "commandstats" not in sections(c("INFO"))
    assert "commandstats" not in sections(c("INFO default"))
    for name in ("all", "everything"):
        assert {"server", "commandstats", "keyspace"} <= set(sections(c(f"INFO {name}")))
    assert sections(c("INFO commandstats")) == ["commandstats"]


def test_info_is_verbatim_in_resp3(r):
    reply = r.conn(resp=3)("INFO server")
    assert isinstance(reply, Verbatim) and reply.format == "txt"


@pytest.mark.not_on("cluster", reason="one connection for keys of any slot, and SELECT")
def test_info_keyspace(r):
    assert r("INFO keyspace") == b"# Keyspace\r\n"
    r("MSET a 1 b 2 c 3")
    r("EXPIRE a 1000")
    info = fields(r("INFO keyspace"))
    assert info["db0"].startswith("keys=3,expires=1,avg_ttl=")
    r.conn(db=7).must("SET x y")
    info = fields(r("INFO keyspace"))
    assert list(info) == ["db0", "db7"]
    assert info["db7"].startswith("keys=1,expires=0,avg_ttl=0")


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_info_counts(r):
    def stats():
        return {name: int(value) for name, value in fields(r("INFO stats")).items() if value.isdigit()}

    r("SET k v")
    before = stats()
    for _ in range(10):
        r("GET k")
        r("GET nokey")
    after = stats()
    assert after["keyspace_hits"] - before["keyspace_hits"] == 10
    assert after["keyspace_misses"] - before["keyspace_misses"] == 10
    assert after["total_commands_processed"] - before["total_commands_processed"] >= 20
    assert after["total_net_input_bytes"] > before["total_net_input_bytes"]
    r.conn()("PING")
    assert stats()["total_connections_received"] > before["total_connections_received"]


def counted(r, name: str) -> dict[str, str]:
    line = fields(r("INFO commandstats")).get(f"cmdstat_{name}", "calls=0,usec=0,rejected_calls=0,failed_calls=0")
    return dict(pair.split("=") for pair in line.split(","))


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_commandstats(r):
    assert r("CONFIG RESETSTAT") == OK
    for _ in range(3):
        r("STRLEN k")
    r("STRLEN")
    r("SET k abc")
    r("INCR k")
    stats = counted(r, "strlen")
    assert (stats["calls"], stats["rejected_calls"], stats["failed_calls"]) == ("3", "1", "0")
    assert float(stats["usec_per_call"]) >= 0
    assert counted(r, "incr")["failed_calls"] == "1"
    r("OBJECT ENCODING k")
    assert counted(r, "object|encoding")["calls"] == "1"
    errors = fields(r("INFO errorstats"))
    assert int(errors["errorstat_ERR"].removeprefix("count=")) >= 2
    assert r("CONFIG RESETSTAT") == OK
    assert counted(r, "strlen")["calls"] == "0"


def test_expired_keys_are_counted(r):
    conn = r.at(r.node_of("GET", "k")) if r.name == "cluster" else r.conn()

    def expired():
        return int(fields(conn("INFO stats"))["expired_keys"])

    before = expired()
    conn.must("SET k v PX 1")
    deadline = time.monotonic() + 10
    while expired() < before + 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- CONFIG -----------------------------------------------------------------------------------------------------------

def test_config_get(c):
    assert c("CONFIG GET maxmemory") == [b"maxmemory", b"0"]
    assert [word.lower() for word in c("CONFIG GET MaxMemory")] == [b"maxmemory", b"0"]
    assert c("CONFIG GET nosuch") == []
    reply = c("CONFIG GET maxmemory timeout maxmemory")
    assert dict(zip(reply[::2], reply[1::2], strict=True)) == {b"maxmemory": b"0", b"timeout": b"0"}
    reply = c("CONFIG GET maxmemory*")
    assert {b"maxmemory", b"maxmemory-policy", b"maxmemory-samples"} <= set(reply[::2])
    reply = c("CONFIG GET *")
    assert len(reply) > 100 and len(set(reply[::2])) == len(reply) // 2
    reply = c("config get save appendonly databases")
    assert dict(zip(reply[::2], reply[1::2], strict=True)) == {b"save": b"", b"appendonly": b"no", b"databases": b"16"}


def test_config_get_is_a_map_in_resp3(r):
    assert r.conn(resp=3)("CONFIG GET maxmemory") == {b"maxmemory": b"0"}


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_config_set(r):
    c = r.conn()
    try:
        for value, stored in [("1mb", b"1048576"), ("1MB", b"1048576"), ("5k", b"5000"), ("5kb", b"5120"),
                              ("2gb", b"2147483648"),
                              ("100", b"100"), ("100b", b"100"), ("0", b"0")]:
            assert c("CONFIG", "SET", "maxmemory", value) == OK
            assert c("CONFIG GET maxmemory") == [b"maxmemory", stored]
        assert c("CONFIG SET timeout 100 maxmemory-samples 7") == OK
        assert c("CONFIG GET timeout") == [b"timeout", b"100"]
        assert c("CONFIG GET maxmemory-samples") == [b"maxmemory-samples", b"7"]
        assert c("CONFIG SET TIMEOUT 5") == OK
        assert c("CONFIG GET timeout") == [b"timeout", b"5"]
    finally:
        c.must("CONFIG SET maxmemory 0 timeout 0 maxmemory-samples 5")


def failed(option: str, reason: str) -> Error:
    return Error(f"ERR CONFIG SET failed (possibly related to argument '{option}') - {reason}")


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("line, error", [
    ("nosuch 1", Error("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")),
    ("timeout 0 nosuch 1", Error("ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'")),
    ("maxmemory abc", failed("maxmemory", "argument must be a memory value")),
    ("maxmemory 1gbb", failed("maxmemory", "argument must be a memory value")),
    ("maxmemory -1", failed("maxmemory", "argument must be a memory value")),
    ("maxmemory 0 maxmemory 0", failed("maxmemory", "duplicate parameter")),
    ("maxmemory 100mb timeout abc", failed("timeout", "argument couldn't be parsed into an integer")),
    ("timeout -1", failed("timeout", "argument must be between 0 and 2147483647 inclusive")),
    ("timeout 1.5", failed("timeout", "argument couldn't be parsed into an integer")),
    ("maxmemory-policy foo", failed(
        "maxmemory-policy", "argument(s) must be one of the following: volatile-lru, volatile-lfu, volatile-random, "
        "volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction")),
    ("databases 4", failed("databases", "can't set immutable config")),
    ("cluster-enabled yes", failed("cluster-enabled", "can't set immutable config")),
    ("lfu-log-factor -1", failed("lfu-log-factor", "argument must be between 0 and 2147483647 inclusive")),
    ("proto-max-bulk-len 100", failed("proto-max-bulk-len",
                                      "argument must be between 1048576 and 9223372036854775807 inclusive")),
    ("activerehashing maybe", failed("activerehashing", "argument must be 'yes' or 'no'")),
    ("client-output-buffer-limit foo", failed("client-output-buffer-limit",
                                              "Wrong number of arguments in buffer limit configuration."))])
def test_config_set_errors(r, line, error):
    c = r.conn()
    before = c("CONFIG GET *")
    assert c(f"CONFIG SET {line}") == error
    assert c("CONFIG GET *") == before, "all or nothing"


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
@pytest.mark.parametrize("option, value", [
    ("maxclients", "5000"), ("tcp-keepalive", "60"), ("lfu-log-factor", "3"), ("lfu-decay-time", "2"), ("hz", "50"),
    ("client-query-buffer-limit", "2097152"), ("slowlog-log-slower-than", "-1"), ("maxmemory-policy", "volatile-ttl"),
    ("active-expire-effort", "3"), ("activerehashing", "no"),
    ("client-output-buffer-limit", "normal 1048576 524288 10"),
    ("hash-max-listpack-entries", "7"), ("lazyfree-lazy-user-del", "yes"), ("loglevel", "warning")])
def test_config_set_is_read_back(r, option, value):
    with r.config(**{option.replace("-", "_"): value}):
        got = r.conn()("CONFIG", "GET", option)
        assert got[0] == option.encode()
        assert value.encode() in got[1]


@pytest.mark.not_on("cluster", reason="an engine of a tree keeps what was set in a file of its own")
def test_config_rewrite_without_a_file(c):
    assert c("CONFIG REWRITE") == Error("ERR The server is running without a config file")


# --- TIME, SLOWLOG ----------------------------------------------------------------------------------------------------

def test_time(c):
    seconds, micros = c("TIME")
    assert abs(int(seconds) - time.time()) < 60
    assert 0 <= int(micros) < 1_000_000


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_slowlog(r):
    c = r.conn()
    with r.config(slowlog_log_slower_than=0):
        c.must("CLIENT SETNAME slow")
        c.must("SLOWLOG RESET")
        c("SET", "{s}k", "value")
        c("GET", "{s}k")
        entries = c("SLOWLOG GET 50")
        mine = [entry for entry in entries if entry[5] == b"slow" and entry[3][0] in (b"SET", b"GET")]
        assert [entry[3] for entry in mine] == [[b"GET", b"{s}k"], [b"SET", b"{s}k", b"value"]], "newest first"
        number, at, micros, words, address, name = mine[0]
        assert number == mine[1][0] + r.engines
        assert abs(at - time.time()) < 60 and micros >= 0
        host, port = c.sock.getsockname()
        assert address == f"{host}:{port}".encode()
        assert len(c("SLOWLOG GET 1")) == 1
        assert len(c("SLOWLOG GET")) <= 10
        assert c("SLOWLOG GET 0") == []
        assert c("SLOWLOG LEN") >= 3
        assert len(c("SLOWLOG GET -1")) >= 3
    c.must("SLOWLOG RESET")
    assert c("SLOWLOG LEN") == 0
    assert c("SLOWLOG GET") == []


@pytest.mark.only_on("proxy", reason="the entries of all engines as one log")
def test_slowlog_through_the_proxy(r):
    c = r.conn()
    with r.config(slowlog_log_slower_than=0):
        c.must("SLOWLOG RESET")
        for n in range(20):
            c("SET", f"key:{n}", "v")
        entries = c("SLOWLOG GET -1")
    assert {entry[3][1] for entry in entries if entry[3][0] == b"SET"} == {f"key:{n}".encode() for n in range(20)}
    assert len({entry[0] for entry in entries}) == len(entries), "ids are unique"
    assert [entry[1] for entry in entries] == sorted((entry[1] for entry in entries), reverse=True)
    assert all(len(entry) == 6 for entry in entries)


@pytest.mark.only_on("proxy", reason="clients of several engines")
@pytest.mark.parametrize("resp", [2, 3])
def test_slowlog_through_the_proxy_names_the_client(r, resp):
    clients = [r.conn(resp=resp) for _ in range(3)]
    who = {}
    for number, conn in enumerate(clients):
        conn.must("CLIENT", "SETNAME", f"client-{number}")
        who[f"client-{number}".encode()] = b"%s:%d" % (conn.sock.getsockname()[0].encode(), conn.sock.getsockname()[1])
    with r.config(slowlog_log_slower_than=0):
        clients[0].must("SLOWLOG RESET")
        for number, conn in enumerate(clients):
            conn.must("SET", f"key:{number}", "v")
            conn.must("MSET", f"a{number}", 1, f"b{number}", 2, f"c{number}", 3)     # parts
            conn.must("RANDOMKEY")                                                  # a task
            assert conn("INCR", f"key:{number}").code == "ERR"
            assert len(conn.many(*["GET key:1"] * 5)) == 5
        entries = clients[0]("SLOWLOG GET -1")
    seen = {}
    for _, _, _, words, peer, name in entries:
        if words[0] in (b"SET", b"MSET", b"INCR", b"RANDOMKEY", b"GET"):
            assert who[name] == peer
            seen.setdefault(words[0], set()).add(name)
        if words[0] == b"SET":
            assert name == b"client-" + words[1][-1:]
    assert all(len(names) == 3 for names in seen.values()) and len(seen) == 5


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_slowlog_cuts_long_commands(r):
    c = r.conn()
    with r.config(slowlog_log_slower_than=0):
        c.must("SLOWLOG RESET")
        c("SET", "k", "x" * 1000)
        c("EXISTS", *[f"{{t}}{n}" for n in range(100)])
        entries = {entry[3][0]: entry[3] for entry in c("SLOWLOG GET -1")}
    assert entries[b"SET"][2] == b"x" * 128 + b"... (872 more bytes)"
    assert len(entries[b"EXISTS"]) == 32
    assert entries[b"EXISTS"][30] == b"{t}29"
    assert entries[b"EXISTS"][31] == b"... (70 more arguments)"


@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_slowlog_is_bounded_and_can_be_off(r):
    c = r.conn()
    with r.config(slowlog_log_slower_than=0, slowlog_max_len=5):
        for n in range(60):
            c("GET", f"key:{n}")
        assert c("SLOWLOG LEN") == 5 * r.engines, "the length is each engine's"
    with r.config(slowlog_log_slower_than=-1):
        c.must("SLOWLOG RESET")
        c("PING")
        assert c("SLOWLOG LEN") == 0
    with r.config(slowlog_log_slower_than=10_000_000):
        c("PING")
        assert c("SLOWLOG LEN") == 0


def test_slowlog_errors(c):
    for line in ("SLOWLOG GET abc", "SLOWLOG GET -2", "SLOWLOG GET 1.5"):
        assert c(line) == Error("ERR count should be greater than or equal to -1")
    assert c("SLOWLOG BOGUS") == unknown_subcommand("BOGUS", "SLOWLOG")


# --- MEMORY, DEBUG ----------------------------------------------------------------------------------------------------

def test_memory_usage(r):
    assert r("MEMORY USAGE nokey") is None
    sizes = []
    for size in (1, 100, 10_000, 1_000_000):
        r("SET", "k", "x" * size)
        sizes.append(r("MEMORY USAGE k"))
        assert sizes[-1] >= size
    assert sizes == sorted(sizes)
    assert sizes[-1] < 1_400_000
    assert isinstance(r("MEMORY USAGE k SAMPLES 5"), int)
    assert r("MEMORY USAGE k SAMPLES 0") == r("MEMORY USAGE k")
    for key in ("k", "nokey"):
        assert r(f"MEMORY USAGE {key} SAMPLES") == SYNTAX
        assert r(f"MEMORY USAGE {key} SAMPLES -1") == SYNTAX
        assert r(f"MEMORY USAGE {key} BOGUS 1") == SYNTAX
        assert r(f"MEMORY USAGE {key} SAMPLES abc") == NOT_INT


@pytest.mark.not_on("cluster", reason="one engine's memory")
def test_used_memory_follows_the_keys(r):
    def used():
        return int(fields(r("INFO memory"))["used_memory"])

    base = used()
    r("SET", "k", "x" * 5_000_000)
    full = used()
    assert full - base > 4_900_000
    r("DEL k")
    deadline = time.monotonic() + 10
    while used() > full - 4_000_000:
        assert time.monotonic() < deadline


def test_debug_sleep_and_object(r):
    assert r("DEBUG SLEEP 0") == OK
    assert r("DEBUG SLEEP 0.01") == OK
    assert r("DEBUG OBJECT nokey") == NO_SUCH_KEY
    r("SET k v")
    reply = r("DEBUG OBJECT k")
    assert isinstance(reply, Status)
    words = dict(word.split(":", 1) for word in reply.removeprefix("Value at:").split()[1:])
    assert words["encoding"] == "embstr"
    assert {"refcount", "encoding", "serializedlength", "lru", "lru_seconds_idle"} <= set(words)


@pytest.mark.parametrize("line", ["DEBUG BOGUS", "DEBUG SLEEP", "DEBUG OBJECT"])
def test_debug_errors(c, line):
    word = line.split()[1]
    assert c(line) == Error(f"ERR unknown subcommand or wrong number of arguments for '{word}'. Try DEBUG HELP.")


@pytest.mark.parametrize("resp", [2, 3])
def test_debug_protocol(r, oracle, resp):
    if r.name == "proxy" and resp == 3:
        return          # it hands on the values, and a set as an array
    ours, theirs = r.conn(resp=resp), oracle.conn(resp=resp)
    names = "string integer double bignum null array set map verbatim true false nope".split()
    if r.name != "proxy":
        names += ["attrib", "push"]
    for name in names:
        replies = []
        for conn in (ours, theirs):
            conn.send(encode("DEBUG", "PROTOCOL", name) + encode("ECHO", "the end"))
            replies.append(conn.until(b"the end\r\n"))
        assert replies[0] == replies[1], name


@pytest.mark.not_on("oracle", "cluster", reason="what a proxy cannot pass on")
def test_debug_protocol_through_the_proxy(r):
    if r.name == "proxy":
        assert "through the proxy" in r("DEBUG PROTOCOL push") and "through the proxy" in r("DEBUG PROTOCOL attrib")


def test_debug_of_tables(r):
    assert r("DEBUG HTSTATS-KEY nokey") == NO_SUCH_KEY
    r.must("SET k v")
    r.must("HSET small a 1")
    for key in ("k", "small"):
        assert r("DEBUG", "HTSTATS-KEY", key) == Error(
            "ERR The value stored at the specified key is not represented using an hash table")
    r.must("SADD", "s", *[f"m{n}" for n in range(1000)])
    r.must("HSET", "h", *[word for n in range(2000) for word in (n, n)])
    r.must("ZADD", "z", *[word for n in range(1500) for word in (n, n)])
    for key, count in (("s", 1000), ("h", 2000), ("z", 1500)):
        assert f" number of elements: {count}\n" in r("DEBUG", "HTSTATS-KEY", key).decode()


@pytest.mark.not_on("cluster", reason="one engine of it")
def test_debug_htstats(r):
    if r.engines > 1:
        return          # each has tables of its own
    assert r("DEBUG HTSTATS 16") == Error("ERR Out of range database")
    assert r("DEBUG HTSTATS x") == Error("ERR value is not an integer or out of range")
    assert b"No stats available for empty dictionaries\n" in r("DEBUG HTSTATS 5")
    r.must("MSET", *[word for n in range(3000) for word in (n, n)])
    text = r("DEBUG HTSTATS 0").decode()
    assert text.startswith("[Dictionary HT]\nHash table 0 stats (main hash table)") and "\n[Expires HT]\n" in text
    assert " number of elements: 3000\n" in text


def test_debug_what_has_no_effect(r):
    for line in ("PAUSE-CRON 0", "AOF-FLUSH-SLEEP 0", "SET-DISABLE-DENY-SCRIPTS 0", "REPLYBUFFER RESIZING 1",
                 "DROP-CLUSTER-PACKET-FILTER -1", "SET-SKIP-CHECKSUM-VALIDATION 0", "CHANGE-REPL-ID"):
        assert r("DEBUG " + line) == OK, line
    if r.name != "oracle":      # of older and newer ones
        assert r("DEBUG JMAP") == r("DEBUG DICT-RESIZING 1") == OK
        assert [r("DEBUG STRINGMATCH-LEN a*c " + text) for text in ("abbc", "abb")] == [1, 0]


@pytest.mark.not_on("cluster", reason="one engine of it")
def test_debug_pause_cron(r):
    c = r.conn()
    assert c("DEBUG PAUSE-CRON 1") == OK
    c.must("SET k v PX 1")
    time.sleep(0.3)
    assert c("DBSIZE") == 1
    assert c("DEBUG PAUSE-CRON 0") == OK
    deadline = time.monotonic() + 10
    while c("DBSIZE"):
        assert time.monotonic() < deadline


@pytest.mark.not_on("cluster", reason="one digest over all keys")
def test_debug_digest_is_the_oracles(r, fleet):
    """The same data gives the same digest, whoever holds it and in whatever order it came."""
    other = fleet.server("reference").conn()
    other.must("FLUSHALL")
    assert r("DEBUG DIGEST") == Status("0" * 40)
    names = [f"key:{n}" for n in range(200)]
    for target, order in ((r, names), (other, names[::-1])):
        for name in order:
            target("SET", name, f"value of {name}")
        target("EXPIRE key:7 1000")
        target("SET n 12345")
        target("SELECT 3")
        target("SET", "bin\0\xff", "")
        target("SELECT 0")
        for count in (3, 200):
            some = [name for name in order if name in names[:count]]
            target("HSET", f"h{count}", *[word for n in some for word in (n, f"v{n}")])
            target("HSET", f"big-h{count}", *[word for n in range(count) for word in (n, n)])
            target("SADD", f"s{count}", *some)
            target("SADD", f"ints{count}", *range(count))
            target("RPUSH", f"l{count}", *names[:count], 7, "")
            target("ZADD", f"z{count}", *[word for name in some for word in (int(name[4:]) / 3, name)], "-inf", "x")
    assert r("DEBUG DIGEST") == other("DEBUG DIGEST")
    keys = ["key:1", "key:7", "n", "nokey",
            *[f"{kind}{n}" for kind in ("h", "big-h", "s", "ints", "l", "z") for n in (3, 200)]]
    assert r("DEBUG", "DIGEST-VALUE", *keys) == other("DEBUG", "DIGEST-VALUE", *keys)
    r("APPEND key:1 x")
    assert r("DEBUG DIGEST") != other("DEBUG DIGEST")


@pytest.mark.not_on("cluster", reason="all keys of all engines")
def test_expiry_can_wait_for_a_question(r):
    """With active expiry off a due key stays until somebody asks for it."""
    assert r("DEBUG SET-ACTIVE-EXPIRE 0") == OK
    try:
        r("SET k v PX 1")
        time.sleep(0.3)
        assert r("DBSIZE") == 1
        assert r("GET k") is None
        assert r("DBSIZE") == 0
    finally:
        assert r("DEBUG SET-ACTIVE-EXPIRE 1") == OK


@pytest.mark.not_on("oracle", reason="DEBUG CHECK is ours: it walks our structures")
def test_debug_check(r):
    for n in range(2000):
        r.must("SET", f"{{t}}{n}", "v" * (n % 50), *(("EX", 1000 + n) if n % 3 else ()))
    for n in range(0, 2000, 2):
        r.must("DEL", f"{{t}}{n}")
    assert (r.at(r.node_of("GET", "{t}")) if r.name == "cluster" else r.conn())("DEBUG CHECK") == OK


@pytest.mark.parametrize("kind", ["oracle", "engine", "tree"])
def test_what_the_configuration_forbids(start, kind):
    conn = start(kind, enable_debug_command="no").conn()
    forbidden = Error(
        'ERR DEBUG command not allowed. If the enable-debug-command option is set to "local", you can run it from a '
        "local connection, otherwise you need to set this option in the configuration file, and then restart "
        "the server.")
    assert conn("DEBUG SLEEP 0") == forbidden
    assert conn("DEBUG BOGUS") == forbidden
    assert conn("CONFIG SET dir /tmp") == failed("dir", "can't set protected config")
    assert conn("CONFIG SET enable-debug-command yes") == failed("enable-debug-command", "can't set immutable config")


# --- out of memory ----------------------------------------------------------------------------------------------------

@pytest.mark.not_on("cluster", reason=ONE_CONFIG)
def test_maxmemory_refuses_what_may_grow(r):
    oom = Error("OOM command not allowed when used memory > 'maxmemory'.")
    for n in range(20):
        r("SET", f"k{n}", "v")
    with r.config(maxmemory=1):
        for n in range(20):
            for line in (f"SET k{n} v", f"APPEND k{n} v", f"INCR k{n}", f"SETRANGE k{n} 0 x", f"GETSET k{n} v",
                         f"MSET k{n} v",
                         f"COPY {{k{n}}}1 {{k{n}}}2", f"SETNX k{n} v", f"SETEX k{n} 10 v"):
                assert r(line) == oom, line
        for line, reply in (("GET k1", b"v"), ("DEL k1", 1), ("EXPIRE k2 100", 1), ("PERSIST k2", 1),
                            ("GETDEL k4", b"v"), ("TTL k5", -1), ("GETEX k5 PERSIST", b"v")):
            assert r(line) == reply, line
        assert r("MSET a 1 b 2 c 3 d 4 e 5") == oom
    assert r("SET k v") == OK
