"""The options: the names of Redis, and each takes what Redis takes, refuses what it refuses, and shows it alike."""

import pytest

from harness import OK, Error

pytestmark = pytest.mark.not_on("oracle", "cluster", "proxy", reason="compared with the oracle; a tree has one table")

OURS = {"engines", "engine-base-port", "proxies", "proxy-retry-ms", "proxy-memory-limit", "proxy-drain-seconds",
        "proxy-latency-sample", "metrics-port", "metrics-bind", "rdb-skip-unsupported"}
"""Options of our own."""

SINCE_7_0 = {"cluster-announce-human-nodename", "locale-collate", "set-max-listpack-entries", "set-max-listpack-value",
             "cluster-slot-stats-enabled", "server-cpulist", "bio-cpulist", "aof-rewrite-cpulist", "bgsave-cpulist"}
"""Options of Redis that the oracle does not have yet."""

NOT_COMPARED = {
    # they would change the comparison's own connections, or the two servers' places
    "port", "bind", "dir", "requirepass", "maxclients", "maxmemory", "maxmemory-clients", "proto-max-bulk-len",
    "client-query-buffer-limit", "timeout",
    # what would promise something that does not exist yet is refused here
    "appendonly", "activedefrag", "oom-score-adj", "tls-port", "tls-cluster", "tls-replication"}
# Redis lets a file of any name be a certificate when there is no TLS port, as we do, but tells of the library's errors
NOT_COMPARED |= {"tls-cert-file", "tls-key-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-ciphers",
                 "tls-dh-params-file", "tls-ciphersuites", "tls-protocols", "tls-client-cert-file",
                 "tls-client-key-file"}

KNOWN = {
    "loglevel": "nothing is a level since 7.2",
    "cluster-announce-ip": "an address stands in lines of blanks and commas, so it has none here",
    "cluster-link-sendbuf-limit": "what is beyond 64 bits is refused, and not taken for the largest number",
    "oom-score-adj-values": "has no effect, so its numbers are not looked at",
}
"""Options that differ for some value, with the reason."""

VALUES = ("", "abc", "-1", "0", "1", "5", "100", "101", "1001", "1k", "1kb", "1.5", "010", " 1", "yes", "NO", "a b",
          "no yes", "2147483648", "9223372036854775807", "9223372036854775808", "99999999999999999999", "-2147483649")


@pytest.fixture
def real(fleet):
    return fleet.server("reference").conn()


def names(conn) -> set[str]:
    return {name.decode() for name in conn("CONFIG GET *")[::2]}


def test_the_same_names(r, real):
    assert names(r.conn()) - names(real) == OURS | SINCE_7_0
    assert names(real) - names(r.conn()) == set()


def test_hidden_ones_are_found_by_their_name(r, real):
    for name in ("watchdog-period", "rdb-key-save-delay", "key-load-delay", "loading-process-events-interval-bytes",
                 "use-exit-on-panic"):
        assert r("CONFIG", "GET", name) == real("CONFIG", "GET", name) != []
        assert r("CONFIG", "GET", name[:-1] + "?") == []


def attempts(conn, name: str, before: bytes) -> list[tuple]:
    """What CONFIG SET says to each value, and what the option is then."""
    heard = []
    for value in VALUES:
        said, shown = conn.many(("CONFIG", "SET", name, value), ("CONFIG", "GET", name))
        heard.append((value, said, shown[1]))
        conn("CONFIG", "SET", name, before)
    return heard


def test_the_same_values(r, real):
    conn = r.conn()
    different = {}
    for name in sorted(names(real) & names(conn) - NOT_COMPARED):
        before = conn("CONFIG", "GET", name)[1]
        assert real("CONFIG", "GET", name)[1] == before or name in ("enable-debug-command", "logfile")
        ours, theirs = attempts(conn, name, before), attempts(real, name, before)
        if ours != theirs:
            different[name] = [pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]]
    assert {name: pairs[:3] for name, pairs in different.items() if name not in KNOWN} == {}
    assert set(KNOWN) == set(different), "a difference that is gone need not be known"


@pytest.mark.parametrize("name", ["shutdown-on-sigint", "shutdown-on-sigterm"])
def test_flags(r, real, name):
    for value in ("save", "nosave now", "now force nosave", "default", "default save", "SAVE", "save nosave", "never",
                  "now"):
        for conn in (r, real):
            conn("CONFIG", "SET", name, "default")
        assert r("CONFIG", "SET", name, value) == real("CONFIG", "SET", name, value)
        assert r("CONFIG", "GET", name) == real("CONFIG", "GET", name)
    assert r("CONFIG", "SET", name, "default") == real("CONFIG", "SET", name, "default") == OK


def test_what_would_promise_something_is_refused(r):
    for name, value in (("tls-port", "7000"), ("tls-cluster", "yes"),
                        ("tls-replication", "yes"), ("activedefrag", "yes")):
        assert isinstance(r("CONFIG", "SET", name, value), Error), name
