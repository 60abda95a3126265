"""A proxy by itself, in front of servers that somebody else runs."""

import json
import secrets
import subprocess
import sys
from pathlib import Path

from harness import build
from harness.servers import Server


def topology(path: Path, servers: list[Server], epoch: int = 1) -> Path:
    """An even split of the slots over servers, reached by TCP."""
    ids = [secrets.token_hex(20) for _ in servers]
    step = 16384 // len(servers)
    path.write_text(json.dumps({
        "version": 1, "epoch": epoch, "cluster_id": secrets.token_hex(20), "migrations": [],
        "engines": [{"id": one, "shard_id": one, "index": n, "port": server.port, "state": "up"}
                    for n, (one, server) in enumerate(zip(ids, servers))],
        "ranges": [[n * step, (n + 1) * step - 1 if n + 1 < len(servers) else 16383, one]
                   for n, one in enumerate(ids)]}))
    return path


def run(*arguments: object) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-m", "proxy.main", *map(str, arguments)], env=build.environment(),
                            cwd=build.tree(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
