"""doctor's checks of the machine and of how safely the server is set up.

Owns: these checks. Does not own what they look at (checkup.py). All but `security` and `clock` need the processes to be
on this host.
"""

from collections.abc import Iterator
from typing import Final

from shardd.base.child import RUN_DIR
from shardd.base.limits import MIB, RESERVED_FDS
from shardd.ctl.checkup import ADVICE, PROBLEM, Finding, Patient, check
from shardd.ctl.human import human_bytes, percent

_SWAPPED_BYTES: Final = MIB
_DISK_LOW_PERCENT: Final = 5
_DISK_LOW_BYTES: Final = 1024 * MIB
_CLOCK_OFF_S: Final = 2.0
"""Beyond what asking many processes takes."""

_FAST_CLOCKS: Final = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")
"""Those that are read without a system call."""

_LOOPBACK: Final = ("127.", "::1", "localhost")


def _sysctl(name: str, value: int) -> str:
    return f"sysctl -w {name}={value}"


@check("open-files", "processes may open as many descriptors as they can have clients")
def open_files(patient: Patient) -> Iterator[Finding]:
    most = patient.option("maxclients")
    for name, pid in patient.pids.items():
        limit = patient.host.open_files_max(pid) if patient.host and name != "supervisor" else None
        if limit is not None and most is not None and limit < most + RESERVED_FDS:
            yield Finding(
                PROBLEM, name,
                what=f"{name} may open {limit} files; maxclients {most} needs {most + RESERVED_FDS}",
                why="clients are refused before maxclients is reached",
                fix=f"systemctl edit shardd   # [Service] LimitNOFILE={2 * (most + RESERVED_FDS)}; or ulimit -n "
                    "before it is started")


@check("huge-pages", "transparent huge pages are as the engines want them")
def huge_pages(patient: Patient) -> Iterator[Finding]:
    enabled = patient.host.text("sys/kernel/mm/transparent_hugepage/enabled") if patient.host else None
    if enabled is None:
        return
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    if "[always]" in enabled:
        yield Finding(
            ADVICE, path,
            what="transparent huge pages are on for all memory",
            why="processes grow by pages that they hardly use, and making them can stall; engines ask for them "
                "behind the keys where they help",
            fix=f"echo madvise > {path}")
    elif "[never]" in enabled and patient.config.get("disable-thp") == "no":
        yield Finding(
            ADVICE, path,
            what="transparent huge pages are off",
            why="look-ups among millions of keys cost about a tenth more",
            fix=f"echo madvise > {path}")


@check("overcommit", "the kernel does not refuse memory that is there")
def overcommit(patient: Patient) -> Iterator[Finding]:
    mode = patient.host.integer("proc/sys/vm/overcommit_memory") if patient.host else None
    if mode == 2:
        yield Finding(
            ADVICE, "vm.overcommit_memory",
            what="the kernel grants no more memory than it can back",
            why="an engine can get OOM while memory is free, and a fork for a snapshot can fail",
            fix=_sysctl("vm.overcommit_memory", 1))
    elif mode == 0 and (patient.config.get("save") or patient.config.get("appendonly") == "yes"):
        yield Finding(
            ADVICE, "vm.overcommit_memory",
            what="the kernel guesses whether a fork has enough memory",
            why="a snapshot of a large engine can fail",
            fix=_sysctl("vm.overcommit_memory", 1))


@check("backlog", "the kernel holds as many new connections as tcp-backlog says")
def backlog(patient: Patient) -> Iterator[Finding]:
    most = patient.host.integer("proc/sys/net/core/somaxconn") if patient.host else None
    wanted = patient.option("tcp-backlog")
    if most is not None and wanted is not None and most < wanted:
        yield Finding(
            ADVICE, "net.core.somaxconn",
            what=f"tcp-backlog {wanted} is cut to {most}",
            why="a burst of new connections is dropped, and clients try again after a second",
            fix=_sysctl("net.core.somaxconn", wanted))


@check("swap", "no memory of a process is swapped out")
def swap(patient: Patient) -> Iterator[Finding]:
    for name, pid in patient.pids.items():
        swapped = patient.host.field(f"proc/{pid}/status", "VmSwap") if patient.host else None
        if swapped is not None and swapped >= _SWAPPED_BYTES:
            yield Finding(
                PROBLEM, name,
                what=f"{human_bytes(swapped)} of {name} are swapped out",
                why="each touch of such a page stalls the process for milliseconds",
                fix=_sysctl("vm.swappiness", 1) + f"; {patient.ctl('config set maxmemory BYTES')}")


@check("disk", "there is room on the disk of dir")
def disk(patient: Patient) -> Iterator[Finding]:
    directory = patient.config.get("dir")
    found = patient.host.disk(directory) if patient.host and directory else None
    if found is None:
        return
    free, total = found
    part = percent(free, total)
    if free < _DISK_LOW_BYTES or (part is not None and part < _DISK_LOW_PERCENT):
        yield Finding(
            PROBLEM if free < _DISK_LOW_BYTES // 10 else ADVICE, str(directory),
            what=f"{human_bytes(free)} ({part}%) are free in {directory}",
            why="topology, logs and snapshots need room; a change of the topology that is not stored is lost",
            fix=f"df -h {directory}; du -xsh {directory}/*")


@check("clock", "clocks agree, and reading them is cheap")
def clock(patient: Patient) -> Iterator[Finding]:
    for name, info in patient.infos.items():
        now_us, asked_s = info.integer("server_time_usec"), patient.asked_s.get(name)
        if now_us is None or asked_s is None:
            continue
        off_s = now_us / 1e6 - asked_s
        if abs(off_s) > _CLOCK_OFF_S:
            yield Finding(
                PROBLEM, name,
                what=f"the clock of {name} is {abs(off_s):.1f} s {('ahead of' if off_s > 0 else 'behind')} this "
                     "host's",
                why="keys expire too early or too late for whoever computes with the time",
                fix="chronyc tracking || timedatectl status")
    path = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    source = patient.host.text(path) if patient.host else None
    if source and source not in _FAST_CLOCKS:
        yield Finding(
            ADVICE, f"/{path}",
            what=f"the kernel's clock is {source}",
            why="each reading is a system call, and there are several per command",
            fix=f"grep . /{path.replace('current', 'available')}; echo tsc > /{path}")


@check("cores", "every engine has a core, and cores run at full speed")
def cores(patient: Patient) -> Iterator[Finding]:
    if patient.host is None:
        return
    engines = sum(child["kind"] == "engine" for child in patient.processes)
    if engines > patient.host.cores:
        yield Finding(
            ADVICE, "engines",
            what=f"{engines} engines share {patient.host.cores} cores",
            why="they take turns, and each turn costs a switch",
            fix="set `engines auto` in the configuration file; systemctl restart shardd (the keys are spread anew then)")
    governor = patient.host.text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor == "powersave" and patient.host.text("sys/devices/system/cpu/intel_pstate/status") != "active":
        yield Finding(
            ADVICE, "cpufreq",
            what="the cores run at their lowest frequency (governor powersave)",
            why="every command takes longer",
            fix="cpupower frequency-set -g performance")


@check("security", "nobody gets in who should not")
def security(patient: Patient) -> Iterator[Finding]:
    config = patient.config
    bind = config.get("bind")
    if bind is not None and not config.get("requirepass"):
        outside = [word for word in bind.split() if not word.lstrip("-").startswith(_LOOPBACK)]
        if outside and config.get("protected-mode") == "no":
            yield Finding(
                PROBLEM, "requirepass",
                what=f"there is no password, and {' '.join(outside)} can be reached from other hosts",
                why="whoever reaches the port reads and deletes everything, and can run CONFIG",
                fix=patient.ctl("config set requirepass A-LONG-PASSWORD --rewrite"))
        elif outside:
            yield Finding(
                ADVICE, "requirepass",
                what=f"there is no password, and it listens on {' '.join(outside)}",
                why="protected-mode refuses clients of other hosts; only a password would let them in",
                fix=patient.ctl("config set requirepass A-LONG-PASSWORD --rewrite"))
    if config.get("enable-debug-command") == "yes" and not config.get("requirepass"):
        yield Finding(
            ADVICE, "enable-debug-command",
            what="everybody may use DEBUG",
            why="DEBUG can stop an engine and show any key",
            fix="set `enable-debug-command local` in the configuration file; " + patient.ctl("restart proxies"))
    directory = config.get("dir")
    mode = patient.host.mode(f"{directory}/{RUN_DIR}") if patient.host and directory and patient.supervisor else None
    if mode is not None and mode & 0o077:
        yield Finding(
            PROBLEM, f"{directory}/{RUN_DIR}",
            what=f"other users may enter it (mode {mode:o})",
            why="who opens a socket in it is trusted: no password is asked for there",
            fix=f"chmod 700 {directory}/{RUN_DIR}")
