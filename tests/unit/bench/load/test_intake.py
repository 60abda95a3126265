"""Replies are counted as hiredis counts them, wherever they are cut."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.intake import ANY, OTHERS, Intake, ReplyCounter, ReplyError

REPLIES = [
    b"+OK\r\n", b"+PONG\r\n", b"+\r\n", b":1\r\n", b":-12345\r\n", b"$0\r\n\r\n", b"$3\r\nabc\r\n", b"$-1\r\n",
    b"$2\r\n\r\n\r\n", b"$5\r\n+OK\r\n\r\n", b"$100\r\n" + b"x" * 100 + b"\r\n", b"*0\r\n",
    b"$12345\r\n" + b"y" * 12345 + b"\r\n",
    b"*2\r\n$1\r\na\r\n:5\r\n", b"*-1\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"%1\r\n+a\r\n*1\r\n:1\r\n",
    b"-ERR no\r\n", b"!5\r\nERR x\r\n", b"|1\r\n+a\r\n:1\r\n+OK\r\n", b"=7\r\ntxt:a\nb\r\n",
]


def counter(forms: bytes = ANY, names: tuple[str, ...] = ("get",)) -> tuple[Intake, ReplyCounter]:
    intake = Intake(list(names), [forms] * len(names))
    return intake, ReplyCounter(intake)


@pytest.mark.parametrize("reply", REPLIES)
def test_each_form_cut_anywhere(reply):
    for cut in {*range(min(len(reply), 40)), len(reply) - 2, len(reply) - 1}:
        _, feed = counter()
        assert feed.feed(reply[:cut]) == 0
        assert feed.feed(reply[cut:] + reply) == 2
        assert feed.feed(reply + reply[:1]) == 1
        assert feed.feed(reply[1:]) == 1


@given(st.lists(st.sampled_from(REPLIES), max_size=20), st.lists(st.integers(1, 300), min_size=1))
def test_streams_cut_anywhere(replies, cuts):
    intake, feed = counter()
    data, at, found, i = b"".join(replies), 0, 0, 0
    while at < len(data):
        step = cuts[i % len(cuts)]
        found += feed.feed(data[at:at + step])
        at, i = at + step, i + 1
    assert found == len(replies)
    assert intake.errors == sum(reply[:1] in b"-!" for reply in replies)
    assert intake.nulls == sum(reply in (b"$-1\r\n", b"*-1\r\n", b"_\r\n") for reply in replies)


def test_errors_are_counted_by_text():
    intake, feed = counter(b"+")
    assert feed.feed(b"-ERR a\r\n-ERR b\r\n-ERR a\r\n+OK\r\n-ERR a\r\n") == 5
    assert (intake.errors, intake.error_texts()) == (4, {"ERR a": 3, "ERR b": 1})
    intake.reset()
    assert (intake.errors, intake.error_texts()) == (0, {})


def test_texts_without_end_end_in_one_line():
    intake, feed = counter()
    feed.feed(b"".join(b"-ERR %d\r\n" % i for i in range(1000)))
    texts = intake.error_texts()
    assert len(texts) == 101 and sum(texts.values()) == intake.errors == 1000 and texts[OTHERS] == 900


def test_redirections_are_no_errors():
    intake, feed = counter(b"$")
    assert feed.feed(b"-MOVED 5 127.0.0.1:7000\r\n-ASK 6 127.0.0.1:7001\r\n") == 2
    assert (intake.errors, intake.moved) == (0, 2)
    assert intake.take_redirect() == "ASK 6 127.0.0.1:7001" and intake.take_redirect() is None


def test_pushes_are_no_replies():
    intake, feed = counter()
    push = b">2\r\n+message\r\n$1\r\nx\r\n"
    assert feed.feed(push + b"+OK\r\n" + push) == 1
    assert feed.feed(push + push[:7], due=0) == 0
    assert feed.feed(push[7:], due=0) == 0
    assert intake.pushes == 4


@pytest.mark.parametrize("forms, data, error", [
    (b"$_", b":5\r\n", r"get was answered by ':5.*, which is no reply to it"),
    (b"+", b"$2\r\nOK\r\n", "no reply to it"), (ANY, b"HTTP/1.1 400\r\n", "which is not RESP"),
    (ANY, b"$x\r\n", "not RESP"), (ANY, b"$2x\r\nab\r\n", "not RESP"), (ANY, b":\r\n", "not RESP"),
    (ANY, b"$2\r\nabcd\r\n", "not RESP"), (ANY, b"$-2\r\n", "not RESP"), (ANY, b"*x\r\n", "not RESP")])
def test_a_wrong_form_stops(forms, data, error):
    _, feed = counter(forms)
    with pytest.raises(ReplyError, match=error):
        feed.feed(data + b"+OK\r\n")


def test_a_long_value_without_its_end_is_found_out():
    _, feed = counter()
    assert feed.feed(b"$3\r\na") == 0
    with pytest.raises(ReplyError, match="not followed by CRLF"):
        feed.feed(b"bcdef")


@pytest.mark.parametrize("data", [b"+OK\r\n+OK\r\n", b"$1\r\na\r\n:1\r\n"])
def test_a_reply_without_a_command(data):
    _, feed = counter()
    with pytest.raises(ReplyError, match="came without a command"):
        feed.feed(data, due=1)


def test_each_command_of_a_mix_has_its_own_forms():
    intake = Intake(["get", "set"], [b"$_", b"+"])
    order = bytes([0, 1, 1, 0])
    assert ReplyCounter(intake).feed(b"$1\r\na\r\n+OK\r\n-ERR x\r\n_\r\n", 4, order) == 4
    with pytest.raises(ReplyError, match=r"set was answered by '\$1"):
        ReplyCounter(intake).feed(b"$1\r\na\r\n$1\r\na\r\n", 4, order)
