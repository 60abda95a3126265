"""What the tests themselves rely on."""
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from harness import servers
from harness.faults import eventually

TESTS = Path(servers.__file__).parents[1]
PORTS = 40


def python(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(TESTS)!r})\n" + code],
                            stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def test_no_two_processes_are_given_the_same_port():
    """While each of them lives, whether or not it listens there."""
    code = ("from harness import servers\n"
            f"servers.PORTS = range(1_100, 1_100 + 4 * {PORTS})\n"
            f"print(*[port + n for _ in range({PORTS // 2}) for port in [servers.free_port(2)] for n in (0, 1)], "
            "flush=True)\nsys.stdin.read()")
    processes = [python(code) for _ in range(2)]
    try:
        given = [port for process in processes for port in process.stdout.readline().split()]
        assert len(given) == 2 * PORTS == len(set(given))
    finally:
        for process in processes:
            process.communicate()


@pytest.mark.skipif(not servers.with_us(), reason="there is no setpriv that knows --pdeathsig")
def test_a_server_ends_with_whoever_has_started_it():
    process = python("from harness.servers import Server\nserver = Server('oracle').start()\n"
                     "print(server.process.pid, flush=True)\nsys.stdin.read()")
    server = psutil.Process(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    eventually(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)
