"""Which build of shardd the tests run, and whether its compiled modules are as new as their sources.

An editable install runs a stale .so without a word: a test would then pass or fail for code that is gone. The variant
is the one in $SHARDD_TEST_VARIANT (release, debug, asan); without it the one whose directory is in $PYTHONPATH.
"""

import ast
import os
import subprocess
import sysconfig
from pathlib import Path

from harness import imports

ROOT = Path(__file__).resolve().parents[2]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")


def variant() -> str:
    """release, debug or asan."""
    named = os.environ.get("SHARDD_TEST_VARIANT")
    if named:
        return named
    for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        for name in ("debug", "asan"):
            if entry and Path(entry).resolve() == ROOT / "build" / name:
                return name
    return "release"


def tree() -> Path:
    """Where the variant's packages lie."""
    return ROOT if variant() == "release" else ROOT / "build" / variant()


def environment() -> dict[str, str]:
    """The environment of a server process of this variant."""
    env = dict(os.environ, PYTHONPATH=str(tree()), PYTHONUNBUFFERED="1")
    env.pop("PYTEST_CURRENT_TEST", None)
    if variant() == "asan":
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
        env.update(LD_PRELOAD=library.stdout.strip(), PYTHONMALLOC="malloc",
                   ASAN_OPTIONS=env.get("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=1:allocator_may_return_null=1"))
    return env


def compiled() -> list[str]:
    """The COMPILED list, read from the source so that setuptools stays out of the test run."""
    for node in ast.parse((ROOT / "shardd" / "_build.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "COMPILED":
            return ast.literal_eval(node.value)
    raise LookupError("shardd/_build.py has no COMPILED list")


def stale(modules: list[str] | None = None) -> list[str]:
    """One line per compiled module that is missing or older than its .py, its .pxd or a .pxd that it cimports."""
    known = compiled()
    found = []
    for name in known if modules is None else [m for m in modules if m in known]:
        path = name.replace(".", "/")
        library = tree() / (path + SUFFIX)
        if not library.exists():
            found.append(f"{name}: {library.relative_to(ROOT)} is missing")
            continue
        built = library.stat().st_mtime
        for source in [ROOT / (path + ".py"), *imports.headers(ROOT, name)]:
            if source.exists() and source.stat().st_mtime > built:
                found.append(f"{name}: {source.relative_to(ROOT)} is newer than its .so")
                break
    return found
