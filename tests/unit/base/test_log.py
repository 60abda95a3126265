"""The log's line format, levels and files."""

import re

import pytest

from shardd.base import log
from shardd.base.errors import ConfigError
from shardd.base.log import Log, format_line

LINE = re.compile(r"\d+:[VMP] \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d\.\d{3} [.*#-] .*")


def test_the_line_is_redis_s(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    log.time.tzset()
    line = format_line(4711, log.ENGINE, log.NOTICE, "Ready to accept connections", 1_700_000_000_123)
    assert line == b"4711:M 14 Nov 2023 22:13:20.123 * Ready to accept connections\n"
    monkeypatch.undo()
    log.time.tzset()


@pytest.mark.parametrize("level, mark", [
    (log.DEBUG, b"."), (log.VERBOSE, b"-"), (log.NOTICE, b"*"), (log.WARNING, b"#")])
def test_each_level_has_its_mark(level, mark):
    assert format_line(1, "P", level, "x", 0).endswith(b" " + mark + b" x\n")


def test_a_message_cannot_forge_a_line_or_fill_the_log():
    line = format_line(1, "M", log.NOTICE, "a\r\n1:M forged\x1b[31m" + "x" * 5000, 0)
    assert line.count(b"\n") == 1 and b"\r" not in line and b"\x1b" not in line
    assert len(line) < 1100


def test_a_message_with_broken_text_is_written():
    assert b"\\udcff" in format_line(1, "M", log.NOTICE, b"\xff".decode("utf-8", "surrogateescape"), 0)


def test_levels_filter(tmp_path):
    path = tmp_path / "log"
    out = Log(log.PROXY, "notice", str(path))
    out.debug("debug")
    out.verbose("verbose")
    out.notice("notice")
    out.warning("warning")
    out.set_level("debug")
    out.debug("debug again")
    out.set_level("nothing")
    out.warning("silence")
    out.close()
    lines = path.read_text().splitlines()
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["notice", "warning", "again"]
    assert all(LINE.fullmatch(line) for line in lines)


def test_two_processes_can_share_a_file(tmp_path):
    one, two = Log("M", path=str(tmp_path / "log")), Log("P", path=str(tmp_path / "log"))
    one.notice("a")
    two.notice("b")
    one.notice("c")
    assert [line[-1] for line in (tmp_path / "log").read_text().splitlines()] == ["a", "b", "c"]
    one.close()
    two.close()


def test_standard_output_is_the_default(capfd):
    Log(log.SUPERVISOR).warning("hello")
    assert LINE.fullmatch(capfd.readouterr().out.rstrip("\n"))


def test_a_log_that_cannot_be_opened_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="can't open the log file: No such file or directory"):
        Log("M", path=str(tmp_path / "no" / "log"))


def test_a_full_disk_does_not_raise():
    out = Log("M", path="/dev/full")
    out.notice("x")
    out.close()
