"""Sentences and a bar."""
import io

from shardd.ctl.progress import Progress
from shardd.ctl.show import Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(screen: Screen) -> list[str]:
    with Progress(screen) as progress:
        for line in ("It begins", "10% of 5 keys", "[b]90% of it[/b]", "95% of \x1b[31mred", "It is done"):
            progress.say(line)
    return progress.steps


def test_elsewhere_each_line_is_a_line():
    out = io.StringIO()
    assert said(Screen(False, out)) == ["It begins", "[b]90% of it[/b]", "It is done"]
    assert out.getvalue().splitlines() == ["It begins", "10% of 5 keys", "[b]90% of it[/b]", "95% of \\x1b[31mred",
                                           "It is done"]


def test_json_gets_none():
    out = io.StringIO()
    assert len(said(Screen(True, out))) == 3 and out.getvalue() == ""


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    assert said(Screen(False, out)) == ["It begins", "[b]90% of it[/b]", "It is done"]
    text = out.getvalue()
    assert "10% of 5 keys" in text and "It is done" in text and "\x1b[31mred" not in text
