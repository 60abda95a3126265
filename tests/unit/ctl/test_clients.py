"""clients: reading, choosing, sorting and killing."""

import argparse

import pytest

from ctl_fakes import FakeSource, ctl
from shardd.base.errors import CommandError
from shardd.ctl.clients import condition, parse_line
from shardd.ctl.link import Unreachable

LINE = ("id={id} addr=127.0.0.1:{port} laddr=127.0.0.1:6379 fd=9 name={name} age={age} idle={idle} flags=N db=0 sub=0 "
        "psub=0 ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={omem} "
        "tot-mem=456 events=r cmd=get user=default redir=-1 resp=2 lib-name=redis-py lib-ver=5.1")
LINK = "id=1 addr=/d/run/engine-0.sock:0 laddr=/d/run/engine-0.sock:0 fd=8 name= age=1 idle=1 flags=U db=0 cmd=ping"


def line(**fields):
    return LINE.format(**({"id": 1, "port": 5000, "name": "", "age": 10, "idle": 5, "omem": 0} | fields))


def listing(*lines):
    return "".join(one + "\n" for one in lines).encode()


@pytest.fixture
def source():
    one = FakeSource(proxies=2)
    one.node("proxy 0").answers["SHARDD CLIENT LIST"] = listing(line(id=3, name="web-1", idle=50), line(id=5, idle=1))
    one.node("proxy 1").answers["SHARDD CLIENT LIST"] = listing(line(id=4, name="web-2", omem=2**20 + 1, idle=7))
    one.node("engine 0").answers["CLIENT LIST"] = listing(LINK, line(id=3, name="direct", idle=20))
    one.node("engine 1").answers["CLIENT LIST"] = b""
    return one


def ids(done):
    return [(row["process"], row["id"]) for row in done.json["clients"]]


def test_all_clients_of_all_processes_but_the_links(source):
    done = ctl(source, "clients", "--json")
    assert done.code == 0
    assert ids(done) == [("proxy 0", 3), ("proxy 0", 5), ("proxy 1", 4), ("engine 0", 3)]
    assert ids(ctl(source, "clients", "--all", "--json"))[3] == ("engine 0", 1)
    assert ctl(source, "clients").out.splitlines()[-1] == "4 clients"


def test_a_proxy_that_cannot_tell_its_own_is_asked_for_all(source):
    node = source.node("proxy 0")
    node.answers["CLIENT LIST"] = node.answers.pop("SHARDD CLIENT LIST")
    assert ids(ctl(source, "clients", "--on", "proxy 0", "--json")) == [("proxy 0", 3), ("proxy 0", 5)]


def test_a_field_is_a_number_where_it_looks_like_one_but_names_are_text():
    row = parse_line(line(name="007"))
    assert (row["name"], row["age"], row["multi"], row["lib-ver"], row["addr"]) == ("007", 10, -1, "5.1",
                                                                                "127.0.0.1:5000")


@pytest.mark.parametrize("words, wanted", [
    (["-f", "name=web-*"], [3, 4]), (["-f", "name!=web-*"], [5, 3]), (["-f", "omem>1mb"], [4]),
    (["-f", "idle>=7", "-f", "process=proxy*"], [3, 4]), (["-f", "idle<7"], [5]), (["-f", "idle<=1"], [5]),
    (["list", "5", "4"], [5, 4]), (["--on", "engines"], [3]), (["--on", "proxy-1"], [4]),
    (["--on", "proxies"], [3, 5, 4]), (["--sort", "idle"], [3, 3, 4, 5]), (["--sort", "idle", "-n", "1"], [3]),
    (["--sort", "idle", "--reverse"], [5, 4, 3, 3]),
    (["--sort", "name"], [5, 3, 3, 4]), (["--reverse"], [3, 5, 4, 3]),
])
def test_choosing_and_sorting(source, words, wanted):
    done = ctl(source, "clients", *words, "--json")
    assert [row["id"] for row in done.json["clients"]] == wanted


@pytest.mark.parametrize("words, said", [
    (["-f", "bogus=1"], "no field 'bogus'; they have process, id, addr"), (["-f", "name>1"], "is no number"),
    (["--sort", "bogus"], "--sort bogus"), (["--on", "engine 9"], "there is engine 0, engine 1, proxy 0"),
    (["kill"], "say which"), (["kill", "3"], "id 3 is a client of proxy 0 and of engine 0: say which with --on"),
])
def test_mistakes(source, words, said):
    done = ctl(source, "clients", *words)
    assert done.code == 2 and said in done.error
    assert not any(words[:2] == ["CLIENT", "KILL"] for node in source.nodes for words in node.asked)


@pytest.mark.parametrize("text", ["idle", "idle>many", "=5", "a b=c"])
def test_what_is_no_condition(text):
    with pytest.raises(argparse.ArgumentTypeError):
        condition(text)


def test_killing_goes_to_the_process_that_has_the_client(source):
    source.everywhere("proxy", "CLIENT KILL", 1)
    source.everywhere("engine", "CLIENT KILL", 1)
    done = ctl(source, "clients", "kill", "4", "--json")
    assert (done.code, done.json["killed"], done.json["gone"]) == (0, [4], [])
    assert source.node("proxy 1").asked[-1] == ["CLIENT", "KILL", "ID", "4"]
    done = ctl(source, "clients", "kill", "3", "--on", "engine 0", "--json")
    assert done.json["killed"] == [3] and source.node("engine 0").asked[-1] == ["CLIENT", "KILL", "ID", "3"]
    done = ctl(source, "clients", "kill", "-f", "idle>6")
    assert done.code == 0 and done.out == "killed 3 clients\n"


def test_a_client_that_is_gone_already_is_told(source):
    source.everywhere("proxy", "CLIENT KILL", 0)
    done = ctl(source, "clients", "kill", "5", "99")
    assert done.code == 1 and done.out == "killed 0 clients; gone already: 99, 5\n"


def test_a_refusal_is_told(source):
    source.everywhere("proxy", "CLIENT KILL", CommandError(b"NOPERM no"))
    done = ctl(source, "clients", "kill", "5")
    assert done.code == 1 and done.error == "proxy 0 did not kill client 5: NOPERM no"


def test_a_silent_process_is_bad_and_the_others_are_shown(source):
    source.node("engine 1").answers["CLIENT LIST"] = Unreachable("engine 1 does not answer")
    done = ctl(source, "clients")
    assert done.code == 1 and done.out.splitlines()[-1] == "engine 1: engine 1 does not answer"
    assert len(ctl(source, "clients", "--json").json["clients"]) == 4
    source.node("engine 1").down = "is not running"
    assert ctl(source, "clients", "--on", "engine 1").code == 3


def test_names_cannot_command_the_terminal(source):
    source.node("engine 1").answers["CLIENT LIST"] = listing(line(name="a\x1b[2Jb"))
    assert "a\\x1b[2Jb" in ctl(source, "clients").out
