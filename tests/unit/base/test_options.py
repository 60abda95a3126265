"""Configuration files, command lines, CONFIG GET, SET and REWRITE."""

import io
import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardd.base.errors import CommandError, ConfigError
from shardd.base.option_table import BY_NAME, OPTIONS
from shardd.base.options import REWRITE_MARK, Config, example_file, glob_matcher, rewritten, split_words, usage


def load(tmp_path, text, *arguments):
    path = tmp_path / "test.conf"
    path.write_text(text)
    return Config.load([str(path), *arguments], "shardd")


def refusal(call, *arguments):
    with pytest.raises(ConfigError) as error:
        call(*arguments)
    return str(error.value)


def set_error(config, *pairs, **kwargs):
    with pytest.raises(CommandError) as error:
        config.set_many(list(pairs), **kwargs)
    return error.value.text.decode()


# --- words --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("line, words", [
    ("port 6379", ["port", "6379"]),
    ("  a\t b  ", ["a", "b"]),
    ('a ""', ["a", ""]),
    ('"two words" x', ["two words", "x"]),
    (r'"\x41\n\r\t\b\a\"\\\q"', ["A\n\r\t\b\a\"\\q"]),
    (r"'it\'s' '\n'", ["it's", "\\n"]),
    ("a#b", ["a#b"]),
    ('"open', None), ("'open", None), ('"a"b', None), ("'a'b", None), ('"\\', None),
    ('a"b c"', ["ab c"]),
    ("", []),
])
def test_split_words(line, words):
    assert split_words(line) == words


def test_hex_escapes_are_bytes():
    assert split_words(r'"\xc3\xa9\xff"')[0].encode("utf-8", "surrogateescape") == b"\xc3\xa9\xff"


@given(st.text(max_size=40))
def test_split_words_takes_any_line(line):
    words = split_words(line)
    assert words is None or all(isinstance(word, str) for word in words)


@pytest.mark.parametrize("pattern, yes, no", [
    ("*", ["port", ""], []),
    ("p?rt", ["port", "PORT"], ["prt"]),
    ("[op]ort", ["port", "oort"], ["nort"]),
    ("[^o]ort", ["port"], ["oort"]),
    ("[a-p]ort", ["port"], ["zort"]),
    (r"a\*", ["a*"], ["ab"]),
    ("maxmemory*", ["maxmemory", "maxmemory-policy"], ["xmaxmemory"]),
    ("[abc", ["a"], ["x"]),
    ("[]", [], ["[]"]),
])
def test_globs(pattern, yes, no):
    matches = glob_matcher(pattern)
    assert [name for name in yes if not matches(name)] == []
    assert [name for name in no if matches(name)] == []


@given(st.text(max_size=20), st.text(max_size=20))
def test_globs_take_any_pattern(pattern, name):
    glob_matcher(pattern)(name)


# --- files --------------------------------------------------------------------------------------------------------

def test_a_file_sets_values_and_keeps_the_defaults_of_the_rest(tmp_path):
    config = load(tmp_path, """
# a comment
   # another
PORT 7000
maxmemory 100mb
bind 127.0.0.1 -::1\r
requirepass "two words"
hash-max-ziplist-value 65
""")
    assert config["port"] == 7000
    assert config["maxmemory"] == 100 * 1024**2
    assert config["bind"] == ("127.0.0.1", "-::1")
    assert config["requirepass"] == "two words"
    assert config["hash-max-listpack-value"] == 65
    assert config["timeout"] == 0
    assert config.changed() == ["port", "bind", "requirepass", "maxmemory", "hash-max-listpack-value"]


def test_the_later_line_wins_and_accumulating_ones_add_up(tmp_path):
    config = load(tmp_path, """
port 1
port 2
client-output-buffer-limit normal 1mb 0 0
client-output-buffer-limit pubsub 2mb 1mb 10
""")
    assert config["port"] == 2
    assert config["client-output-buffer-limit"] == {
        "normal": (1048576, 0, 0), "replica": (268435456, 67108864, 60), "pubsub": (2097152, 1048576, 10)}


@pytest.mark.parametrize("text, message", [
    ("\nprot 1", "2: prot: unknown option"),
    ("port abc", "1: port 'abc': argument couldn't be parsed into an integer"),
    ("port 65536", "1: port '65536': argument must be between 0 and 65535 inclusive"),
    ("port", "1: port: wrong number of arguments"),
    ("port 1 2", "1: port '1 2': wrong number of arguments"),
    ("port 1 # no", "1: port '1 # no': wrong number of arguments"),
    ("maxmemory 10xb", "1: maxmemory '10xb': argument must be a memory value"),
    ("protected-mode maybe", "1: protected-mode 'maybe': argument must be 'yes' or 'no'"),
    ("requirepass \"x", "1: unbalanced quotes"),
    ("requirepass a secret", "1: requirepass: wrong number of arguments"),
    ("save 60 x", "1: save '60 x': Invalid save parameters"),
    ("daemonize yes", "1: daemonize 'yes': the server stays in the foreground: leave it to systemd or another service "
                      "manager"),
    ("replicaof 127.0.0.1 6379", "1: replicaof '127.0.0.1 6379': not yet: replication does not exist"),
    ("rename-command FLUSHALL x", "1: rename-command: not yet: commands cannot be renamed"),
    ("port " + "1" * 70_000, "1: line longer than 65536 bytes"),
])
def test_mistakes_are_named_with_file_line_and_reason(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    assert refusal(load, tmp_path, text) == "test.conf:" + message


def test_what_redis_conf_has_and_means_nothing_yet_is_accepted(tmp_path):
    config = load(tmp_path, 'save ""\nappendonly no\nappendfsync always\nreplica-read-only yes\nslave-priority 10\n'
                            "daemonize no\nio-threads 1\nrdbchecksum no\nlua-time-limit 100\n")
    assert config["replica-priority"] == 10
    assert config["busy-reply-threshold"] == 100


def test_what_is_refused_can_be_taken_back_by_a_later_line_or_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load(tmp_path, "daemonize yes\ndaemonize no\n")["daemonize"] is False
    assert Config.load(["test.conf", "--daemonize", "no"], "shardd")["daemonize"] is False
    assert refusal(load, tmp_path, "daemonize no\ndaemonize yes\nport 1\n").startswith("test.conf:2: daemonize 'yes'")
    assert refusal(Config, {"daemonize": "yes"}).startswith("settings: daemonize 'yes'")


def test_a_redis_conf_without_append_only_file_relies_on_the_save_points_of_redis(tmp_path):
    points = "3600 1 300 100 60 10000"
    assert load(tmp_path, "appendonly no\n").get_text("save") == points
    assert load(tmp_path, "appendonly yes\n").get_text("save") == ""
    assert load(tmp_path, "appendonly no\nsave \"\"\n").get_text("save") == ""
    assert load(tmp_path, "appendonly no\n", "--save", "").get_text("save") == ""
    assert load(tmp_path, "appendonly no\n", "--appendonly", "yes").get_text("save") == ""
    assert load(tmp_path, "appendonly yes\n", "--appendonly", "no").get_text("save") == ""


@pytest.mark.parametrize("text", ["appendonly no\n", "appendonly no\nsave \"\"\n", "save 60 1\nappendonly no\n", ""])
@pytest.mark.parametrize("sets", [[], ["appendonly yes"], ["appendonly no"], ["save "], ["appendonly no", "save 1 1"]])
def test_save_points_outlive_a_rewrite_and_reach_the_engines(tmp_path, text, sets):
    config = load(tmp_path, text)
    for name, _, value in (words.partition(" ") for words in sets):
        config.set_many([(name.encode(), value.encode())])
    assert load(tmp_path, config.dump("engine")).get_text("save") == config.get_text("save")
    (tmp_path / "test.conf").write_text(text)
    config.rewrite()
    again = Config.load([config.path], "shardd")
    assert (again.get_text("save"), again["appendonly"]) == (config.get_text("save"), config["appendonly"])


def test_includes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.conf").write_text("port 1\n")
    (tmp_path / "b1.inc").write_text("timeout 5\n")
    (tmp_path / "b2.inc").write_text("timeout 6\n")
    config = load(tmp_path, "port 9\ninclude a.conf\ninclude b*.inc\ninclude none*.inc\n")
    assert (config["port"], config["timeout"]) == (1, 6)
    (tmp_path / "bad.conf").write_text("\n\nport x\n")
    assert refusal(load, tmp_path, "include bad.conf").startswith("bad.conf:3: port 'x'")
    assert refusal(load, tmp_path, "include nope.conf") == (
        "test.conf:1: include: can't open config file 'nope.conf': No such file or directory")
    (tmp_path / "loop.conf").write_text("include loop.conf\n")
    assert "more than 16 levels deep" in refusal(load, tmp_path, "include loop.conf")


def test_a_file_that_cannot_be_read(tmp_path):
    assert refusal(Config.load, [str(tmp_path)], "shardd").endswith("Is a directory")


# --- the command line ---------------------------------------------------------------------------------------------

def test_options_win_over_standard_input_and_that_over_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("port 2\ntimeout 2\n"))
    path = tmp_path / "c.conf"
    path.write_text("port 1\ntimeout 1\nhz 20\n")
    config = Config.load([str(path), "-", "--port", "3"], "shardd")
    assert (config["port"], config["timeout"], config["hz"]) == (3, 2, 20)
    assert config.path == str(path)
    assert (config.origin("port"), config.origin("timeout"), config.origin("maxclients")) == (
        "command line", "standard input:2", "default")


@pytest.mark.parametrize("arguments, name, value", [
    (["--port", "7000"], "port", 7000),
    (["--PORT", "7000"], "port", 7000),
    (["--port 7000"], "port", 7000),
    (["--bind", "127.0.0.1", "::1", "--port", "1"], "bind", ("127.0.0.1", "::1")),
    (["--requirepass", "--secret"], "requirepass", "--secret"),
    (["--requirepass", "a b\"c"], "requirepass", "a b\"c"),
    (["--save", "--port", "1"], "port", 1),
    (["--save", ""], "save", ()),
    (["--save", "900 1 300 10"], "save", ((900, 1), (300, 10))),
    (["--save"], "save", ()),
    (["--slave-priority", "3"], "replica-priority", 3),
])
def test_the_command_line_as_redis_server_takes_it(arguments, name, value):
    assert Config.load(arguments, "shardd-engine")[name] == value


@pytest.mark.parametrize("arguments, message", [
    (["--port", "x"], "command line: --port 'x': argument couldn't be parsed into an integer"),
    (["--port"], "command line: --port: wrong number of arguments"),
    (["--port=1"], "command line: --port=1: unknown option"),
    (["--nope", "1"], "command line: --nope: unknown option"),
    (["-x"], "command line: unexpected argument '-x'"),
    (["--"], "command line: unexpected argument '--'"),
    (['--"a'], 'command line: --"a: unbalanced quotes'),
    (["--requirepass", "a", "b"], "command line: --requirepass: wrong number of arguments"),
])
def test_mistakes_on_the_command_line(arguments, message):
    assert refusal(Config.load, arguments, "shardd") == message


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_version(flag, capsys):
    with pytest.raises(SystemExit) as stop:
        Config.load([flag], "shardd")
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("shardd v=")


def test_help_lists_the_options_of_the_program(capsys):
    with pytest.raises(SystemExit):
        Config.load(["--help"], "shardd-engine")
    shown = capsys.readouterr().out
    assert "--maxmemory " in shown and "--engines " not in shown
    assert "--engines " in usage("shardd")
    assert example_file() in usage("shardd") and Config.load([example_file()], "shardd")["port"] == 6379


# --- CONFIG GET ---------------------------------------------------------------------------------------------------

def test_get_by_name_alias_and_glob():
    config = Config({"port": "7000"})
    assert config.match(["PORT"]) == {"PORT": "7000"}
    assert config.match(["nope"]) == {}
    assert config.match(["hash-max-*-value", "Port"]) == {
        "hash-max-listpack-value": "64", "hash-max-ziplist-value": "64", "Port": "7000"}
    shown = {name for name, option in BY_NAME.items() if not option.hidden}
    assert set(config.match(["*"])) == shown < set(BY_NAME)
    assert config.match(["watchdog-period", "watchdog-*"]) == {"watchdog-period": "0"}


@pytest.mark.parametrize("name, text", [
    ("save", ""), ("appendonly", "yes"), ("bind", "* -::*"), ("maxmemory", "0"), ("proto-max-bulk-len", "536870912"),
    ("unixsocketperm", "0"), ("maxmemory-policy", "noeviction"), ("engines", "auto"), ("dir", os.getcwd()),
    ("client-output-buffer-limit", "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"),
])
def test_get_prints_as_redis_does(name, text):
    assert Config().get_text(name) == text


# --- CONFIG SET ---------------------------------------------------------------------------------------------------

def test_set_takes_several():
    config = Config()
    config.set_many([(b"maxmemory", b"1mb"), (b"TIMEOUT", b"5"), (b"hz", b"9999")])
    assert (config["maxmemory"], config["timeout"], config["hz"]) == (1048576, 5, 500)
    config.set_many([(b"client-output-buffer-limit", b"slave 1 2 3 normal 4 5 6")])
    assert config["client-output-buffer-limit"] == {
        "normal": (4, 5, 6), "replica": (1, 2, 3), "pubsub": (33554432, 8388608, 60)}
    config.set_many([(b"requirepass", b"\xff x")])
    assert config["requirepass"].encode("utf-8", "surrogateescape") == b"\xff x"
    config.set_many([(b"save", b"")])


@pytest.mark.parametrize("pairs, reason", [
    ([(b"Foo", b"1")], "Unknown option or number of arguments for CONFIG SET - 'Foo'"),
    ([(b"hz", b"x")], "'hz') - argument couldn't be parsed into an integer"),
    ([(b"timeout", b"-5")], "'timeout') - argument must be between 0 and 2147483647 inclusive"),
    ([(b"maxmemory", b"1q")], "'maxmemory') - argument must be a memory value"),
    ([(b"appendonly", b"maybe")], "'appendonly') - argument must be 'yes' or 'no'"),
    ([(b"loglevel", b"x")], "'loglevel') - argument(s) must be one of the following: debug, verbose, notice, warning, "
                            "nothing"),
    ([(b"Port", b"1")], "'Port') - can't set immutable config"),
    ([(b"dir", b"/")], "'dir') - can't set protected config"),
    ([(b"hz", b"1"), (b"HZ", b"2")], "'HZ') - duplicate parameter"),
    ([(b"save", b"foo")], "'save') - Invalid save parameters"),
    ([(b"client-output-buffer-limit", b"foo")],
     "'client-output-buffer-limit') - Wrong number of arguments in buffer limit configuration."),
    ([(b"timeout", b"1"), (b"hz", b"1"), (b"nope", b"1")],
     "Unknown option or number of arguments for CONFIG SET - 'nope'"),
])
def test_set_refuses_as_redis_does_and_changes_nothing(pairs, reason):
    config = Config()
    before = dict(config.values)
    text = set_error(config, *pairs)
    assert text.startswith("ERR ") and text.endswith(reason)
    assert config.values == before


def test_all_or_nothing():
    config = Config()
    set_error(config, (b"timeout", b"7"), (b"maxmemory", b"x"))
    assert config["timeout"] == 0


def test_protected_options_need_permission(tmp_path):
    path = str(tmp_path).encode()
    assert "protected" in set_error(Config({"enable-protected-configs": "local"}), (b"dir", path))
    local = Config({"enable-protected-configs": "local"})
    local.set_many([(b"dir", path)], local=True)
    anyone = Config({"enable-protected-configs": "yes"})
    anyone.set_many([(b"dir", path)])
    assert local["dir"] == anyone["dir"] == str(tmp_path)


def test_subscribers_hear_and_can_refuse():
    config = Config()
    heard = []

    def refuse(value):
        heard.append(("timeout", value))
        if value == 13:
            raise ConfigError("unlucky")

    config.subscribe("hz", lambda value: heard.append(("hz", value)))
    config.subscribe("timeout", refuse)
    config.set_many([(b"hz", b"20"), (b"timeout", b"12")])
    assert heard == [("hz", 20), ("timeout", 12)]
    heard.clear()
    assert set_error(config, (b"hz", b"30"), (b"timeout", b"13")).endswith("'timeout') - unlucky")
    assert (config["hz"], config["timeout"]) == (20, 12)
    # those who had heard the new values hear the old ones again
    assert heard == [("hz", 30), ("timeout", 13), ("hz", 20), ("timeout", 12)]


# --- CONFIG REWRITE -----------------------------------------------------------------------------------------------

FILE = """# mine
port 7000

# memory
maxmemory  100MB
timeout 5
timeout 6
client-output-buffer-limit normal 1mb 0 0
# the end"""


def test_a_rewrite_without_changes_keeps_the_file_as_it_is(tmp_path):
    config = load(tmp_path, FILE + "\n")
    assert rewritten(FILE + "\n", config) == FILE + "\n"


def test_a_rewrite_replaces_changed_lines_in_place_and_appends_the_rest(tmp_path):
    config = load(tmp_path, FILE)
    config.set_many([(b"timeout", b"9"), (b"maxmemory", b"1gb"), (b"requirepass", b"a b"),
                     (b"client-output-buffer-limit", b"pubsub 1 2 3")])
    config.rewrite()
    assert (tmp_path / "test.conf").read_text() == f"""# mine
port 7000

# memory
maxmemory 1gb
timeout 9
client-output-buffer-limit normal 1mb 0 0
client-output-buffer-limit replica 256mb 64mb 60
client-output-buffer-limit pubsub 1 2 3
# the end

{REWRITE_MARK}
requirepass "a b"
"""
    again = Config.load([str(tmp_path / "test.conf")], "shardd")
    assert again.values == config.values
    config.set_many([(b"hz", b"50")])
    config.rewrite()
    text = (tmp_path / "test.conf").read_text()
    assert text.count(REWRITE_MARK) == 1 and text.endswith('requirepass "a b"\nhz 50\n')


def test_a_value_that_went_back_to_its_default_keeps_its_line(tmp_path):
    config = load(tmp_path, "timeout 5\n")
    config.set_many([(b"timeout", b"0")])
    assert rewritten("timeout 5\n", config) == "timeout 0\n"


def test_a_rewrite_replaces_the_file_in_one_step_and_keeps_its_mode(tmp_path):
    config = load(tmp_path, "hz 20\n")
    path = tmp_path / "test.conf"
    path.chmod(0o640)
    link = tmp_path / "link.conf"
    link.symlink_to(path)
    before = path.stat().st_ino
    linked = Config.load([str(link)], "shardd")
    linked.set_many([(b"hz", b"30")])
    linked.rewrite()
    assert link.is_symlink() and path.read_text() == "hz 30\n"
    assert path.stat().st_ino != before and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link.conf", "test.conf"]
    assert config["hz"] == 20


def test_a_rewrite_that_fails_says_why(tmp_path):
    with pytest.raises(CommandError, match="The server is running without a config file"):
        Config().rewrite()
    config = load(tmp_path, "hz 20\n")
    (tmp_path / "test.conf").unlink()
    with pytest.raises(CommandError, match="Rewriting config file: No such file or directory"):
        config.rewrite()


def test_every_option_survives_a_rewrite(tmp_path):
    """Each kind's lines read back as the same value."""
    config = load(tmp_path, "")
    for name, option in OPTIONS.items():
        lines = config.lines_of(name)
        again = load(tmp_path, "\n".join(lines) + "\n")
        assert again[name] == config[name], name


# --- the children's part ------------------------------------------------------------------------------------------

def test_a_dump_has_what_the_reader_reads_and_differs(tmp_path, monkeypatch):
    config = Config({"lfu-log-factor": "3", "engines": "3", "requirepass": '"a b"', "maxclients": "5"})
    text = config.dump("engine", port="7001", unixsocket='"/tmp/a b"')
    assert set(text.splitlines()) == {'requirepass "a b"', "maxclients 5", "lfu-log-factor 3", "port 7001",
                                      'unixsocket "/tmp/a b"'}
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    child = Config.load(["-"], "shardd-engine")
    assert (child["requirepass"], child["port"], child["unixsocket"]) == ("a b", 7001, "/tmp/a b")
    assert "lfu-log-factor" not in config.dump("proxy")


def test_the_supervisor_may_change_what_is_protected():
    config = Config()
    with pytest.raises(CommandError, match="protected"):
        config.set_many([(b"dbfilename", b"other.rdb")], local=True)
    config.set_many([(b"dbfilename", b"other.rdb")], local=True, trusted=True)
    assert config["dbfilename"] == "other.rdb"
    with pytest.raises(CommandError, match="immutable"):
        config.set_many([(b"port", b"1")], local=True, trusted=True)


def test_a_value_is_taken_over_with_its_origin(tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("databases 5\n")
    config, other = Config({"timeout": "5"}), Config.load([str(path)], "shardd")
    config.adopt("databases", other)
    assert config["databases"] == 5 and config.origin("databases").endswith("x.conf:1")
    config.adopt("timeout", other)
    assert config["timeout"] == 0 and config.origin("timeout") == "default"
