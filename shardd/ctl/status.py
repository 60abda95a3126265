"""shardctl status and ping: what runs, and does it answer.

Owns: the table of processes and the verdict. Does not own the facts (source.py).
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from shardd.base.errors import CommandError
from shardd.cluster.topology import NOBODY, SLOTS, UP, Topology
from shardd.ctl.command import App, Command
from shardd.ctl.human import human_bytes, human_count, human_seconds, percent, plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, EXIT_UNREACHABLE, Unreachable
from shardd.ctl.show import GOOD, MEDIUM, POOR, Screen, state
from shardd.ctl.source import ENGINE, PROXY, ServerSource, Source

FIELDS: Final = {
    "ok": "whether everything is up and every slot is served",
    "verdict": "the last line of the text: one sentence",
    "source": "whom was asked",
    "epoch": "the topology's version; null for a single server",
    "slots_served": "slots whose engine is up; null for a single server",
    "supervisor": "pid, uptime_s, stopping, stored_epoch, cluster_id and what else it says; null without one",
    "processes": "a list, engines first",
    "processes[].name": "engine 0, proxy 1 ...",
    "processes[].kind": "engine, proxy or server (a single one)",
    "processes[].index": "0, 1 ... within its kind",
    "processes[].state": "up, suspect, starting, loading, stopping, stopped, draining, backoff or down",
    "processes[].answers": "whether it answered just now",
    "processes[].pid": "process id, null without a process",
    "processes[].port": "TCP port",
    "processes[].cpus": "cores that it is pinned to; empty for none",
    "processes[].uptime_s": "seconds since it started",
    "processes[].restarts": "how often it died and was started again",
    "processes[].slots": "engines: how many slots it owns",
    "processes[].keys": "engines: keys of all databases",
    "processes[].used_memory_bytes": "engines: memory of the data; proxies: resident memory",
    "processes[].ops": "commands per second",
    "processes[].clients": "connections of clients",
    "processes[].epoch": "the topology that it has installed",
    "processes[].loading": "engines that read their data: bytes, total_bytes, keys, eta_s; else null",
}
OPTIONAL: Final = ("epoch", "pid", "port", "cpus", "uptime_s", "restarts", "slots", "keys", "used_memory_bytes", "ops",
                   "clients", "loading")
"""Of a process: null where it is not known."""


def describe(source: Source) -> dict[str, Any]:
    """What --json prints. Raises CtlError."""
    facts = source.status()
    topology = source.topology() if facts["epoch"] is not None else None
    processes = []
    for child in facts["children"]:
        known = {name: value for name, value in child.items() if name not in ("kind", "index", "state", "answers")}
        name = f"{child['kind']} {child['index']}" if child["kind"] in (ENGINE, PROXY) else child.get("address")
        processes.append({"name": name, "kind": child["kind"], "index": child["index"], "state": child.get("state"),
                          "answers": bool(child.get("answers"))} | dict.fromkeys(OPTIONAL) | known)
    served = slots_served(topology, processes) if topology is not None else None
    ok, verdict = judge(facts, processes, served)
    return {"ok": ok, "verdict": verdict, "source": source.where, "epoch": facts["epoch"], "slots_served": served,
            "supervisor": facts["supervisor"], "processes": processes}


def slots_served(topology: Topology, processes: Sequence[Mapping[str, Any]]) -> int:
    """Slots whose owner is up, by the topology and by what was just seen of the process."""
    serving = {process.get("id") for process in processes
               if process["kind"] == ENGINE and process["state"] in ("up", "suspect", "draining")}
    places = {place for place, engine in enumerate(topology.engines) if engine.state == UP and engine.id in serving}
    return sum(1 for owner in topology.owners if owner != NOBODY and owner in places)


def judge(facts: Mapping[str, Any], processes: Sequence[Mapping[str, Any]], served: int | None) -> tuple[bool, str]:
    """Whether all is well, and a sentence."""
    bad = [process for process in processes if process["state"] != "up" or not process["answers"]]
    counts = [plural(sum(process["kind"] == kind for process in processes), kind)
              for kind in (ENGINE, PROXY) if any(process["kind"] == kind for process in processes)]
    supervisor = facts["supervisor"] or {}
    troubles = [_trouble(process) for process in bad] + [str(text) for text in supervisor.get("trouble") or ()]
    if served is not None and served < SLOTS:
        troubles.append(f"{SLOTS - served} of {SLOTS} slots are not served")
    if supervisor.get("stopping"):
        troubles.append("the tree is stopping")
    if not processes:
        troubles.append("there is no process")
    if troubles:
        return False, "NOT WELL: " + "; ".join(troubles)
    all_up = "all up: " + ", ".join(counts) if counts else "up"
    if served is not None:
        all_up += f", all {SLOTS} slots served, epoch {facts['epoch']}"
    return True, all_up


def _trouble(process: Mapping[str, Any]) -> str:
    if process.get("trouble"):
        return str(process["trouble"])
    if process["state"] == "up":
        return f"{process['name']} does not answer"
    since = process.get("since_s")
    if loading := process.get("loading"):
        return (f"{process['name']} has loaded {percent(loading['bytes'], loading['total_bytes'])}% of "
                f"{human_bytes(loading['total_bytes'])}, {human_seconds(loading['eta_s'])} to go")
    return f"{process['name']} is {process['state']}" + (f" since {human_seconds(since)}" if since is not None else "")


def status(app: App) -> int:
    """The tree of processes and the verdict."""
    found = describe(app.source)
    if app.as_json:
        app.screen.json(found)
    else:
        show(app.screen, found)
    return EXIT_OK if found["ok"] else EXIT_BAD


def show(screen: Screen, found: Mapping[str, Any]) -> None:
    """The text form of `describe`."""
    rows = []
    supervisor, processes = found["supervisor"], found["processes"]
    if supervisor:
        rows.append(["supervisor", state("stopping" if supervisor.get("stopping") else "up"), supervisor.get("pid"),
                     None, None, human_seconds(supervisor.get("uptime_s")), *[None] * 6])
    for place, process in enumerate(processes):
        name = process["name"]
        if supervisor and screen.is_terminal:
            name = ("└─ " if place == len(processes) - 1 else "├─ ") + name
        elif supervisor:
            name = "  " + name
        cores = process.get("cpus")
        rows.append([name, state(process["state"]), process["pid"], process["port"],
                     ",".join(map(str, cores)) if cores else None, human_seconds(process["uptime_s"]),
                     process["restarts"], process["slots"], process["keys"],
                     human_bytes(process["used_memory_bytes"]), human_count(process["ops"]), process["clients"]])
    screen.table(["process", "state", ">pid", ">port", ">core", ">uptime", ">restarts", ">slots", ">keys", ">memory",
                  ">ops/s", ">clients"], rows)
    if draining := (supervisor or {}).get("draining"):
        screen.line(f"{plural(len(draining), 'proxy')} handed over and wait for the last of their clients")
    screen.line()
    states = {process["state"] for process in processes} - {"up"}
    style = GOOD if found["ok"] else MEDIUM if states and states <= {"suspect", "starting", "loading"} else POOR
    screen.line(f"{found['source']}: {found['verdict']}", style)


# --- ping ---------------------------------------------------------------------------------------------------------

PING_FIELDS: Final = {
    "ok": "whether everybody answers",
    "answers": "a list",
    "answers[].name": "supervisor, engine 0, proxy 0 ..., or the server's address",
    "answers[].ok": "whether it answered PING",
    "answers[].us": "microseconds until the answer, connecting not counted; null without one",
    "answers[].error": "why not; null where it did",
}


def ping(app: App) -> int:
    """PING to every process."""
    source = app.source
    answers = [] if isinstance(source, ServerSource) else [_one("supervisor", source.control().call)]
    for node in source.nodes:
        name = node.name if node is not getattr(source, "server", None) else f"{source.where}"
        try:
            node.connection()
        except Unreachable as error:
            answers.append({"name": name, "ok": False, "us": None, "error": str(error)})
            continue
        answers.append(_one(name, node.call))
    ok = all(answer["ok"] for answer in answers)
    if app.as_json:
        app.screen.json({"ok": ok, "answers": answers})
    else:
        app.screen.table(["process", "answer", ">us"], [
            [answer["name"], state("ok" if answer["ok"] else answer["error"]), answer["us"]] for answer in answers])
    if not any(answer["ok"] for answer in answers):
        return EXIT_UNREACHABLE
    return EXIT_OK if ok else EXIT_BAD


def _one(name: str, call: Any) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        call("PING")
    except (Unreachable, CommandError) as error:
        return {"name": name, "ok": False, "us": None, "error": str(error)}
    return {"name": name, "ok": True, "us": round((time.perf_counter() - began) * 1e6), "error": None}


COMMANDS: Final = (
    Command("status", "supervisor, engines and proxies: state, process, load", "Shows every process of the tree: its "
            "state, pid, uptime, restarts, slots, keys, memory, commands per second and clients, and one line that "
            "says whether all is well. Exit code 1 where it is not.", status, FIELDS,
            examples=("status", "status --dir /var/lib/shardd", "status -p 6379 --json")),
    Command("ping", "does every process answer", "Sends PING to every process. With -h, -p, -u or -s the server that "
            "is named is asked itself, and the engines that it names over TCP.", ping, PING_FIELDS,
            examples=("ping", "ping -h 10.0.0.5 -p 6379"), asks_server=True),
)
