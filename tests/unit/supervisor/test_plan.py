"""From options to a tree, and what is refused before anything starts."""

import os
import socket

import pytest

from harness.servers import free_port
from shardd.base.errors import ConfigError
from shardd.base.options import Config
from shardd.supervisor import plan as planning
from shardd.supervisor.plan import Plan, pinning, port_trouble


@pytest.fixture
def free():
    return free_port()


def plan_of(tmp_path, *words: str) -> Plan:
    return Plan.of(Config.load(["--dir", str(tmp_path), "--bind", "127.0.0.1", *words], "shardd"))


def test_auto_means_one_engine_per_core(tmp_path, free, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 1, 5})
    monkeypatch.setattr(planning, "_quota_cores", lambda: 1024)
    plan = plan_of(tmp_path, "--port", str(free))
    assert (plan.engines, plan.available, plan.proxies) == (3, [1, 3, 5], 1)


def test_a_cpu_quota_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(planning, "_quota_cores", lambda: 2)
    assert planning.cores() == [0, 1]
    monkeypatch.setattr(planning, "_quota_cores", lambda: 0)
    assert planning.cores() == [0]


@pytest.mark.parametrize("text, count", [("max 100000", 1024), ("250000 100000", 3), ("50000 100000", 1),
                                         ("junk", 1024)])
def test_the_quota_of_a_control_group(monkeypatch, text, count):
    monkeypatch.setattr(planning.Path, "read_text", lambda path, encoding: text)
    assert planning._quota_cores() == count


def test_engines_have_a_core_each_or_none():
    assert pinning(2, [4, 5, 6]) == [{4}, {5}]
    assert pinning(3, [4, 5]) == [frozenset()] * 3


def test_an_address_this_machine_does_not_have():
    assert "192.0.2.1" in port_trouble(["192.0.2.1"], 0)
    assert port_trouble(["127.0.0.1", "-192.0.2.1"], 0) is None


def test_a_port_in_use_is_trouble_even_where_the_address_is_optional(free):
    with socket.create_server(("127.0.0.1", free)):
        assert "Address already in use" in port_trouble(["-127.0.0.1"], free)
        assert "Address already in use" in port_trouble(["*"], free)
    assert port_trouble(["127.0.0.1"], free) is None


@pytest.mark.parametrize("words, message", [
    (["--port", "0"], "command line: --port '0': without a port"),
    (["--dir", "/nonexistent/x"], "--dir '/nonexistent/x': No such file"),
    (["--unixsocket", "/nonexistent/x.sock"], "--unixsocket '/nonexistent/x.sock': its directory"),
    (["--engine-base-port", "65535", "--engines", "2"], "--engine-base-port '65535': no room for 2"),
    (["--cluster-announce-port", "65534", "--engines", "3"], "--cluster-announce-port '65534': no room for 3"),
    (["--port", "7001", "--engine-base-port", "7000", "--engines", "2"], "7000 to 7001 include the proxy's, 7001"),
])
def test_what_cannot_work_is_named(tmp_path, free, words, message):
    with pytest.raises(ConfigError) as failure:
        plan_of(tmp_path, *([] if "--port" in words else ["--port", str(free)]), *words)
    assert message in str(failure.value)


def test_a_directory_too_deep_for_sockets_is_named(tmp_path, free):
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(ConfigError, match="107 bytes"):
        plan_of(deep, "--port", str(free))


def test_a_taken_engine_port_is_named(tmp_path, free):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        base = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"engine-base-port '{base}': can't listen on 127.0.0.1:{base}"):
            plan_of(tmp_path, "--port", str(free), "--engine-base-port", str(base), "--engines", "1")


def test_a_socket_in_use_is_named_and_a_dead_one_is_not_trouble(tmp_path, free):
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        with pytest.raises(ConfigError, match="another process listens there"):
            plan_of(tmp_path, "--port", str(free), "--unixsocket", "x.sock")
    assert plan_of(tmp_path, "--port", str(free), "--unixsocket", "x.sock").path("unixsocket") == str(path)


def test_an_engine_keeps_its_port_while_it_is_free(tmp_path, free):
    plan = plan_of(tmp_path, "--port", str(free))
    port = plan.engine_port(0, 0, [])
    assert port in planning._FREE_PORTS
    assert plan.engine_port(0, port, []) == port
    assert plan.engine_port(0, port, [port]) != port
    with socket.create_server(("127.0.0.1", port)):
        assert plan.engine_port(0, port, []) not in (0, port)


def test_fixed_ports_count_from_the_base(tmp_path, free):
    plan = plan_of(tmp_path, "--port", "0", "--unixsocket", "x.sock", "--engine-base-port", str(free), "--engines", "1")
    assert plan.engine_port(3, 999, []) == free + 3


def loaded(tmp_path, text: str) -> Config:
    path = tmp_path / "child.conf"
    path.write_text(text)
    return Config.load([str(path)], "child")


def test_an_engines_configuration(tmp_path, free):
    plan = plan_of(tmp_path, "--port", str(free), "--requirepass", 'a "b" \\', "--maxmemory", "5mb", "--proxies", "2",
                   "--engines", "4", "--pidfile", "x.pid", "--unixsocket", "x.sock", "--logfile", "x.log")
    (tmp_path / "data-1" / "engine-0").mkdir(parents=True)
    config = loaded(tmp_path, plan.engine_conf(4711, tmp_path / "data-1" / "engine-0"))
    assert (config["port"], config["bind"]) == (4711, ("127.0.0.1",))
    assert config["maxmemory"] == 5 * 1024**2 // 4, "its share"
    assert config["requirepass"] == 'a "b" \\'
    assert config["unixsocket"] == "" and config["pidfile"] == "" and config["cluster-enabled"] is True
    assert config["logfile"] == str(tmp_path / "x.log")
    assert config["dir"] == str(tmp_path / "data-1" / "engine-0")
    assert config["proxies"] == 1


def test_a_proxys_configuration_has_every_option(tmp_path, free):
    plan = plan_of(tmp_path, "--port", str(free), "--requirepass", "pw", "--maxmemory", "5mb", "--proxies", "2",
                   "--unixsocket", "x.sock", "--engines", "7")
    config = loaded(tmp_path, plan.proxy_conf())
    assert (config["port"], config["requirepass"], config["proxies"], config["engines"]) == (free, "pw", 2, 7)
    assert config["maxmemory"] == 5 * 1024**2
    assert config["unixsocket"] == str(tmp_path / "x.sock") and config["dir"] == str(tmp_path)


def test_what_is_announced_of_each_engine(tmp_path, free):
    plan = plan_of(tmp_path, "--port", str(free), "--engines", "2", "--cluster-announce-ip", "10.9.8.7",
                   "--cluster-announce-port", "17000", "--cluster-announce-hostname", "h.example")
    assert [plan.announced(index) for index in (0, 1)] == [
        {"host": "10.9.8.7", "hostname": "h.example", "announce_port": port} for port in (17000, 17001)]
    plan.config.set_many([(b"cluster-announce-port", b"65535")], local=True)
    assert plan.announced(1)["announce_port"] == 0, "a port that is none is not announced"
    plan.config.set_many([(b"cluster-announce-port", b"0")], local=True)
    assert plan.announced(0)["announce_port"] == 0


def test_too_few_open_files_are_named(tmp_path, free, monkeypatch):
    monkeypatch.setattr(planning, "open_files", lambda wanted: 100)
    words = ("command line: --engines '8': Your current 'ulimit -n' of 100 is not enough for the server to start: "
             "8 engines and 1 proxies need 104 open files")
    with pytest.raises(ConfigError, match=words):
        plan_of(tmp_path, "--port", str(free), "--engines", "8")
    monkeypatch.setattr(planning, "open_files", lambda wanted: wanted)
    plan_of(tmp_path, "--port", str(free), "--engines", "8")
