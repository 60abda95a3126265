"""nutcracker (twemproxy) in front of our engines, as one server that can be measured: another proxy at the same work.

    python -m bench.behind --port PORT --dir DIR [--engines N] [--program nutcracker]

Owns: its configuration, and the processes, which end with this one. The engines listen on Unix sockets in DIR, as
those of a whole shardd do, so that both proxies have the same way to them. What nutcracker shares out by a hash of its
own is of no consequence here: each engine is started alone, with all slots.
"""
import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load.control import Address, Control
from bench.servers import START_S, BenchError, free_port
from shardd.base import child
from shardd.base.errors import CommandError

CONFIG = """shardd:
  listen: 127.0.0.1:{port}
  hash: fnv1a_64
  distribution: ketama
  redis: true
  preconnect: true
  auto_eject_hosts: false
  servers:
{servers}
"""


def config(port: int, sockets: Sequence[str]) -> str:
    """nutcracker.yml. One connection to each engine, as is its default and as our proxy has."""
    return CONFIG.format(port=port, servers="\n".join(f"   - {path}:1" for path in sockets))


def spawn(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A process that ends with this one."""
    with open(log, "ab") as file:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                                preexec_fn=child.die_with_parent)


def wait(path: str, process: subprocess.Popen[bytes]) -> None:
    """Until an engine answers. Raises BenchError."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError, CommandError), contextlib.closing(Control(Address(path=path), 2)) as control:
            if control.call("PING") == "PONG":
                return
        time.sleep(0.05)
    raise BenchError("an engine did not come up")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until told to end, or one of the processes ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.behind", description="nutcracker in front of our engines.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", required=True)
    parser.add_argument("--engines", type=int, default=2)
    parser.add_argument("--program", default="nutcracker")
    args = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    here = Path(args.dir)
    processes: list[subprocess.Popen[bytes]] = []
    try:
        sockets = []
        for i in range(args.engines):
            (here / str(i)).mkdir()
            sockets.append(str(here / f"{i}.sock"))
            processes.append(spawn([sys.executable, "-m", "shardd.engine.main", "--port", str(free_port()),
                                    "--unixsocket", sockets[-1], "--appendonly", "no", "--dir", str(here / str(i))],
                                   here / f"{i}.log"))
        for path, process in zip(sockets, processes):
            wait(path, process)
        (here / "nutcracker.yml").write_text(config(args.port, sockets))
        processes.append(spawn([args.program, "-c", str(here / "nutcracker.yml"), "-o", str(here / "nutcracker.log"),
                                "-p", str(here / "nutcracker.pid"), "-s", str(free_port()), "-a", "127.0.0.1"],
                               here / "nutcracker.out"))
        pid, _ = os.wait()
        print(f"process {pid} ended", file=sys.stderr)
        return 1
    except (BenchError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)


if __name__ == "__main__":
    sys.exit(main())
