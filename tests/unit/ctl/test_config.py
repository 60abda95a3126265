"""config: values, where processes differ, setting, writing, and the comparison with a file."""

import os

import pytest

from ctl_fakes import FakeNode, FakeSource, ctl, flat, info
from shardd.base.errors import CommandError
from shardd.base.options import Config
from shardd.ctl import config
from shardd.ctl.link import Unreachable
from shardd.ctl.source import SERVER

VALUES = {"maxmemory": "1000", "maxclients": "10000", "requirepass": "s3cret", "dir": "/d"}


def getter(values):
    """CONFIG GET for a process with these values."""
    def answer(*words):
        wanted = values if "*" in words else {name: values[name] for name in words[2:] if name in values}
        return flat(wanted)
    return answer


@pytest.fixture
def source():
    one = FakeSource(proxies=2)
    one.everywhere("proxy", "CONFIG GET", getter(VALUES))
    one.everywhere("engine", "CONFIG GET", getter(VALUES | {"maxmemory": "500", "dir": "/d/other"}))
    return one


def test_values_and_the_engines_shares(source):
    done = ctl(source, "config", "get", "maxmemory", "dir")
    assert done.code == 0 and done.lines == [["option", "value"], ["maxmemory", "1000"], ["dir", "/d"]]


def test_passwords_are_hidden_unless_asked_for(source):
    assert ctl(source, "config", "get", "--json").json["values"]["requirepass"] == "(hidden)"
    assert ctl(source, "config", "get", "--json", "--secrets").json["values"]["requirepass"] == "s3cret"


def test_a_process_that_differs_is_named(source):
    source.node("engine 1").answers["CONFIG GET"] = getter(VALUES | {"maxmemory": "7", "requirepass": "x"})
    source.node("proxy 1").answers["CONFIG GET"] = getter(VALUES | {"maxclients": "5"})
    done = ctl(source, "config", "get", "--json")
    assert done.code == 1 and not done.json["ok"]
    assert done.json["differences"] == [
        {"name": "maxmemory", "process": "engine 1", "expected": "500", "value": "7"},
        {"name": "requirepass", "process": "engine 1", "expected": "(hidden)", "value": "(hidden)"},
        {"name": "maxclients", "process": "proxy 1", "expected": "10000", "value": "5"}]
    assert ["engine", "1", "maxmemory", "7", "500"] in ctl(source, "config", "get").lines


def test_who_does_not_answer_does_not_differ(source):
    source.node("engine 1").answers["CONFIG GET"] = Unreachable("gone")
    assert ctl(source, "config", "get").code == 0


def test_no_such_option(source):
    done = ctl(source, "config", "get", "nosuch")
    assert done.code == 1 and done.error == "no option matches nosuch"


def test_set_says_what_is_so_now(source):
    front = source.node("proxy 0")
    front.answers["CONFIG SET"] = b"OK"
    done = ctl(source, "config", "set", "MAXMEMORY", "1000", "requirepass", "p")
    assert done.code == 0
    assert done.out.splitlines() == ["maxmemory is 1000 now", "requirepass is (hidden) now",
                                     "until the next start: --rewrite keeps it in the file"]
    assert ["CONFIG", "SET", "MAXMEMORY", "1000", "requirepass", "p"] in front.asked


def test_set_and_rewrite(source):
    front = source.node("proxy 0")
    front.answers |= {"CONFIG SET": b"OK", "CONFIG REWRITE": b"OK", "INFO SERVER": info(config_file="/etc/shardd.conf")}
    done = ctl(source, "config", "set", "maxmemory", "1000", "--rewrite", "--json")
    assert done.json == {"ok": True, "set": {"maxmemory": "1000"}, "rewritten": "/etc/shardd.conf"}
    assert ctl(source, "config", "rewrite").out == "written to /etc/shardd.conf\n"


@pytest.mark.parametrize("error, hint", [
    (b"ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config", "restart all"),
    (b"ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config",
     "enable-protected-configs"),
    (b"ERR Unknown option or number of arguments for CONFIG SET - 'x'", "config get '*'"),
    (b"ERR something else", "ERR something else")])
def test_a_refusal_comes_with_what_to_do(source, error, hint):
    source.node("proxy 0").answers["CONFIG SET"] = CommandError(error)
    done = ctl(source, "config", "set", "port", "1")
    assert done.code == 1 and error.decode() in done.error and hint in done.error


def test_rewrite_without_a_file_is_refused(source):
    source.node("proxy 0").answers["CONFIG REWRITE"] = CommandError(b"ERR The server is running without a config file")
    done = ctl(source, "config", "rewrite")
    assert done.code == 1 and "without a config file" in done.error


@pytest.mark.parametrize("words", [["set"], ["set", "a"], ["rewrite", "x"], ["diff", "x"]])
def test_mistakes(source, words):
    assert ctl(source, "config", *words).code == 2


def test_one_engine_of_a_tree_is_not_set_alone(source):
    source.nodes = [node for node in source.nodes if node.kind == "engine"]
    done = ctl(source, "config", "set", "maxmemory", "1")
    assert done.code == 2 and "one engine of a tree" in done.error
    source.nodes = [FakeNode(SERVER, 0, CONFIG_SET=b"OK", CONFIG_GET=getter(VALUES))]
    assert ctl(source, "config", "set", "maxmemory", "1000").code == 0


# --- diff ---------------------------------------------------------------------------------------------------------

@pytest.fixture
def file(tmp_path, source):
    path = tmp_path / "shardd.conf"
    path.write_text("# comment\nmaxclients 10000\nlogfile log\n")
    values = Config({"maxclients": "10000"})
    running = {name: values.get_text(name) for name in values.values} | {
        "logfile": str(tmp_path / "log"), "dir": str(tmp_path)}
    node = source.node("proxy 0")
    node.answers |= {"CONFIG GET": getter(running), "INFO SERVER": info(config_file=str(path))}
    source.running = running
    source.supervisor["pid"] = os.getpid()
    return path


def test_what_runs_is_what_the_file_says(source, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    done = ctl(source, "config", "diff")
    assert done.code == 0 and done.out == f"what runs is what {file} says\n"


def test_differences_say_where_and_how(source, file, monkeypatch):
    monkeypatch.chdir(file.parent)
    file.write_text("maxclients 500\nlogfile log\ndatabases 32\nrequirepass x\n")
    done = ctl(source, "config", "diff", "--json")
    assert done.code == 1 and done.json["file"] == str(file)
    assert [(row["name"], row["running"], row["in_file"], row["takes"]) for row in done.json["differences"]] == [
        ("maxclients", "10000", "500", "reload"), ("requirepass", "", "(hidden)", "reload"),
        ("databases", "16", "32", "restart")]
    assert done.json["differences"][0]["where"].endswith("shardd.conf:1")
    assert "3 differences. The file's value is taken over by `shardctl reload`" in ctl(source, "config", "diff").out


def test_another_file_and_files_with_mistakes(source, file, tmp_path):
    other = tmp_path / "other.conf"
    other.write_text(f"dir {tmp_path}\nlogfile log\nhz 50\n")
    done = ctl(source, "config", "diff", "--file", str(other), "--json")
    assert [row["name"] for row in done.json["differences"]] == ["hz"]
    other.write_text("nosuch 1\n")
    done = ctl(source, "config", "diff", "--file", str(other))
    assert done.code == 2 and "other.conf:1: nosuch: unknown option" in done.error


def test_without_a_file_or_elsewhere_it_must_be_named(source, file):
    source.node("proxy 0").answers["INFO SERVER"] = info(config_file="")
    done = ctl(source, "config", "diff")
    assert done.code == 2 and "--file" in done.error
    source.node("proxy 0").answers["INFO SERVER"] = info(config_file="/x")
    source.is_local = False
    done = ctl(source, "config", "diff")
    assert done.code == 2 and "on another host" in done.error


def test_the_working_directory_of_the_supervisor_counts(source, file):
    assert config.supervisor_cwd(source) == os.getcwd()
    source.supervisor["pid"] = 2**22 + 1
    assert config.supervisor_cwd(source) is None
