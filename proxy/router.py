"""The routing table: what the proxy does with each command.

Owns: a class for every row of commands.table, derived from the row's key specs, flags and tips, and the lookup by
name. Does not own the slot map (backend.Backends), what the classes do (session, merge) or the handlers of the commands
that are answered here (commands.connection, commands.introspect, proxy.handlers).

    a handler is registered      LOCAL, or TASK where it is a coroutine function
    has subcommands              CONTAINER (no reply of its own but "unknown subcommand")
    MULTI, EXEC ...              TRANSACTION: the proxy queues by itself (transactions)
    may block, has a handler     BLOCK: on links of its own (blocking); so is WAITAOF, which is not flagged so
    may block else; pub/sub      REFUSED: they belong to one connection, and links are shared
    keys, tip multi_shard        SPLIT
    keys, one at a fixed place   KEY
    keys, several there          KEYS; where they are on several engines, refused, or done by proxy.joint
    keys elsewhere               MOVABLE
    no keys, tip all_shards      EVERY, joined by the tip response_policy, where that says how
    HELP                         ANY: every engine says the same
    anything else                REFUSED: which engine would be right?

A command that goes to engines without keys has a lane, so that it is in nobody's way and nobody in its (backend):

    has keys, or is fast         shared: it is answered at once
    readonly or write            long: it is about the whole keyspace
    anything else                control: it is about the server

So a command that is new in the table is routed, or refused, without a change here. REFUSED and "not built" differ: what
no engine has answers as an unknown command does, what engines have but a proxy cannot do right says so.

Invariants: a name is registered once. `built` holds names of routes that are not refused; it is what COMMAND lists.
"""
import inspect
from collections.abc import Callable, Iterable, Mapping

import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.proxy.link import LANE_CONTROL, LANE_LENT, LANE_LONG, LANE_SHARED
from cython.cimports.proxy.merge import (
    JOIN_AND, JOIN_ANY_OK, JOIN_CONCAT, JOIN_NONE, JOIN_OK, JOIN_ORDER, JOIN_SUM)
from cython.cimports.proxy.router import (
    ROUTE_ANY, ROUTE_BLOCK, ROUTE_CONTAINER, ROUTE_EVERY, ROUTE_KEY, ROUTE_KEYS, ROUTE_LOCAL, ROUTE_MOVABLE,
    ROUTE_REFUSED, ROUTE_SPLIT, ROUTE_TASK, ROUTE_TRANSACTION, STEP_DISCARD, STEP_END, STEP_EXEC, STEP_MULTI, STEP_NONE,
    STEP_UNWATCH, STEP_WATCH, Route, RouteP)
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.structures.names import NameTable
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.wire.request import Arg

from shardd.commands import table
from shardd.commands.table import Row

_CAPACITY = cython.declare(cython.int, 1024)        # as many as there can be names

KINDS = {
    ROUTE_KEY: "key", ROUTE_KEYS: "keys", ROUTE_MOVABLE: "movable", ROUTE_SPLIT: "split", ROUTE_EVERY: "every",
    ROUTE_LOCAL: "local", ROUTE_TASK: "task", ROUTE_REFUSED: "refused", ROUTE_CONTAINER: "container", ROUTE_ANY: "any",
    ROUTE_TRANSACTION: "transaction", ROUTE_BLOCK: "block",
}
"""The classes by name, for tests and people."""

_JOINS = {"agg_sum": JOIN_SUM, "all_succeeded": JOIN_OK, "one_succeeded": JOIN_ANY_OK,
          "agg_logical_and": JOIN_AND, "": JOIN_CONCAT}
"""response_policy -> how the engines' replies become one. "special" is not here, as it needs a handler, nor
"agg_min": WAIT is about what its own connection wrote, and links are shared."""

_STEPS = {"unwatch": STEP_UNWATCH, "multi": STEP_MULTI, "exec": STEP_EXEC, "discard": STEP_DISCARD,
          "watch": STEP_WATCH, "quit": STEP_END, "reset": STEP_END}


def classify(row: Row, handler: Callable | None) -> tuple[str, int]:
    """The class of a row (a value of KINDS) and its JOIN_ number. handler: what is registered for it here, or None."""
    if row.group == "transactions":
        return "transaction", JOIN_NONE
    if handler is not None and (row.name == "waitaof" or ("blocking" in row.flags and row.key_specs)):
        return "block", JOIN_NONE
    if handler is not None:
        return "task" if inspect.iscoroutinefunction(handler) else "local", JOIN_NONE
    if row.subcommands:
        return "container", JOIN_NONE
    if row.group == "pubsub" or "blocking" in row.flags:
        return "refused", JOIN_NONE
    if row.key_specs:
        if row.request_policy == "multi_shard":
            return "split", _JOINS[row.response_policy] if row.response_policy else JOIN_ORDER
        if row.movablekeys:
            return "movable", JOIN_NONE
        return "key" if row.first_key == row.last_key else "keys", JOIN_NONE
    if row.request_policy in ("all_shards", "all_nodes") and row.response_policy in _JOINS:
        return "every", _JOINS[row.response_policy]
    return "any" if row.container is not None and row.own_name == "help" else "refused", JOIN_NONE


def lane_of(row: Row, kind: str) -> int:
    """The lane of a row of this class."""
    if kind == "block" or row.name == "watch":
        return LANE_LENT
    if kind not in ("every", "task") or row.key_specs or "fast" in row.flags:
        return LANE_SHARED
    return LANE_LONG if row.flags & {"readonly", "write"} else LANE_CONTROL


def all_rows() -> Iterable[Row]:
    """Every row of the table, containers before their subcommands."""
    for row in table.COMMANDS.values():
        yield row
        yield from row.subcommands.values()


@cython.final
@cython.cclass
class Router:
    """handlers: full lower-case command name -> what answers it here; joints: -> the coroutine function that does it
    where its keys are on several engines."""

    def __cinit__(self, handlers: Mapping[str, Callable], joints: Mapping[str, Callable] | None = None) -> None:
        joints = joints or {}
        self.routes = cython.cast(RouteP, calloc(_CAPACITY, cython.sizeof(Route)))
        if self.routes == cython.NULL:
            raise MemoryError
        self.table = NameTable()
        self.rows = []
        self.names = []
        self.handlers = []
        self.joints = []
        for row in all_rows():
            self.add(row, handlers.get(row.name), joints.get(row.name))
        unknown = (set(handlers) | set(joints)) - set(self.names)
        if unknown:
            raise ValueError(f"handlers without a row: {', '.join(sorted(unknown))}")
        self.set_built(None)

    def __dealloc__(self) -> None:
        free(self.routes)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, row: object, handler: object, joint: object) -> cython.int:
        """Register a row."""
        route: RouteP
        number: cython.int = self.table.add(row.name.encode())
        assert number == self.count < _CAPACITY
        kind, join = classify(row, handler)
        route = self.routes + self.count
        route.index = self.count
        route.arity = row.arity
        route.kind = next(number for number, known in KINDS.items() if known == kind)
        route.join = join
        route.lane = lane_of(row, kind)
        route.first_key, route.last_key, route.key_step = row.first_key, row.last_key, row.key_step
        route.no_auth = "no_auth" in row.flags
        route.container = bool(row.subcommands)
        route.joint = joint is not None or row.name == "exec"
        route.patterns = any(spec.begin == "unknown" and "RO" in spec.flags for spec in row.key_specs)
        route.step = _STEPS.get(row.name, STEP_NONE)
        route.no_multi = "no_multi" in row.flags
        route.sub = row.container is not None
        route.writes = "write" in row.flags
        self.rows.append(row)
        self.names.append(row.name)
        self.handlers.append(handler)
        self.joints.append(joint)
        self.count += 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def find(self, name: bytep, n: cython.Py_ssize_t) -> RouteP:
        """The route of a command by its name in either case, or NULL; "client|list" is no name that may be sent."""
        number: cython.int = self.table.find(name, n)
        if number < 0 or self.routes[number].sub:
            return cython.NULL
        return self.routes + number

    @cython.cfunc
    @cython.exceptval(check=False)
    def lookup(self, argv: cython.pointer(Arg), argc: cython.int) -> RouteP:
        """The route of a request: its subcommand's where it names one that exists, the container's otherwise."""
        route: RouteP = self.find(argv[0].p, argv[0].n)
        number: cython.int
        if route == cython.NULL or not route.container or argc < 2:
            return route
        number = self.table.find_pair(route.index, argv[1].p, argv[1].n)
        return route if number < 0 else self.routes + number

    @cython.cfunc
    def key_slots(self, route: RouteP, argv: cython.pointer(Arg), argc: cython.int) -> list:
        """The slots of a command's keys, each once; what is no key, but stands where one should, does no harm."""
        places: object
        place: cython.int
        i: cython.int
        last: cython.int
        found: list = []
        if route.kind == ROUTE_KEY:
            places = (route.first_key,) if route.first_key < argc else ()
        elif route.kind == ROUTE_MOVABLE or route.kind == ROUTE_BLOCK:
            places = table.route_keys(self.rows[route.index], [
                cython.cast(cython.p_char, argv[i].p)[:argv[i].n] for i in range(argc)])
        else:
            last = route.last_key if route.last_key >= 0 else argc + route.last_key
            places = range(route.first_key, min(last, argc - 1) + 1, route.key_step)
        for place in places:
            slot = key_slot(argv[place].p, argv[place].n)
            if slot not in found:
                found.append(slot)
        return found

    def set_built(self, engines_have: frozenset[str] | None) -> None:
        """What the engines have handlers for (full names); None while that is not known: they will say themselves.

        Commands answered here exist in any case.
        """
        i: cython.int
        route: RouteP
        names: set = set()
        for i in range(self.count):
            route = self.routes + i
            name = self.names[i]
            here: cython.bint = self.handlers[i] is not None and route.kind != ROUTE_BLOCK
            route.built = here or engines_have is None or name in engines_have
            if route.built and route.kind != ROUTE_REFUSED and route.kind != ROUTE_CONTAINER:
                names.add(name)
        for i in range(self.count):     # a container exists as soon as one of its subcommands does
            route = self.routes + i
            if route.container and any(name.startswith(f"{self.names[i]}|") for name in names):
                route.built = True
        self.built = frozenset(names)

    # --- for plain callers ----------------------------------------------------------------------------------------

    def kind(self, name: str) -> str:
        """The class of a command by its full name. KeyError."""
        return KINDS[self.routes[self.names.index(name)].kind] if name in self.names else _no_command(name)

    def statistics(self) -> dict[str, tuple[int, int, bool, int]]:
        """name -> (calls, rejected before they were sent, whether engines see it in parts or not at all, failures)."""
        i: cython.int
        found: dict = {}
        for i in range(self.count):
            route = self.routes + i
            if route.calls or route.rejected:
                found[self.names[i]] = (route.calls, route.rejected, route.joint or route.kind in (
                    ROUTE_SPLIT, ROUTE_EVERY, ROUTE_LOCAL, ROUTE_TASK, ROUTE_TRANSACTION, ROUTE_BLOCK), route.failed)
        return found

    def reset_statistics(self) -> None:
        """CONFIG RESETSTAT."""
        i: cython.int
        for i in range(self.count):
            self.routes[i].calls = self.routes[i].rejected = self.routes[i].failed = 0


def _no_command(name: str) -> str:
    raise KeyError(name)
