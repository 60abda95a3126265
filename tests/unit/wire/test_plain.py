"""The plain codec of control links: values, cuts at any byte, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardd.base.errors import CommandError
from shardd.wire import plain
from shardd.wire.plain import Decoder, ProtocolError, encode_command, encode_reply
from shardd.wire.values import OK, Simple

VALUES = st.recursive(st.none() | st.integers(-2**63, 2**63 - 1) | st.binary(max_size=30),
                      lambda inner: st.lists(inner, max_size=4), max_leaves=12)


@given(st.lists(VALUES, max_size=5), st.data())
def test_whatever_is_encoded_is_decoded_however_it_is_cut(values, data):
    wire = b"".join(encode_reply(value) for value in values)
    decoder, got, at = Decoder(), [], 0
    while at < len(wire):
        step = data.draw(st.integers(1, len(wire) - at))
        got += decoder.feed(wire[at:at + step])
        at += step
    assert got == values


def test_the_wire_form_of_each_type():
    assert encode_reply(OK) == b"+OK\r\n"
    assert encode_reply(None) == b"$-1\r\n"
    assert encode_reply(-5) == b":-5\r\n"
    assert encode_reply("ä") == b"$2\r\n\xc3\xa4\r\n"
    assert encode_reply([1, [b""]]) == b"*2\r\n:1\r\n*1\r\n$0\r\n\r\n"
    assert encode_reply(CommandError(b"ERR no\r\nway")) == b"-ERR no  way\r\n"
    assert encode_command("SET", b"\x00\r\n", 7) == b"*3\r\n$3\r\nSET\r\n$3\r\n\x00\r\n\r\n$1\r\n7\r\n"


def test_statuses_and_errors_are_told_apart_from_bulks():
    status, error = Decoder().feed(b"+OK\r\n-ERR x y\r\n")
    assert isinstance(status, Simple) and status == "OK"
    assert isinstance(error, CommandError) and error.text == b"ERR x y" and error.code == "ERR"


def test_a_null_array_is_none():
    assert Decoder().feed(b"*-1\r\n") == [None]


@pytest.mark.parametrize("wire", [b"hello\r\n", b"$x\r\n", b"$-2\r\n", b"*-5\r\n", b"$99999999999\r\n", b"\r\n",
                                  b"*1\r\n" * 40, b":\r\n", b"%1\r\n"])
def test_what_is_not_resp2_is_refused(wire):
    with pytest.raises(ProtocolError):
        Decoder().feed(wire)


def test_an_endless_message_is_refused(monkeypatch):
    monkeypatch.setattr(plain.limits, "CONTROL_MESSAGE_BYTES_MAX", 100)
    with pytest.raises(ProtocolError, match="too long"):
        Decoder().feed(b"+" + b"x" * 101)
    with pytest.raises(ProtocolError):
        Decoder().feed(b"$101\r\n")


def test_no_form_for_other_types():
    with pytest.raises(TypeError):
        encode_reply(1.5)
