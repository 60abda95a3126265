"""doctor's checks of the tree itself: processes, topology, slots, configuration, versions.

Owns: these checks. Does not own what they look at (checkup.py).
"""

from collections.abc import Iterator
from typing import Final

from shardd.cluster.topology import DOWN
from shardd.ctl.check_data import keeps_data
from shardd.ctl.checkup import ADVICE, PROBLEM, Finding, Patient, check, process_name
from shardd.ctl.config import shown
from shardd.ctl.human import human_seconds, plural
from shardd.ctl.status import slots_served

_RECENTLY_S: Final = 3600
"""A death longer ago than this is history."""

_STATES: Final = {
    "starting": (ADVICE, "is starting"), "loading": (ADVICE, "is loading its data"),
    "draining": (ADVICE, "has handed over and waits for its last clients"),
    "stopping": (ADVICE, "is stopping"), "suspect": (PROBLEM, "does not answer the supervisor's PING")}


@check("processes", "every engine and proxy runs and answers")
def processes(patient: Patient) -> Iterator[Finding]:
    for child in patient.processes:
        name, state = process_name(child), str(child.get("state"))
        loses = ("its slots are refused to clients" if child["kind"] == "engine"
                 else "its clients lost their connections")
        logs = patient.ctl(f"logs {name} -n 50")
        if child.get("crash_loop"):
            yield Finding(
                PROBLEM, name,
                what=str(child.get("trouble") or f"{name} dies again and again") + _last_exit(child),
                why=f"it is started again after ever longer pauses; {loses}",
                fix=logs)
        elif state == "up" and child.get("answers"):
            continue
        elif state in ("up", "suspect"):
            yield Finding(
                PROBLEM, name,
                what=str(child.get("trouble") or f"{name} does not answer"),
                why=("it hangs or is busy with a long command; in the end it is killed and started again"
                     + _and_loses(patient)) if child["kind"] == "engine" else "its clients wait",
                fix=patient.ctl(f"restart {name}") if child["kind"] == "proxy" else logs)
        else:
            severity, words = _STATES.get(state, (PROBLEM, f"is down (state {state})"))
            yield Finding(
                severity, name,
                what=str(child.get("trouble") or f"{name} {words}") + _last_exit(child),
                why=loses,
                fix=logs)


def _and_loses(patient: Patient) -> str:
    return "" if keeps_data(patient) else ", and its keys are lost"


def _last_exit(child: dict[str, object]) -> str:
    if not child.get("last_exit"):
        return ""
    ago = child.get("last_exit_s")
    return f"; it ended {child['last_exit']}" + (f" {human_seconds(float(str(ago)))} ago" if ago is not None else "")


@check("deaths", "no process died lately")
def deaths(patient: Patient) -> Iterator[Finding]:
    for child in patient.processes:
        ago = child.get("last_exit_s")
        if child.get("state") != "up" or not child.get("restarts") or ago is None or ago > _RECENTLY_S:
            continue
        name = process_name(child)
        yield Finding(
            ADVICE, name,
            what=f"{name} was started again {plural(child['restarts'], 'time')}" + _last_exit(child),
            why="its clients lost their connections" if child["kind"] == "proxy" or keeps_data(patient)
                else "an engine's keys are lost with it",
            fix=patient.ctl(f"logs {name} -n 100"))


@check("supervisor", "the supervisor has nothing to complain of")
def supervisor(patient: Patient) -> Iterator[Finding]:
    for sentence in patient.supervisor.get("trouble") or ():
        yield Finding(
            PROBLEM, "supervisor",
            what=str(sentence),
            why="what the supervisor decides next rests on it",
            fix=patient.ctl("logs supervisor -n 50"))
    stored = patient.supervisor.get("stored_epoch")
    if stored is not None and patient.epoch is not None and stored < patient.epoch:
        yield Finding(
            PROBLEM, "topology.json",
            what=f"the topology of epoch {patient.epoch} is not stored; the file has {stored}",
            why="after a restart an older assignment of slots would be read",
            fix=f"df -h {patient.config.get('dir', '.')}; {patient.ctl('logs supervisor -n 50')}")


@check("epoch", "every process knows the newest topology")
def epoch(patient: Patient) -> Iterator[Finding]:
    for child in patient.processes:
        known = child.get("epoch") or child.get("known_epoch")
        if patient.epoch is None or not child.get("answers") or not known or known >= patient.epoch:
            continue
        name = process_name(child)
        yield Finding(
            PROBLEM, name,
            what=f"{name} goes by the topology of epoch {known}; the newest is {patient.epoch}",
            why="it sends commands to engines that do not have the slots any more, or refuses slots that it has",
            fix=patient.ctl(f"restart {name}") if child["kind"] == "proxy" else patient.ctl(f"logs {name} -n 50"))


@check("slots", "every slot has an engine that is up")
def slots(patient: Patient) -> Iterator[Finding]:
    topology = patient.topology
    if topology is None:
        return
    if not topology.covered:
        missing = sum(1 for owner in topology.owners if owner < 0)
        yield Finding(
            PROBLEM, "topology",
            what=f"{plural(missing, 'slot')} belong to no engine",
            why="keys in them are refused, with cluster-require-full-coverage all keys",
            fix=patient.ctl("slots"))
    served = slots_served(topology, patient.processes) if patient.supervisor else None
    down = [engine.index for engine in topology.engines if engine.state == DOWN and topology.slot_count(engine.id)]
    if down or (served is not None and served < sum(1 for owner in topology.owners if owner >= 0)):
        names = ", ".join(f"engine {index}" for index in down) or "an engine"
        yield Finding(
            PROBLEM, names,
            what=f"slots of {names} are not served",
            why="clients get an error for their keys",
            fix=patient.ctl("status"))
    if topology.migrations:
        yield Finding(
            ADVICE, "topology",
            what=f"{plural(len(topology.migrations), 'range')} of slots are on their way",
            why="until it is over, keys of these slots take a redirect",
            fix=patient.ctl("slots"))


@check("configuration", "all processes have the same options, and the file too")
def configuration(patient: Patient) -> Iterator[Finding]:
    for row in patient.different:
        name, process = row["name"], row["process"]
        yield Finding(
            PROBLEM, process,
            what=f"{name} is {shown(name, row['value']) or 'empty'} in {process}; it should be "
                 f"{shown(name, row['expected']) or 'empty'}",
            why="the processes of a tree should behave alike; somebody set it on this one directly, or the machine "
                "allows no more",
            fix=patient.ctl(f"config set {name} {shown(name, patient.config.get(name, '')) or repr('')}"))
    for row in patient.supervisor.get("pending") or ():
        name = str(row.get("option"))
        yield Finding(
            ADVICE, str(row.get("origin")),
            what=f"{name} is {shown(name, str(row.get('value')))} in the file, and not yet in force",
            why="it is read at start alone",
            fix=str(row["command"]) + patient.where if row.get("command") else patient.ctl("restart all"))


@check("versions", "all processes run the same code, and the newest that is installed")
def versions(patient: Patient) -> Iterator[Finding]:
    for name in ("redis_version", "redis_build_id"):
        found: dict[str, list[str]] = {}
        for process, info in patient.infos.items():
            if (value := info.text(name)) is not None:
                found.setdefault(value, []).append(process)
        if len(found) > 1:
            said = "; ".join(f"{value}: {', '.join(who)}" for value, who in sorted(found.items()))
            yield Finding(
                PROBLEM, name,
                what=f"processes are of different versions ({said})",
                why="commands behave differently from engine to engine",
                fix=patient.ctl("restart all"))
            return
    if patient.host is None:
        return
    newest_s = patient.host.newest_code_s()
    started = {name: patient.host.started_s(pid) for name, pid in patient.pids.items()}
    old = sorted(name for name, since_s in started.items() if since_s is not None and since_s < newest_s)
    if old and patient.supervisor:
        yield Finding(
            ADVICE, ", ".join(old),
            what=f"the installed code was changed after {plural(len(old), 'process')} started",
            why="they run the old code, and one that dies comes back with the new: two versions side by side",
            fix=patient.ctl("restart all") if "supervisor" not in old else "systemctl restart shardd")
