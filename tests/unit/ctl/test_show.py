"""What is printed on a terminal and elsewhere."""

import io

import pytest

from shardd.ctl.show import Cell, Screen, clean, state


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def printed(file, act):
    act(Screen(file=file))
    return file.getvalue()


def example(screen):
    screen.table(["name", ">count", "state"], [["a", 5, state("up")], ["longer", None, state("down")]], title="Title")


def test_elsewhere_there_are_columns_and_nothing_else():
    assert printed(io.StringIO(), example) == ("Title\n"
                                               "name    count  state\n"
                                               "a           5  up\n"
                                               "longer      -  down\n")


def test_a_table_without_rows_is_its_header():
    assert printed(io.StringIO(), lambda screen: screen.table(["a", ">b"], [])) == "a  b\n"


def test_elsewhere_no_line_is_wrapped_or_cut_whatever_the_environment_says(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    long = "word " * 100
    assert printed(io.StringIO(), lambda screen: screen.line(long)) == long.rstrip() + "\n"
    assert long.rstrip() in printed(io.StringIO(), lambda screen: screen.table(["x"], [[long]]))
    assert "\x1b" not in printed(io.StringIO(), example)


def test_on_a_terminal_states_have_colours():
    out = printed(Terminal(), example)
    assert "\x1b[32mup" in out and "\x1b[1;31mdown" in out


def test_colours_can_be_turned_off(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in printed(Terminal(), example)


def test_json_is_the_only_thing_that_needs_no_table():
    file = Terminal()
    screen = Screen(as_json=True, file=file)
    assert not screen.is_terminal
    screen.json({"a": "é\udcff"})
    screen.json([1], lines=True)
    assert file.getvalue() == '{\n  "a": "\\u00e9\\udcff"\n}\n[1]\n'


@pytest.mark.parametrize("text, safe", [("plain é", "plain é"), ("\x1b[2J", "\\x1b[2J"), ("a\tb", "a\\x09b"),
                                        ("\udcff", "\\xff"), ("two\nlines", "two\nlines")])
def test_nothing_commands_the_terminal(text, safe):
    assert clean(text) == safe


def test_a_row_is_a_line():
    assert printed(io.StringIO(), lambda screen: screen.table(["x"], [[Cell("a\nb")]])) == "x\na\\nb\n"


def test_markup_and_emoji_in_values_are_just_text():
    assert printed(io.StringIO(), lambda screen: screen.line("[red]x[/red] :smile:")) == "[red]x[/red] :smile:\n"
