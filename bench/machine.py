"""What a run ran on: the facts without which a table means little."""
import os
import platform
import sys
from collections.abc import Mapping
from typing import Any


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def facts() -> dict[str, Any]:
    """cpu, cores, kernel, python, and load: what the machine had to do besides (its load average of a minute)."""
    return {"cpu": cpu_model(), "cores": len(cores()), "kernel": platform.release(),
            "python": sys.version.split()[0], "load": round(os.getloadavg()[0], 2)}


def described(told: Mapping[str, Any]) -> str:
    """`facts()` as the beginning of a sentence."""
    return (f"{told['cpu']}, {told['cores']} cores, Linux {told['kernel']}, Python {told['python']}, load average "
            f"{told['load']:.2f} before")


def cpu_model(text: str | None = None) -> str:
    """The processor's name. text: /proc/cpuinfo, which is read where it is not given."""
    if text is None:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return " ".join(value.split())
    return platform.machine()


def pin(allowed: set[int]) -> None:
    """Have this process run on these cores alone. Raises OSError."""
    os.sched_setaffinity(0, allowed)
