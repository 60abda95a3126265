"""Configuration that is of no use, as a user meets it: one sentence that names the place and the reason, exit code 1,
and nothing was started."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import build
from harness.servers import free_port

PROGRAMS = {"shardd": "shardd.supervisor.main", "shardd-engine": "shardd.engine.main"}


class Refusal:
    """One start that fails. `line`: what it said, without the program's name."""

    def __init__(self, program: str, directory: Path, *arguments: str, stdin: str = "") -> None:
        command = [sys.executable, "-m", PROGRAMS[program], *arguments]
        done = subprocess.run(command, cwd=directory, env=build.environment(), input=stdin, capture_output=True,
                              text=True, timeout=30)
        assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
        assert done.stdout == "", "it did not begin to start"
        assert done.stderr.startswith(f"{program}: ") and done.stderr.count("\n") == 1, done.stderr
        self.line = done.stderr.removeprefix(f"{program}: ").rstrip("\n")


def in_turn(rows: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Each row for one of the programs: they share the code, and a start takes its time."""
    return [(list(PROGRAMS)[number % len(PROGRAMS)], *row) for number, row in enumerate(rows)]


@pytest.fixture(params=PROGRAMS)
def refused(request, tmp_path):
    """refused(*arguments) -> the sentence; nothing is left behind in the directory."""
    def start(*arguments: str, **options: str) -> str:
        before = set(tmp_path.iterdir())
        line = Refusal(request.param, tmp_path, *arguments, **options).line
        assert set(tmp_path.iterdir()) - before <= {tmp_path / "shardd.lock"}
        return line

    return start


@pytest.mark.parametrize("program, arguments, line", in_turn([
    ("--bogus 1", "command line: --bogus: unknown option"),
    ("--port 99999", "command line: --port '99999': argument must be between 0 and 65535 inclusive"),
    ("--port http", "command line: --port 'http': argument couldn't be parsed into an integer"),
    ("--port", "command line: --port: wrong number of arguments"),
    ("--hz 10 --port", "command line: --port: wrong number of arguments"),
    ("--port 7000 stray", "command line: --port '7000 stray': wrong number of arguments"),
    ("--maxmemory 5xb", "command line: --maxmemory '5xb': argument must be a memory value"),
    ("--maxmemory -1", "command line: --maxmemory '-1': argument must be a memory value"),
    ("--protected-mode maybe", "command line: --protected-mode 'maybe': argument must be 'yes' or 'no'"),
    ("--dir nowhere", "command line: --dir 'nowhere': No such file or directory"),
    ("--appendonly maybe", "command line: --appendonly 'maybe': argument must be 'yes' or 'no'"),
    ("--daemonize yes",
     "command line: --daemonize 'yes': the server stays in the foreground: leave it to systemd or another service "
     "manager"),
    ("--loadmodule x.so", "command line: --loadmodule: modules are not supported"),
    (".", "can't open config file '.': Is a directory"),
    ("gone.conf", "can't open config file 'gone.conf': No such file or directory"),
    ("--port 0",
     "command line: --port '0': without a port and without a unixsocket there is no way to reach the server"),
    ("--requirepass a b", "command line: --requirepass: wrong number of arguments"),
    ("--cluster-announce-hostname a,b", "command line: --cluster-announce-hostname 'a,b': Hostnames may only contain "
     "alphanumeric characters, hyphens or dots"),
]))
def test_the_command_line(tmp_path, program, arguments, line):
    assert Refusal(program, tmp_path, *arguments.split()).line == line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program, text, line", in_turn([
    ("port 7000\n\nfoo bar\n", "x.conf:3: foo: unknown option"),
    ("port 7000 hz 10\n", "x.conf:1: port '7000 hz 10': wrong number of arguments"),
    ("# fine\nrequirepass \"open\n", "x.conf:2: unbalanced quotes"),
    ("requirepass a secret\n", "x.conf:1: requirepass: wrong number of arguments"),
    ("maxmemory 1tb\n", "x.conf:1: maxmemory '1tb': argument must be a memory value"),
    ("save 900\n", "x.conf:1: save '900': Invalid save parameters"),
    ("client-output-buffer-limit normal 1\n", "x.conf:1: client-output-buffer-limit 'normal 1': Wrong number of "
     "arguments in buffer limit configuration."),
    ("include gone.conf\n", "x.conf:1: include: can't open config file 'gone.conf': No such file or directory"),
    ("include x.conf\n", "x.conf:1: include: more than 16 levels deep; does a file include itself?"),
    ("port 7000\nport 70000\n", "x.conf:2: port '70000': argument must be between 0 and 65535 inclusive"),
    ("dir x.conf\n", "x.conf:1: dir 'x.conf': not a directory"),
    ("user default on\n", "x.conf:1: user: not yet: the only user is default, with requirepass"),
    ("\x00\x7fELF\x01\n", "x.conf:1: ??elf?: unknown option"),
]))
def test_a_file(tmp_path, program, text, line):
    (tmp_path / "x.conf").write_text(text)
    assert Refusal(program, tmp_path, "x.conf").line == line


def test_a_mistake_in_an_included_file_is_named_there(refused, tmp_path):
    (tmp_path / "x.conf").write_text("include parts/*.conf\n")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a.conf").write_text("hz 20\n")
    (tmp_path / "parts" / "b.conf").write_text("\nhz often\n")
    assert refused("x.conf") == "parts/b.conf:2: hz 'often': argument couldn't be parsed into an integer"


def test_standard_input_is_named_as_such(refused):
    assert refused("-", stdin="hz 1\nhz x\n") == "standard input:2: hz 'x': argument couldn't be parsed into an integer"


def test_a_file_that_may_not_be_read(refused, tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("hz 20\n")
    path.chmod(0)
    if not os.access(path, os.R_OK):        # root may read it all the same
        assert refused("x.conf") == "can't open config file 'x.conf': Permission denied"


def test_a_directory_that_may_not_be_entered(refused, tmp_path):
    (tmp_path / "closed").mkdir(mode=0)
    if not os.access(tmp_path / "closed", os.X_OK):
        assert refused("--dir", "closed").startswith(("command line: --dir '", "dir '"))


def test_a_port_in_use(refused, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        reason = f"can't listen on 127.0.0.1:{port} (options bind and port): Address already in use"
        assert refused("--bind", "127.0.0.1", "--port", str(port)) == f"command line: --port '{port}': {reason}"
        (tmp_path / "x.conf").write_text(f"bind 127.0.0.1\nport {port}\n")
        assert refused("x.conf") == f"x.conf:2: port '{port}': {reason}"


def test_an_address_of_another_machine(refused):
    port = free_port()
    line = refused("--bind", "203.0.113.77", "--port", str(port))
    reason = f"can't listen on 203.0.113.77:{port} (options bind and port): "
    assert line.startswith(f"command line: --port '{port}': {reason}")


@pytest.mark.parametrize("option", ["unixsocket", "logfile"])
def test_a_path_that_does_not_exist(refused, tmp_path, option):
    line = refused("--bind", "127.0.0.1", "--port", str(free_port()), f"--{option}", str(tmp_path / "gone" / "x"))
    assert option in line and str(tmp_path / "gone") in line


def test_a_unix_socket_in_use(refused, tmp_path):
    path = tmp_path / "x.sock"
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen()
        line = refused("--bind", "127.0.0.1", "--port", "0", "--unixsocket", str(path))
    assert line.startswith(f"command line: --unixsocket '{path}': ") and path.exists()


def test_what_comes_later_wins(tmp_path):
    """Two lines, or a line and the command line: the last one counts, and only the last has to be of use."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        used = taken.getsockname()[1]
        (tmp_path / "x.conf").write_text(f"bind 127.0.0.1\nport {free_port()}\nport {used}\n")
        for program in PROGRAMS:
            assert f"x.conf:3: port '{used}': " in Refusal(program, tmp_path, "x.conf").line
            (tmp_path / "y.conf").write_text(f"bind 127.0.0.1\nport {used}\nport 0\n")
            assert "y.conf:3: port '0': " in Refusal(program, tmp_path, "y.conf").line
            assert "command line: --port '0': " in Refusal(program, tmp_path, "x.conf", "--port", "0").line


def test_more_clients_than_the_system_allows(tmp_path):
    """Redis's way: fewer clients and a word in the log; none at all is an error."""
    code = ("import os, resource, sys\n"
            "resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))\n"
            "resource.setrlimit = lambda *args: (_ for _ in ()).throw(ValueError('not allowed'))\n"
            "sys.argv[1:] = ['--bind', '127.0.0.1', '--port', '0', '--unixsocket', 'x.sock']\n"
            "from shardd.engine.main import main\nmain()")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=build.environment(), capture_output=True,
                          text=True, timeout=30)
    assert done.returncode == 1
    assert ("maxclients '10000': Your current 'ulimit -n' of 50 is not enough for the server to start. Please increase "
            "your open file limit to at least 65. Exiting.") in done.stderr


@pytest.mark.parametrize("arguments, words", [
    ("", "COMMAND"), ("nosuch", "invalid choice: 'nosuch'"), ("status --bogus", "unrecognized arguments: --bogus"),
    ("status -p 70000", "invalid port value: '70000'"),
    ("status -p", "expected one argument"), ("status --conf gone.conf", "gone.conf"),
    ("status --dir . -p 6379", "exclude each other"),
])
def test_shardctl(tmp_path, arguments, words):
    """Its exit code for a call that makes no sense is 2: 1 says that something is down, 3 that nobody answers."""
    done = subprocess.run([sys.executable, "-m", "shardd.ctl.main", *arguments.split()], cwd=tmp_path,
                          env=build.environment(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr and "Traceback" not in done.stderr
