"""The layers: imports point down only. Reads every import and cimport of the sources and holds the rules below.

    base <- structures, wire, net <- keyspace <- commands, journal <- replication, cluster <- engine
    supervisor, ctl, proxy and bench see base, wire, net and the few named modules, never the keyspace or the engine
"""

import functools
from pathlib import Path

import pytest

from harness import build, imports
from harness.imports import Edge

PACKAGES = ("shardd", "proxy", "bench")
# package -> height; a package may import what is strictly lower, and itself
HEIGHT = {
    "shardd.base": 0, "shardd.structures": 1, "shardd.wire": 1, "shardd.net": 1, "shardd.keyspace": 2,
    "shardd.journal": 3,
    "shardd.commands": 3, "shardd.replication": 4, "shardd.cluster": 4, "shardd.engine": 5,
}
# within one height: net carries wire's bytes, both use the structures, commands hand their effects to the journal
PEERS = {("shardd.net", "shardd.wire"), ("shardd.wire", "shardd.structures"), ("shardd.net", "shardd.structures"),
         ("shardd.commands", "shardd.journal")}
# what stands beside the engine and talks to it over sockets
OUTSIDE = ("shardd.supervisor", "shardd.ctl", "proxy", "bench")
OUTSIDE_SEES = ("shardd.base", "shardd.wire", "shardd.net", "shardd.structures.slots", "shardd.structures.glob",
                "shardd.structures.names", "shardd.structures.histogram", "shardd.structures.crc64",
                "shardd.cluster.topology", "shardd.cluster.store", "shardd.cluster.view")
# commands that are about the connection, about commands or about the server: plain modules that engine and proxy share
SHARED_COMMANDS = ("shardd.commands.table", "shardd.commands.plain", "shardd.commands.introspect",
                   "shardd.commands.connection", "shardd.commands.server", "shardd.commands.info",
                   "shardd.commands.info_join", "shardd.commands.latency",
                   "shardd.commands.cluster", "shardd.commands.acl")
NEVER_OUTSIDE = ("shardd.keyspace", "shardd.engine", "shardd.journal", "shardd.replication")
FREE = ("shardd._build",)


@functools.cache
def modules() -> frozenset[str]:
    return frozenset(imports.module_name(build.ROOT, path) for package in PACKAGES
                     for path in imports.sources(build.ROOT, package))


@functools.cache
def edges() -> tuple[Edge, ...]:
    """Every import between our own modules, by its most precise target."""
    found = []
    for package in PACKAGES:
        for path in imports.sources(build.ROOT, package):
            for edge in imports.edges(build.ROOT, path):
                if edge.target in modules() and edge.target != edge.module:
                    found.append(edge)
    return tuple(found)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def package_of(module: str) -> str:
    """shardd.wire.scan -> shardd.wire; proxy.main -> proxy"""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "shardd" else parts[0]


def is_package_only(edge: Edge) -> bool:
    """`from shardd.net.client import X` also yields shardd.net and shardd: containers, not what is used."""
    return edge.target in ("shardd", "proxy", "bench") or edge.target == package_of(edge.target) != edge.module


def show(edge: Edge) -> str:
    return f"{edge.path.relative_to(build.ROOT)}:{edge.line}: {edge.module} imports {edge.target}"


def offence(edge: Edge) -> str | None:
    """Why the import is not allowed, or None."""
    source, target = package_of(edge.module), package_of(edge.target)
    if source == target or edge.module in FREE or is_package_only(edge):
        return None
    if source in HEIGHT:
        if target in HEIGHT and (HEIGHT[target] < HEIGHT[source] or (source, target) in PEERS):
            return None
        return "points up or sideways"
    if within(edge.module, OUTSIDE):
        if within(edge.target, NEVER_OUTSIDE):
            return "reaches into the engine"
        if within(edge.target, OUTSIDE_SEES + SHARED_COMMANDS):
            return None
        return "is not in the list of what they see"
    return f"{source} has no layer"


def test_imports_point_down_only():
    bad = [f"{show(edge)} ({why})" for edge in edges() if (why := offence(edge))]
    assert not bad, "\n" + "\n".join(bad)


def test_no_cycles():
    graph: dict[str, set[str]] = {}
    for edge in edges():
        if not is_package_only(edge):
            graph.setdefault(edge.module, set()).add(edge.target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module):], module))
        if module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def test_what_the_outside_reaches_stays_outside():
    """Not even through the modules it may see: their own imports must not lead to the keyspace or the engine."""
    graph: dict[str, set[str]] = {}
    for edge in edges():
        if not is_package_only(edge):
            graph.setdefault(edge.module, set()).add(edge.target)
    for start in sorted(module for module in graph if within(module, OUTSIDE)):
        seen, todo = {start}, [start]
        while todo:
            for target in graph.get(todo.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        reached = sorted(module for module in seen if within(module, NEVER_OUTSIDE))
        assert not reached, f"{start} reaches {reached}"


def test_every_compiled_module_has_its_header_and_only_those():
    for name in build.compiled():
        path = build.ROOT / name.replace(".", "/")
        assert path.with_suffix(".py").exists(), name
        assert path.with_suffix(".pxd").exists(), name
    plain_users = [path for package in PACKAGES for path in imports.sources(build.ROOT, package)
                   if path.suffix == ".py" and "from cython.cimports" in path.read_text()
                   and imports.module_name(build.ROOT, path) not in build.compiled()]
    assert not plain_users, "cimports work in compiled modules alone"


@pytest.mark.parametrize("text, expected", [
    ("from shardd.wire.request cimport Arg, Request",
     {"shardd.wire.request", "shardd.wire.request.Arg", "shardd.wire.request.Request"}),
    ("from . cimport entry", {"pkg", "pkg.entry"}), ("cimport shardd.base.clock as c", {"shardd.base.clock"}),
    ("from libc.stdint cimport (uint8_t,", {"libc.stdint", "libc.stdint.uint8_t"}), ("# from a cimport b", set()),
    ("import a, b.c as d", {"a", "b.c"}), ("cdef int imports(self)", set())])
def test_the_header_reader(text, expected):
    assert {target for target, _ in imports._of_pxd(text, "pkg")} == expected


@pytest.mark.parametrize("text, expected", [
    ("from shardd.wire import request", {"shardd.wire", "shardd.wire.request"}), ("import a.b as c, d", {"a.b", "d"}),
    ("def f():\n    from cython.cimports.shardd.net.reactor import Protocol", {
        "cython.cimports.shardd.net.reactor", "cython.cimports.shardd.net.reactor.Protocol"}),
    ("from . import x", {"pkg", "pkg.x"}), ("from .y import x", {"pkg.y", "pkg.y.x"}),
    ("import importlib\nimportlib.import_module('shardd.engine.main')", {"importlib", "shardd.engine.main"})])
def test_the_module_reader(text, expected):
    assert {target for target, _ in imports._of_py(text, "pkg")} == expected


@pytest.mark.parametrize("module, target, allowed", [
    ("shardd.wire.reply", "shardd.base.errors", True), ("shardd.base.clock", "shardd.wire.reply", False),
    ("shardd.keyspace.database", "shardd.commands.args", False),
    ("shardd.commands.keys", "shardd.keyspace.database", True),
    ("proxy.session", "shardd.commands.table", True), ("proxy.session", "shardd.commands.keys", False),
    ("proxy.main", "shardd.engine.dispatch", False), ("shardd.supervisor.main", "shardd.cluster.store", True),
    ("shardd.ctl.main", "shardd.keyspace.entry", False), ("shardd.engine.main", "shardd.cluster.view", True),
    ("shardd.engine.main", "shardd.supervisor.main", False), ("bench.load", "proxy.router", False),
    ("shardd.journal.stream", "shardd.commands.strings", False), ("shardd.somewhere.new", "shardd.base.clock", False)])
def test_the_rules(module, target, allowed):
    assert (offence(Edge(module, target, Path(), 1)) is None) == allowed
