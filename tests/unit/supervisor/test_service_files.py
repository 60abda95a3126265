"""conf/shardd.service and conf/shardd.logrotate: they fit the server, and each other."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from shardd.base import limits
from shardd.base.options import Config

ROOT = Path(__file__).parents[3]
UNIT = ROOT / "conf" / "shardd.service"
LOGROTATE = ROOT / "conf" / "shardd.logrotate"

# systemd.unit(5), systemd.service(5), systemd.exec(5), systemd.kill(5)
KNOWN = {
    "Unit": {"Description", "Documentation", "After", "Wants"},
    "Service": {
        "Type", "NotifyAccess", "ExecStart", "ExecReload", "KillMode", "TimeoutStartSec", "TimeoutStopSec", "Restart",
        "RestartSec", "WatchdogSec", "User", "Group", "UMask", "StateDirectory", "StateDirectoryMode", "LogsDirectory",
        "LogsDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode", "WorkingDirectory", "Environment",
        "LimitNOFILE", "OOMScoreAdjust", "NoNewPrivileges", "CapabilityBoundingSet", "AmbientCapabilities",
        "ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ProtectClock", "ProtectControlGroups",
        "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables", "LockPersonality",
        "RemoveIPC", "RestrictAddressFamilies", "RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID",
        "SystemCallArchitectures", "SystemCallFilter", "SystemCallErrorNumber"},
    "Install": {"WantedBy"},
}


def parsed() -> dict[str, list[str]]:
    """Directive -> its values, in order; every line is a comment, a section or a directive that systemd knows."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if match := re.fullmatch(r"\[(\w+)\]", line):
            section = match[1]
            continue
        name, equals, value = line.partition("=")
        assert equals and name in KNOWN[section], line
        found.setdefault(name, []).append(value)
    return found


@pytest.fixture(scope="module")
def unit() -> dict[str, str]:
    return {name: values[-1] for name, values in parsed().items()}


def test_the_command_is_one_of_ours_and_its_options_are_too(unit, tmp_path, monkeypatch):
    program, conf, *options = shlex.split(unit["ExecStart"])
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert Path(program).name in scripts and program.startswith("/usr/bin/")
    assert conf == "/etc/shardd/shardd.conf"
    shutil.copy(ROOT / "conf" / "shardd.conf", tmp_path / "shardd.conf")
    monkeypatch.chdir(tmp_path)
    config = Config.load([str(tmp_path / "shardd.conf"), *options], "shardd")
    assert config["supervised"] == "systemd" and config["daemonize"] is False
    assert unit["Type"] == "notify" and unit["NotifyAccess"] == "main", "as the option promises"
    assert not config["logfile"] and config["dir"] == str(tmp_path), "the journal, and the working directory"


def test_it_is_stopped_watched_and_reloaded_as_the_supervisor_expects(unit):
    assert shlex.split(unit["ExecReload"]) == ["/bin/kill", "-HUP", "$MAINPID"]
    assert unit["KillMode"] == "mixed"
    assert int(unit["TimeoutStopSec"]) * 1000 > 2 * limits.STOP_GRACE_MS
    assert int(unit["TimeoutStartSec"]) * 1000 > limits.ENGINES_WAIT_MS + 2 * limits.CHILD_START_MS
    assert int(unit["WatchdogSec"]) * 1000 > 4 * limits.CONTROL_REPLY_MS
    assert unit["Restart"] == "on-failure", "SHUTDOWN is a clean end"
    assert int(unit["LimitNOFILE"]) >= limits.CLIENTS_DEFAULT + limits.RESERVED_FDS


def test_every_path_it_writes_to_is_its_own(unit):
    name = unit["StateDirectory"]
    assert unit["WorkingDirectory"] == f"/var/lib/{name}"
    assert unit["LogsDirectory"] == unit["RuntimeDirectory"] == unit["User"] == unit["Group"] == name
    assert unit["ProtectSystem"] == "strict"
    longest = f"{unit['WorkingDirectory']}/run/engine-{limits.ENGINES_MAX}.sock"
    assert len(longest) <= limits.UNIX_SOCKET_PATH_BYTES_MAX


def test_what_the_server_needs_is_not_forbidden(unit):
    filters = parsed()["SystemCallFilter"]
    assert filters[0] == "@system-service" and not any("@resources" in words for words in filters), \
        "sched_setaffinity and setrlimit"
    assert set(unit["RestrictAddressFamilies"].split()) == {"AF_INET", "AF_INET6", "AF_UNIX"}
    assert "MemoryDenyWriteExecute" not in unit, "ctypes makes callbacks when it is imported"
    assert "PrivateNetwork" not in unit


def test_both_files_are_installed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    assert {f"conf/{path.name}" for path in (UNIT, LOGROTATE)} <= set(data["share/shardd"])


def test_logs_are_rotated_where_they_are_and_the_supervisor_is_told(unit):
    text = LOGROTATE.read_text()
    assert f"/var/log/{unit['LogsDirectory']}/*.log {{" in text
    assert f"create 0640 {unit['User']} {unit['Group']}" in text
    assert "--signal=USR1 shardd.service" in text and "--kill-whom=main" in text
    assert "copytruncate" not in text, "lines would be lost; the file is opened anew instead"
    assert text.count("{") == text.count("}") == 1 and text.index("postrotate") < text.index("endscript")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong(tmp_path):
    copy = tmp_path / "shardd.service"
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", UNIT.read_text(), flags=re.MULTILINE))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True,
                          timeout=60, check=False)
    assert "Unknown" not in done.stderr and "Failed to parse" not in done.stderr, done.stderr


@pytest.mark.skipif(shutil.which("logrotate") is None, reason="logrotate is not installed")
def test_logrotate_understands_it(tmp_path):
    done = subprocess.run(["logrotate", "--debug", "--state", str(tmp_path / "state"), str(LOGROTATE)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert "error" not in done.stderr.lower().replace("unknown user", ""), done.stderr
