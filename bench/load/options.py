"""The command line of shardd-bench, as values.

Short options mean what they mean to redis-benchmark and valkey-benchmark, so that -h is the host; help is --help.
"""
import argparse
from dataclasses import dataclass, field

from bench.load import workload
from bench.load.control import Address, Login
from bench.load.keys import KINDS
from bench.load.workload import Workload

REQUESTS = 100_000


@dataclass(frozen=True)
class Settings:
    """What a run does. Times in seconds, sizes in bytes, rate in commands per second (None: closed loop); requests and
    duration_s: one of them is None. clients: connections, in a cluster per engine."""

    workloads: list[Workload]
    address: Address = Address()
    login: Login = Login()
    clients: int = 50
    requests: int | None = REQUESTS
    duration_s: float | None = None
    warmup_s: float = 0.0
    pipeline: int = 1
    keys: int = 100_000
    key_prefix: str = "key:"
    distribution: str = "uniform"
    theta: float = 0.99
    hot_keys: float = 0.1
    hot_access: float = 0.9
    value_bytes: tuple[int, int] = (3, 3)
    fill: bool = False
    cluster: bool = False
    rate: float | None = None
    poisson: bool = False
    spin: bool = False
    processes: int = 1
    cores: list[int] = field(default_factory=list)
    seed: int = 0
    timeout_s: float = 60.0


def whole(text: str) -> int:
    """A number above 0; _ and , may divide it. For argparse."""
    value = int(text.replace(",", "").replace("_", ""))
    if value <= 0:
        raise ValueError
    return value


def sizes(text: str) -> tuple[int, int]:
    """32, or 10-1000. For argparse."""
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    if not 0 <= low <= high <= 512 * 1024 * 1024:
        raise ValueError
    return low, high


def share(text: str) -> float:
    """0 to 1. For argparse."""
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError
    return value


def positive(text: str) -> float:
    """A number above 0, not necessarily whole. For argparse."""
    value = float(text.replace(",", "").replace("_", ""))
    if not 0 < value < 1e18:
        raise ValueError
    return value


def core_list(text: str) -> list[int]:
    """0,2-3. For argparse."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def parser() -> argparse.ArgumentParser:
    """The command line."""
    root = argparse.ArgumentParser(prog="shardd-bench", add_help=False, description=(
        "A load generator for servers that speak Redis's protocol."))
    _where(root.add_argument_group("where"))
    _what(root.add_argument_group("what"))
    _how(root.add_argument_group("how"))
    _output(root.add_argument_group("what is shown"))
    return root


def _where(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-h", "--host", default="127.0.0.1", help="host (127.0.0.1)")
    group.add_argument("-p", "--port", type=whole, default=6379, help="port (6379)")
    group.add_argument("-s", "--socket", metavar="PATH", help="Unix socket, instead of host and port")
    group.add_argument("-a", "--password", help="for AUTH")
    group.add_argument("--user", help="for AUTH, with -a")
    group.add_argument("--db", "--dbnum", type=int, default=0, help="database (0)")
    group.add_argument("-3", "--resp3", action="store_true", help="RESP3 (HELLO 3)")
    group.add_argument("--cluster", action="store_true",
                       help="learn the slots from CLUSTER SLOTS and ask each engine for its own keys")


def _what(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-t", "--tests", metavar="LIST", help=f"runs, one after the other: {', '.join(workload.TESTS)} "
                                                             "(set,get)")
    group.add_argument("--command", action="append", metavar="WORDS", default=[],
                       help="a command with placeholders: __key__ __data__ __rand_int__ __rand_1st__ ... __serial__; "
                            "several are one mix")
    group.add_argument("--ratio", action="append", type=positive, metavar="N", default=[],
                       help="weight of each --command, in their order (1)")
    group.add_argument("--reads", type=share, metavar="SHARE", help="a mix of GET (this share, 0 to 1) and SET")
    group.add_argument("-r", "--keys", type=whole, default=100_000, help="how many keys there are (100000)")
    group.add_argument("--key-prefix", default="key:", help="what stands before the 12 digits of __key__ (key:)")
    group.add_argument("-d", "--value", type=sizes, default=(3, 3), metavar="BYTES",
                       help="size of __data__, or a range such as 10-1000 (3)")
    group.add_argument("--distribution", choices=KINDS, default="uniform", help="how keys are drawn (uniform)")
    group.add_argument("--theta", type=positive, default=0.99, help="zipfian: the exponent (0.99)")
    group.add_argument("--hot-keys", type=share, default=0.1, help="hot: which share of the keys is hot (0.1)")
    group.add_argument("--hot-access", type=share, default=0.9, help="hot: which share of the draws they get (0.9)")
    group.add_argument("--fill", action="store_true", help="first write every key once")
    group.add_argument("--seed", type=int, default=0, help="of all random numbers (0)")


def _how(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-c", "--clients", type=whole, default=50,
                       help="connections; with --cluster, to each engine (50)")
    group.add_argument("-P", "--pipeline", type=whole, default=1, help="commands outstanding per connection (1)")
    group.add_argument("-n", "--requests", type=whole, help=f"commands of a run ({REQUESTS}; with sequential keys, "
                                                            "as many as there are keys)")
    group.add_argument("--duration", type=positive, metavar="S", help="seconds of a run, instead of -n")
    group.add_argument("--warmup", type=positive, metavar="S", default=0.0, help="seconds before anything counts (0)")
    group.add_argument("--rate", type=positive, metavar="N",
                       help="commands per second, over all; latencies count from when each was due")
    group.add_argument("--poisson", action="store_true", help="--rate: gaps vary as those of independent clients")
    group.add_argument("--spin", action="store_true", help="--rate: poll instead of sleeping; takes whole cores")
    group.add_argument("--processes", type=whole, default=1, help="processes, each with its share of all (1)")
    group.add_argument("--cores", type=core_list, default=[], metavar="LIST", help="pin the processes to these in turn")
    group.add_argument("--timeout", type=positive, metavar="S", default=60.0,
                       help="give up when no reply comes for so long (60)")


def _output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", metavar="FILE", help="everything as JSON; - for stdout")
    group.add_argument("--csv", action="store_true", help="one line per run, as redis-benchmark has it")
    group.add_argument("--plot", metavar="FILE", help="percentile spectrum, as .svg or .png (needs matplotlib)")
    group.add_argument("--histogram", action=argparse.BooleanOptionalAction, default=None,
                       help="how latencies are distributed (where stdout is a terminal)")
    group.add_argument("--progress", action=argparse.BooleanOptionalAction, default=None,
                       help="a live line (where stderr is a terminal)")
    group.add_argument("-q", "--quiet", action="store_true", help="one line per run")
    group.add_argument("--help", action="help", help="this text")
    group.add_argument("--version", action="store_true", help="the version")


def workloads(args: argparse.Namespace) -> list[Workload]:
    """ValueError where the options do not go together."""
    kinds = [bool(args.tests), bool(args.command), args.reads is not None]
    if sum(kinds) > 1:
        raise ValueError("-t, --command and --reads exclude one another")
    if args.ratio and not args.command:
        raise ValueError("--ratio goes with --command")
    if args.command:
        return [workload.mix(args.command, args.ratio)]
    if args.reads is not None:
        return [workload.reads_and_writes(args.reads)]
    names = [name.strip().lower() for name in (args.tests or "set,get").split(",") if name.strip()]
    if not names:
        raise ValueError("-t names no test")
    return [workload.by_name(name) for name in names]


def settings(args: argparse.Namespace) -> Settings:
    """From a parsed command line. ValueError where the options do not go together."""
    if args.requests and args.duration:
        raise ValueError("-n and --duration exclude one another")
    if args.cluster and args.socket:
        raise ValueError("--cluster needs a host and a port")
    if (args.poisson or args.spin) and not args.rate:
        raise ValueError("--poisson and --spin go with --rate")
    if args.processes > args.clients:
        raise ValueError(f"{args.processes} processes need as many connections at least")
    if args.user and not args.password:
        raise ValueError("--user needs a password (-a)")
    requests = args.requests or (None if args.duration else
                                 args.keys if args.distribution == "sequential" else REQUESTS)
    return Settings(
        workloads=workloads(args), address=Address(args.host, args.port, args.socket),
        login=Login(args.user, args.password, 3 if args.resp3 else 2, args.db), clients=args.clients,
        requests=requests, duration_s=args.duration, warmup_s=args.warmup, pipeline=args.pipeline, keys=args.keys,
        key_prefix=args.key_prefix, distribution=args.distribution, theta=args.theta, hot_keys=args.hot_keys,
        hot_access=args.hot_access, value_bytes=args.value, fill=args.fill, cluster=args.cluster, rate=args.rate,
        poisson=args.poisson, spin=args.spin, processes=args.processes, cores=args.cores, seed=args.seed,
        timeout_s=args.timeout)
