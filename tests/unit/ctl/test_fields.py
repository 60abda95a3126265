"""The promise of --json: what is printed is documented, and what is documented is printed."""

import json
import re
from pathlib import Path

import pytest

from ctl_fakes import FakeSource, ctl, flat, info, make_backup
from shardd.base.options import Config
from shardd.cluster.topology import Migration
from shardd.ctl import importing, main
from shardd.ctl.command import field_names
from shardd.ctl.config import _MAPS
from shardd.ctl.link import Unreachable
from shardd.structures.histogram import Histogram
from shardd.wire.values import OK

CLIENT = ("id=3 addr=1.2.3.4:5 laddr=1.2.3.4:6 fd=9 name=x age=1 idle=1 flags=N db=0 sub=0 psub=0 ssub=0 multi=-1 "
          "qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=456 events=r cmd=get "
          "user=default redir=-1 resp=2 lib-name= lib-ver=\n")


@pytest.fixture
def source(tmp_path, monkeypatch):
    one = FakeSource()
    histogram = Histogram(2, 10**9)
    histogram.add(5)
    running = Config()
    values = {name: running.get_text(name) for name in running.values} | {"dir": str(tmp_path)}
    (tmp_path / "c.conf").write_text("hz 50\n")
    calls = iter(range(1, 10_000))

    def counters(*words):
        n = next(calls)
        return info(redis_version="7.2.6", total_commands_processed=10 * n, used_memory=5, keyspace_hits=n,
                    config_file=str(tmp_path / "c.conf"),
                    cmdstat_get=f"calls={n},usec={n},usec_per_call=1,rejected_calls=0,failed_calls=0")

    def slot_stats(*words):
        return [[5, flat({"key-count": 1, "cpu-usec": 1000 * next(calls), "network-bytes-in": 0,
                          "network-bytes-out": 0})]]

    for node in one.nodes:
        node.answers |= {
            "INFO": counters, "CONFIG GET": flat(values), "CONFIG SET": b"OK", "CONFIG REWRITE": b"OK",
            "CLIENT LIST": CLIENT.encode(), "CLIENT KILL": 1, "CLUSTER SLOT-STATS": slot_stats,
            "LATENCY DOCTOR": b"text", "LATENCY LATEST": [[b"command", 1, 2, 3]],
            "SHARDD LATENCIES": json.dumps({"get": histogram.dump()}).encode(),
            "SHARDD LATENCY": json.dumps({"parts": {part: histogram.dump() for part in ("queue", "engine", "network",
                                                                                       "total")}}).encode(),
            "SLOWLOG GET": [[1, 2, 3, [b"get"], b"1.2.3.4:5", b"n"]]}
    one.node("engine 1").answers["CONFIG GET"] = flat(values | {"hz": "77"})
    one.map = one.map.with_migration(Migration(0, 5, one.map.engines[0].id, one.map.engines[1].id))
    one.connection.scripts = {"SHARDD RESTART ALL": [b"step", OK], "SHARDD RELOAD": [b"step", OK],
                              "SHARDD LOGS ALL COUNT 100": [b"a line", OK],
                              f"SHARDD BACKUP {tmp_path}/b".upper(): [b"step", OK],
                              f"SHARDD BACKUP {tmp_path}/f.parts".upper(): [b"step", OK]}
    one.connection.does["SHARDD BACKUP"] = lambda shardd, verb, directory: make_backup(Path(directory))
    make_backup(tmp_path / "restored")
    monkeypatch.setattr(importing, "follow", lambda job, progress: {"error": None, "keys": 1, "unsupported": {}})
    monkeypatch.chdir(tmp_path)
    return one


RUNS = {
    "status": [[]], "ping": [[]], "slots": [[], ["foo"]], "clients": [[], ["kill", "3", "--on", "engine 0"]],
    "top": [["--once", "-i", "0.1"]], "latency": [["show"], ["probe", "-c", "2"], ["slow"], ["doctor"]],
    "doctor": [[]], "config": [["get"], ["set", "hz", "10", "--rewrite"], ["rewrite"], ["diff"]],
    "restart": [["all"]], "reload": [[]], "logs": [[]], "backup": [["b"]], "export": [["f"]],
    "import": [["f"]], "restore": [["restored", "--verify-only"]],
}
OTHERS = {"status": ("supervisor.", "processes[].id", "processes[].known_epoch", "processes[].socket")}
"""What the supervisor adds is passed on."""


def printed(source, name):
    names = set()
    for words in RUNS[name]:
        done = ctl(source, name, *words, "--json")
        assert done.out, done.error
        names |= field_names(json.loads(done.out))
    return {one for one in names if not one.startswith(OTHERS.get(name, ("\0",)))
            and not re.match(rf"({'|'.join(_MAPS)})\.", one)}


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_the_help_and_the_output_agree(source, name):
    names = printed(source, name)
    if "silent" in names:
        source.node("engine 1").answers["LATENCY LATEST"] = Unreachable("gone")
        source.node("engine 1").answers["CLIENT LIST"] = Unreachable("gone")
        names |= printed(source, name)
    documented = set(main.COMMANDS[name].fields)
    parents = {re.sub(r"\.[^.]+\Z", "", one) for one in documented}
    assert names - parents <= documented, "printed, and not in --help"
    assert documented <= names, "in --help, and not printed"


@pytest.mark.parametrize("name", sorted(main.COMMANDS))
def test_every_command_has_a_help_that_tells_its_fields(capsys, name):
    with pytest.raises(SystemExit) as end:
        main.parser().parse_args([name, "--help"])
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert all(field in out for field in main.COMMANDS[name].fields)
    assert max(map(len, out.splitlines())) <= 120


def test_field_names():
    assert field_names({"a": [{"b": 1}, {"c": {"d": []}}], "e": [1]}) == {"a", "a[].b", "a[].c", "a[].c.d", "e"}
    assert field_names([{"a": 1}]) == {"[].a"}
