"""The kinds of option values: reading, refusing, printing, and that what is printed reads back the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardd.base.errors import ConfigError
from shardd.base.option_types import (AutoInt, Bool, BufferLimits, Clamped, Directory, Enum, FileName, Int, Memory,
                                      Octal, Save, SocketPath, String, Words, parse_int, parse_memory, quoted)
from shardd.base.options import split_words


@pytest.mark.parametrize("text, expected", [
    ("0", 0), ("10", 10), ("10b", 10), ("1k", 1000), ("1kb", 1024), ("2M", 2_000_000), ("2MB", 2 * 1024**2),
    ("1g", 10**9), ("1Gb", 1024**3), ("", 0), ("k", None), ("1q", None), ("-1", None), ("1.5mb", None),
    ("1 mb", None),
    ("１", None),
])
def test_memory_units(text, expected):
    assert parse_memory(text) == expected


@pytest.mark.parametrize("text, expected", [
    ("0", 0), ("-1", -1), ("42", 42), ("", None), ("-0", None), ("01", None), ("+1", None), (" 1", None), ("1x", None),
    ("٣", None),
])
def test_integers_are_strict(text, expected):
    assert parse_int(text) == expected


@pytest.mark.parametrize("kind, words, value, text", [
    (Bool(), ["YES"], True, "yes"),
    (Bool(), ["no"], False, "no"),
    (Int(-5, 5), ["-5"], -5, "-5"),
    (Clamped(1, 500), ["1000"], 500, "500"),
    (Clamped(1, 500), ["0"], 1, "1"),
    (Memory(), ["1mb"], 1024**2, "1048576"),
    (Octal(0, 0o777), ["755"], 0o755, "755"),
    (AutoInt(1, 8), ["auto"], 0, "auto"),
    (AutoInt(1, 8), ["8"], 8, "8"),
    (Enum("no", "yes", "local"), ["LOCAL"], "local", "local"),
    (String(), ["a b"], "a b", "a b"),
    (Words(2), [""], (), ""),
    (Words(2), ["a", "b"], ("a", "b"), "a b"),
    (Save(), [""], (), ""),
    (Save(), ["3600", "1", "300", "100"], ((3600, 1), (300, 100)), "3600 1 300 100"),
    (BufferLimits(), ["slave", "1mb", "1kb", "60"], {"replica": (1048576, 1024, 60)}, "slave 1048576 1024 60"),
])
def test_kinds_read_and_print(kind, words, value, text):
    assert kind.parse(words) == value
    assert kind.text(value) == text
    again = kind.parse(split_words(kind.lines(value)[0]))
    assert again == value or kind.accumulates


@pytest.mark.parametrize("kind, words, reason", [
    (Bool(), ["maybe"], "argument must be 'yes' or 'no'"),
    (Int(), ["x"], "argument couldn't be parsed into an integer"),
    (Int(0, 10), ["11"], "argument must be between 0 and 10 inclusive"),
    (Memory(), ["1q"], "argument must be a memory value"),
    (Memory(1024**2), ["1"], "argument must be between 1048576 and 9223372036854775807 inclusive"),
    (Octal(0, 0o777), ["8"], "argument couldn't be parsed into an integer"),
    (AutoInt(1, 8), ["0"], "argument must be between 1 and 8 inclusive"),
    (Enum("a", "b"), ["c"], "argument(s) must be one of the following: a, b"),
    (Save(), ["60"], "Invalid save parameters"),
    (Save(), ["0", "1"], "Invalid save parameters"),
    (BufferLimits(), ["normal", "1", "2"], "Wrong number of arguments in buffer limit configuration."),
    (BufferLimits(), ["foo", "1", "2", "3"], "Invalid client class specified in buffer limit configuration."),
    (BufferLimits(), ["normal", "a", "2", "3"],
     "Error in hard, soft or soft_seconds setting in buffer limit configuration."),
    (FileName(), ["a/b"], "argument can't be a path or empty, just a filename"),
    (SocketPath(), ["/" + "x" * 107], "unix socket path too long, must be under 108 bytes"),
    (Words(1), ["a", "b"], "too many arguments, at most 1"),
])
def test_kinds_refuse_with_redis_s_reason(kind, words, reason):
    with pytest.raises(ConfigError) as error:
        kind.parse(words)
    assert str(error.value) == reason


def test_a_directory_becomes_absolute_and_must_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "file").touch()
    assert Directory().parse(["data"]) == str(tmp_path / "data")
    with pytest.raises(ConfigError, match="No such file or directory"):
        Directory().parse(["nope"])
    with pytest.raises(ConfigError, match="not a directory"):
        Directory().parse(["file"])


def test_memory_is_written_with_the_largest_whole_unit():
    assert Memory().lines(1024**3) == ["1gb"]
    assert Memory().lines(3 * 1024) == ["3kb"]
    assert Memory().lines(1000) == ["1000"]
    assert Memory().lines(0) == ["0"]


def test_buffer_limits_merge_by_class():
    kind = BufferLimits()
    both = kind.merge({"normal": (1, 1, 1)}, {"normal": (2, 2, 2), "pubsub": (3, 3, 3)})
    assert both == {"normal": (2, 2, 2), "pubsub": (3, 3, 3)}
    assert kind.lines(both) == ["normal 2 2 2", "pubsub 3 3 3"]


def test_save_lines_add_up_and_an_empty_one_forgets_them():
    kind = Save()
    assert kind.merge(((60, 1),), ((30, 5),)) == ((60, 1), (30, 5))
    assert kind.merge(((60, 1),), ()) == ()
    assert kind.lines(()) == ['""']


@given(st.text(st.characters(exclude_characters="\0"), max_size=30))
def test_quoted_words_read_back(word):
    assert split_words(quoted(word)) == [word]


def test_quoted_bytes_that_are_not_text_read_back():
    word = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert split_words(quoted(word)) == [word]
