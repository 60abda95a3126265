"""The run's frame: fresh builds only, the targets as one parametrised fixture, server logs beside a failure.

Fixtures
    r        a target (see harness.targets): the test runs once per target
    start    starts a server of its own for a test: start("engine", maxclients=3)
    oracle   the real Redis alone
Marks
    not_on("cluster", reason=...)   leaves targets out; "proxy" stands for every number of engines behind it
    only_on("oracle", reason=...)   leaves all others out
    since("7.2")                    what an older oracle does not have; ours has it
Options
    --targets=oracle,engine         only these
    --allow-stale                   run although a compiled module is older than its source
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from harness import build, servers
from harness.servers import Server
from harness.targets import NAMES, Fleet, Target, name_of

# before whatever pytest or an editable install puts there: tests within this process import the variant that runs
sys.path.insert(0, str(build.tree()))

# a deadline for each example, and how long it takes to invent some, would be verdicts on the machine
hypothesis.settings.register_profile("shardd", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("shardd")

MARKS = {
    "not_on(*targets, reason)": "the body does not run on these targets",
    "only_on(*targets, reason)": "the body runs on these targets alone",
    "since(version)": "the oracle must be at least this version; other targets run it always",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--allow-stale", action="store_true", help="run although compiled modules are stale")
    parser.addoption("--targets", default=",".join(NAMES), help="comma-separated targets of the command bodies")


def pytest_configure(config: pytest.Config) -> None:
    for name, text in MARKS.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    servers.redis_binary()
    if threading.current_thread() is threading.main_thread():
        # a run that is told to end takes its servers along
        signal.signal(signal.SIGTERM, lambda *_: pytest.exit("terminated", returncode=143))
        # a shell's background job is deaf to interrupts, and so would be all that tests start to interrupt it
        if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def refuse_stale(config: pytest.Config, modules: list[str] | None = None) -> None:
    lines = [] if config.getoption("--allow-stale") else build.stale(modules)
    if lines:
        pytest.exit("compiled modules are stale, run `make build`:\n  " + "\n  ".join(lines), returncode=4)


def pytest_collection_finish(session: pytest.Session) -> None:
    """A test that has imported a compiled module must have got its present source."""
    ours = ("shardd.", "proxy.", "bench.")
    refuse_stale(session.config, [name for name in list(sys.modules) if name.startswith(ours)])


def wanted(metafunc: pytest.Metafunc) -> list[str]:
    names = [name for name in metafunc.config.getoption("--targets").split(",") if name]
    unknown = set(names) - set(NAMES)
    if unknown:
        raise pytest.UsageError(f"--targets: {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    for mark in metafunc.definition.iter_markers("not_on"):
        assert mark.kwargs.get("reason"), f"{metafunc.definition.nodeid}: not_on needs a reason"
        names = [name for name in names if not {name, name_of(name)} & set(mark.args)]
    for mark in metafunc.definition.iter_markers("only_on"):
        assert mark.kwargs.get("reason"), f"{metafunc.definition.nodeid}: only_on needs a reason"
        names = [name for name in names if {name, name_of(name)} & set(mark.args)]
    for mark in metafunc.definition.iter_markers("since"):
        if servers.redis_version() < tuple(map(int, mark.args[0].split("."))):
            names = [name for name in names if name != "oracle"]
    return names


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "r" in metafunc.fixturenames:
        metafunc.parametrize("r", wanted(metafunc), indirect=True)


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    fleet = Fleet()
    yield fleet
    fleet.stop()


@pytest.fixture(scope="session")
def fresh(request: pytest.FixtureRequest) -> None:
    """Whatever starts one of our servers needs every module as new as its source."""
    refuse_stale(request.config)


@pytest.fixture
def r(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Target]:
    if request.param != "oracle":
        request.getfixturevalue("fresh")
    target = fleet.target(request.param)
    request.node.servers = [target.server]
    yield target
    target.close()


@pytest.fixture
def oracle(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Target]:
    target = fleet.target("oracle")
    request.node.servers = [*getattr(request.node, "servers", []), target.server]
    yield target
    target.close()


@pytest.fixture
def start(request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Starts servers that live as long as the test: start(kind, **options), kind oracle, engine or tree."""
    started: list[Server] = []
    request.node.servers = [*getattr(request.node, "servers", []), *started]

    def starter(kind: str, ready: bool = True, **options: object) -> Server:
        if kind != "oracle":
            request.getfixturevalue("fresh")
        server = Server(kind, **options)
        started.append(server)
        request.node.servers.append(server)
        return server.start(ready)

    yield starter
    for server in started:
        server.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    report = yield
    if report.failed:
        for server in getattr(item, "servers", []):
            state = "running" if server.alive() else f"exit code {server.process and server.process.returncode}"
            report.sections.append((f"log of {server.kind} on port {server.port} ({state})", server.log_tail()))
    return report
