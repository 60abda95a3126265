"""shardctl as a process, asked about a tree.

Owns: its command line and what becomes of its output. test_shardctl.py has another form, for what people see.
"""

import json
import subprocess
import sys
from typing import Any

from harness import build
from harness.servers import Server

ANSWER_S = 60


def start(*words: object, tree: Server | None = None) -> "subprocess.Popen[str]":
    """Begins it; with `tree`, its --dir is added."""
    where = ["--dir", str(tree.dir)] if tree is not None else []
    return subprocess.Popen([sys.executable, "-m", "shardd.ctl.main", *where, *map(str, words)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=build.environment())


def answer(*words: object, tree: Server | None = None, code: int = 0) -> Any:
    """What --json prints; `code` is the exit code that it must have."""
    process = start("--json", *words, tree=tree)
    out, err = process.communicate(timeout=ANSWER_S)
    assert process.returncode == code, out + err
    return json.loads(out)
