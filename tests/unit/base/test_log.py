"""The log's line format, levels and files."""

import re

import pytest

from shardd.base import log
from shardd.base.errors import ConfigError
from shardd.base.log import ENGINE, Log, format_line

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


def test_a_renamed_file_is_left_for_a_new_one(tmp_path):
    path, old = tmp_path / "log", tmp_path / "log.1"
    log = Log(ENGINE, path=str(path))
    log.notice("first")
    assert not log.check()
    path.rename(old)
    log.notice("still in the old one")
    assert log.check() and not log.check()
    log.notice("second")
    path.rename(tmp_path / "log.2")
    path.write_text("")
    assert log.reopen()
    log.raw(b"third\n")
    assert [file.read_text().count("\n") for file in (old, tmp_path / "log.2", path)] == [2, 1, 1]
    log.close()


def test_a_file_that_cannot_be_made_anew_changes_nothing(tmp_path):
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "log"
    log = Log(ENGINE, path=str(path))
    path.unlink()
    path.mkdir()
    kept = []
    log.tee = kept.append
    assert not log.reopen() and not log.check()
    assert b"can't open the log file" in kept[0]
    path.rmdir()
    (tmp_path / "d").rmdir()
    assert not log.check() and len(kept) == 2
    log.close()


def test_standard_output_has_nothing_to_reopen():
    log = Log(ENGINE)
    assert log.reopen() and not log.check()


def test_what_is_written_can_be_listened_to(capfd):
    log, heard = Log(ENGINE, "warning"), []
    log.tee = heard.append
    log.notice("no")
    log.warning("yes")
    assert len(heard) == 1 and heard[0].endswith(b" # yes")
