"""doctor's checks of what is on disk: saved, logged, and with room for the next time.

Owns: these checks. Does not own what they look at (checkup.py), or the disk as such (check_host.py).
"""

from collections.abc import Iterator
from typing import Final

from shardd.ctl.checkup import ADVICE, PROBLEM, Finding, Patient, check
from shardd.ctl.human import human_bytes, plural

_SAID: Final = {"rdb_last_bgsave_status": "the last snapshot failed",
                "aof_last_write_status": "the last write to the AOF failed",
                "aof_last_bgrewrite_status": "the last rewrite of the AOF failed"}

_FAILURES_IN_A_ROW: Final = 3
"""Rewrites that failed one after the other, from which on it will not get better by itself."""


def keeps_data(patient: Patient) -> bool | None:
    """Whether keys outlive their engine; None where that is not known."""
    if "appendonly" not in patient.config or "save" not in patient.config:
        return None
    return patient.config["appendonly"] == "yes" or bool(patient.config["save"])


@check("persistence", "what should be on disk is")
def persistence(patient: Patient) -> Iterator[Finding]:
    look = f"df -h {patient.config.get('dir', '.')}; "
    for name, info in patient.holders():
        logs = look + patient.ctl(f"logs {name} -n 50")
        for field, words in _SAID.items():
            if info.text(field) not in (None, "ok"):
                yield Finding(
                    PROBLEM, name,
                    what=f"{name}: {words}",
                    why="after a restart, changes since the last good one are gone; writes may be refused until then",
                    fix=logs)
        failures = info.integer("aof_rewrites_consecutive_failures") or 0
        if failures >= _FAILURES_IN_A_ROW:
            yield Finding(
                PROBLEM, name,
                what=f"{name}: {plural(failures, 'rewrite')} of the AOF failed one after the other",
                why="the AOF grows without bound, and a start takes ever longer",
                fix=logs)
        if patient.config.get("appendonly") == "yes" and info.integer("aof_enabled") == 0:
            yield Finding(
                PROBLEM, name,
                what=f"{name} keeps no AOF, and appendonly is yes",
                why="what is written to it is gone when it ends",
                fix=patient.ctl("config set appendonly yes"))
        if delayed := info.integer("aof_delayed_fsync"):
            yield Finding(
                ADVICE, name,
                what=f"{name}: {plural(delayed, 'write')} to the AOF had to wait for an fsync",
                why="the disk does not keep up; clients of this engine waited with them",
                fix="iostat -x 1 5; " + patient.ctl("config set no-appendfsync-on-rewrite yes"))
    if keeps_data(patient) is False and any(info.keys for _, info in patient.holders()):
        yield Finding(
            ADVICE, "appendonly",
            what="nothing is written to disk: appendonly is no, and there are no save points",
            why="an engine that ends takes its keys with it",
            fix=patient.ctl("config set appendonly yes --rewrite"))


@check("disk-room", "a snapshot or a new AOF of all engines would fit on the disk of dir")
def disk_room(patient: Patient) -> Iterator[Finding]:
    directory = patient.config.get("dir")
    found = patient.host.disk(directory) if patient.host and directory else None
    if found is None or not keeps_data(patient):
        return
    # what is written beside the old files, one engine after the other, is at most about what the data takes in memory
    largest = max((info.integer("used_memory_dataset") or 0 for _, info in patient.holders()), default=0)
    if found[0] < largest:
        yield Finding(
            PROBLEM, str(directory),
            what=f"{human_bytes(found[0])} are free in {directory}, and an engine has {human_bytes(largest)} of data",
            why="a new file is written beside the old one: the next snapshot, or rewrite of the AOF, may fail",
            fix=f"df -h {directory}; du -xsh {directory}/*")
