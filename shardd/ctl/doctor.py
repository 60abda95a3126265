"""shardctl doctor: what is wrong, why it matters, and the command that mends it.

Owns: running the checks and showing what they found. Does not own the checks (check_tree, check_load, check_host) or
what they look at (checkup.py).
"""

import argparse
from typing import Any, Final

from shardd.ctl import check_tree, check_load, check_data, check_host  # noqa: F401, I001  each puts its checks on the list
from shardd.ctl.checkup import CHECKS, PROBLEM, Finding, Patient, examine
from shardd.ctl.command import App, Command
from shardd.ctl.human import plural
from shardd.ctl.link import EXIT_BAD, EXIT_OK, UsageError
from shardd.ctl.show import FAINT, GOOD, MEDIUM, POOR

FIELDS: Final = {
    "ok": "whether there is no problem; advice does not count",
    "problems": "how many", "advice": "how many",
    "checks": "a list: what was looked at, in this order",
    "checks[].name": "the check", "checks[].about": "what holds where all is well",
    "checks[].findings": "how many it has",
    "findings": "a list: problems first",
    "findings[].check": "the check", "findings[].severity": "problem or advice",
    "findings[].where": "which process, file or setting", "findings[].what": "what is wrong",
    "findings[].why": "why it matters", "findings[].fix": "the command that mends it, or shows more",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The words of `doctor`."""
    parser.add_argument("checks", nargs="*", metavar="CHECK", help="only these checks [all]")
    parser.add_argument("--list", action="store_true", help="say what there is to check, and end")


def diagnose(patient: Patient, names: list[str]) -> list[Finding]:
    """The findings of some checks, problems first."""
    found = [finding._replace(check=name) for name in names for finding in CHECKS[name][1](patient)]
    return sorted(found, key=lambda finding: finding.severity != PROBLEM)


def where_words(options: argparse.Namespace) -> str:
    """The words of this command line that say whom to ask, for the commands that are recommended. No password."""
    words = ""
    for flag, value in (("--dir", options.dir), ("--conf", options.conf), ("-s", options.socket), ("-h", options.host),
                        ("-p", options.port), ("--user", options.user)):
        words += f" {flag} {value}" if value is not None else ""
    return words


def doctor(app: App) -> int:
    """All checks, or some."""
    options = app.options
    names = [name.lower() for name in options.checks] or list(CHECKS)
    if unknown := [name for name in names if name not in CHECKS]:
        raise UsageError(f"doctor: there is no check {', '.join(unknown)}; there are "
                         + ", ".join(CHECKS))
    found = [] if options.list else diagnose(examine(app.source, where_words(options)), names)
    problems = sum(finding.severity == PROBLEM for finding in found)
    if app.as_json:
        app.screen.json({"ok": not problems, "problems": problems, "advice": len(found) - problems,
                         "checks": [{"name": name, "about": CHECKS[name][0],
                                     "findings": sum(finding.check == name for finding in found)} for name in names],
                         "findings": [finding._asdict() for finding in found]})
    elif options.list:
        app.screen.table(["check", "all is well where"], [[name, CHECKS[name][0]] for name in names])
    else:
        _show(app, found, names)
    return EXIT_BAD if problems else EXIT_OK


def _show(app: App, found: list[Finding], names: list[str]) -> None:
    screen = app.screen
    for finding in found:
        style: Any = POOR if finding.severity == PROBLEM else MEDIUM
        screen.line(f"{finding.severity.upper()} ({finding.check}): {finding.what}", style)
        screen.line(f"  why:  {finding.why}")
        screen.line(f"  mend: {finding.fix}")
        screen.line()
    problems = sum(finding.severity == PROBLEM for finding in found)
    well = len(names) - len({finding.check for finding in found})
    screen.line(f"{app.source.where}: {plural(problems, 'problem')}, "
                f"{plural(len(found) - problems, 'recommendation')}; {plural(well, 'check')} of {len(names)} found "
                "nothing", POOR if problems else FAINT if found else GOOD)


COMMANDS: Final = (
    Command("doctor", "what is wrong, and the command that mends it", "Looks at processes, topology, slots, options, "
            "versions, memory, clients, latency, balance and the machine. Each finding says what is wrong, why it "
            "matters, and the command that mends it. Exit code 1 where there is a problem; advice alone gives 0.",
            doctor, FIELDS, arguments, examples=("doctor", "doctor memory clients", "doctor --list", "doctor --json")),
)
