"""The import graph of the sources, read from their text: nothing is imported, nothing needs to be built.

A `.py` file is parsed with ast (imports inside functions and `cython.cimports.*` count too), a `.pxd` line by line, as
its syntax is Cython's. Relative imports are resolved. Only modules under the given packages are edges.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CIMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\s+\(?([^#\n]*)|c?import\s+([\w., \t]+))")


class Edge(NamedTuple):
    """`module` imports or cimports `target` at `path`:`line`."""

    module: str
    target: str
    path: Path
    line: int


def module_name(root: Path, path: Path) -> str:
    """shardd/wire/scan.pxd -> shardd.wire.scan"""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(root: Path, package: str) -> Iterator[Path]:
    """The .py and .pxd files of a package."""
    for pattern in ("*.py", "*.pxd"):
        yield from sorted((root / package).rglob(pattern))


def edges(root: Path, path: Path) -> Iterator[Edge]:
    """What one file imports; a name that may be a module or an attribute comes as package.name and as package."""
    module = module_name(root, path)
    reader = _of_pxd if path.suffix == ".pxd" else _of_py
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    for target, line in reader(path.read_text(), package):
        yield Edge(module, target.removeprefix("cython.cimports."), path, line)


def _of_py(text: str, package: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                base = ".".join(parents[:len(parents) - node.level + 1] + ([base] if base else []))
            yield base, node.lineno
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
                "import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value), node.lineno


def _of_pxd(text: str, package: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines(), 1):
        match = CIMPORT.match(line)
        if not match:
            continue
        base, names, plain = match.groups()
        if plain:
            for name in plain.split(","):
                yield name.split()[0], number
            continue
        if base.startswith("."):
            base = package + "." + base.lstrip(".") if base.strip(".") else package
        yield base, number
        for name in names.replace(")", "").split(","):
            if name.strip():
                yield f"{base}.{name.split()[0]}", number


@functools.cache
def headers(root: Path, module: str) -> tuple[Path, ...]:
    """The .pxd files whose change makes `module` stale: its own and, through all of them, those it cimports."""
    found: dict[Path, None] = {}
    todo = [root / (module.replace(".", "/") + suffix) for suffix in (".py", ".pxd")]
    while todo:
        path = todo.pop()
        if path in found or not path.exists():
            continue
        if path.suffix == ".pxd":
            found[path] = None
        for edge in edges(root, path):
            header = root / (edge.target.replace(".", "/") + ".pxd")
            if header.exists():
                todo.append(header)
    return tuple(found)
