"""INFO's fields: all that the real Redis has, in its sections and order, of the same kind; and figures that move."""
import re

import pytest

from harness.resp import OK

NEW_IN_7_2 = {
    "Clients": ["total_blocking_keys", "total_blocking_keys_on_nokey"],
    "Stats": ["client_query_buffer_limit_disconnections", "client_output_buffer_limit_disconnections",
              "eventloop_cycles", "eventloop_duration_sum", "eventloop_duration_cmd_sum",
              "instantaneous_eventloop_cycles_per_sec", "instantaneous_eventloop_duration_usec",
              "acl_access_denied_auth", "acl_access_denied_cmd", "acl_access_denied_key", "acl_access_denied_channel"],
}
"""What the oracle's 7.0 does not have."""

VARYING = re.compile(r"(cmdstat_|errorstat_|latency_percentiles_usec_|db\d|slave\d|io_thread_\d|listener\d)")


def sections(text: bytes) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for line in text.decode().split("\r\n"):
        if line.startswith("# "):
            fields = found.setdefault(line[2:], {})
        elif line:
            name, _, value = line.partition(":")
            fields[name] = value
    return found


def info(conn, section: str = "everything") -> dict[str, str]:
    return {name: value for fields in sections(conn.must("INFO", section)).values() for name, value in fields.items()}


@pytest.mark.not_on("oracle", reason="it is what is compared with")
def test_every_field_of_the_real_one(r, oracle):
    for target in (r, oracle):
        target.conn()("NOSUCH")     # so that there is an error to count
    ours, theirs = (sections(target.conn().must("INFO everything")) for target in (r, oracle))
    for title, fields in theirs.items():
        names = [name for name in fields if not VARYING.match(name)]
        assert [name for name in ours[title] if name in names] == names, title
        for name in names:
            if re.fullmatch(r"-?\d+(\.\d+)?", fields[name]):
                assert re.fullmatch(r"-?\d+(\.\d+)?", ours[title][name]), (name, ours[title][name])
                assert ("." in ours[title][name]) == ("." in fields[name]), (name, fields[name], ours[title][name])
    for title, names in NEW_IN_7_2.items():
        assert set(names) <= set(ours[title])


def test_reads_and_writes_are_counted(r):
    c = r.conn()
    c.must("CONFIG RESETSTAT")
    for _ in range(20):
        c.must("PING")
    after = info(c)
    assert 20 <= int(after["total_reads_processed"]) < 2000
    assert 20 <= int(after["total_writes_processed"]) < 2000


@pytest.mark.not_on("cluster", "oracle", reason="one engine of it; the reply buffers of Redis shrink by its clock")
def test_queues_of_replies_are_counted(r):
    c = r.conn()
    c.must("SET", "k", "v" * 4_000_000)
    c.must("CONFIG RESETSTAT")
    assert [len(value) for value in c.many(*["GET k"] * 20)] == [4_000_000] * 20
    after = info(c)
    assert int(after["reply_buffer_expands"]) >= 1 and int(after["reply_buffer_shrinks"]) >= 1


@pytest.mark.not_on("oracle", reason="its eviction starts to count with the next command that needs memory")
@pytest.mark.not_on("cluster", reason="one engine of it")
def test_time_above_maxmemory(r):
    c = r.conn()
    c.must("MSET", *[word for number in range(50) for word in (f"k{number}", "v" * 20_000)])
    assert info(c)["current_eviction_exceeded_time"] == "0"
    with r.config(maxmemory="100kb"):
        for _ in range(1000):
            after = info(c)
            if int(after["current_eviction_exceeded_time"]):
                break
        assert 0 < int(after["current_eviction_exceeded_time"]) < 60_000
        assert int(after["total_eviction_exceeded_time"]) >= int(after["current_eviction_exceeded_time"])
    for _ in range(1000):
        after = info(c)
        if after["current_eviction_exceeded_time"] == "0":
            break
    assert after["current_eviction_exceeded_time"] == "0" and int(after["total_eviction_exceeded_time"]) > 0
    assert c("CONFIG RESETSTAT") == OK
    assert info(c)["total_eviction_exceeded_time"] == "0"


def test_wrong_passwords_are_counted(r):
    c = r.conn()
    c.must("CONFIG RESETSTAT")
    c("AUTH default wrong")
    if r.name != "oracle":
        assert info(c)["acl_access_denied_auth"] in ("0", "1")


@pytest.mark.not_on("cluster", reason="one engine of it")
def test_rejected_and_failed_calls(r):
    """As the oracle counts: refused before it ran, or ran and said no."""
    c = r.conn()
    c.must("SET k notanumber")
    c.must("CONFIG RESETSTAT")
    c("INCR k"), c("INCR k"), c("INCR"), c("LPUSH" if r.name == "oracle" else "INCR", "k", "a", "b", "c")
    c("GETEX k EX x"), c("OBJECT NOSUCH k"), c("NOSUCH")
    found = info(c)
    stats = {name: dict(pair.split("=") for pair in found[f"cmdstat_{name}"].split(",")) for name in ("incr", "getex")}
    assert stats["incr"]["calls"] == "2" and stats["incr"]["failed_calls"] == "2"
    assert int(stats["incr"]["rejected_calls"]) == (1 if r.name == "oracle" else 2)
    assert stats["getex"]["calls"] == "1" and stats["getex"]["failed_calls"] == "1"
    assert "cmdstat_nosuch" not in found
    assert int(found["errorstat_ERR"].removeprefix("count=")) >= 6 - (r.name == "oracle")
    assert int(found["total_error_replies"]) == sum(
        int(value.removeprefix("count=")) for name, value in found.items() if name.startswith("errorstat_"))


@pytest.mark.not_on("oracle", reason="Redis has keysizes since 8.0")
@pytest.mark.not_on("cluster", reason="one engine of it")
def test_keysizes(r):
    c = r.conn()
    c.must("MSET", *[word for number in range(40) for word in (f"k{number}", "x" * number)])
    c.must("SADD s 1 2 3")
    c.must("HSET h a 1")
    found = sections(c.must("INFO keysizes"))
    assert found == {"Keysizes": {"db0_distrib_strings_sizes": "1=1,2=2,4=4,8=8,16=16,32=8",
                                  "db0_distrib_sets_items": "2=1", "db0_distrib_hashes_items": "1=1"}}
    assert "Keysizes" in sections(c.must("INFO everything"))
    assert "Keysizes" not in sections(c.must("INFO"))
