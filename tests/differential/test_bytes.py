"""Any bytes: we and the real Redis answer the same stream with the same bytes, and close where it closes.

Hypothesis composes streams of whole commands, cut ones, inline lines, and the tokens that a parser stumbles over. The
client then closes its side; what came back until the server closed is compared byte by byte.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import Closed, encode

EXAMPLES = 350
KEYS = st.sampled_from([b"{t}1", b"{t}2", b""])
# without NUL: Redis looks for an inline command's end with strchr and never gets past one
BYTES = st.lists(st.integers(1, 255), max_size=12).map(bytes)
VALUES = st.one_of(BYTES, st.sampled_from([b"1", b"\r\n", b"$3\r\nabc\r\n", b"'", b'"', b"x" * 300]))
COMMANDS = st.one_of(
    st.tuples(st.just(b"SET"), KEYS, VALUES), st.tuples(st.just(b"GET"), KEYS),
    st.tuples(st.just(b"APPEND"), KEYS, VALUES),
    st.tuples(st.just(b"ECHO"), VALUES), st.tuples(st.just(b"PING")), st.tuples(st.just(b"INCR"), KEYS),
    st.tuples(st.just(b"MGET"), KEYS, KEYS), st.tuples(st.just(b"EXISTS"), KEYS), st.tuples(st.just(b"NOSUCH"), VALUES),
    st.tuples(st.just(b"CLIENT"), st.sampled_from([b"GETNAME", b"REPLY"]), st.sampled_from([b"ON", b"x"])),
    st.tuples(st.just(b"SELECT"), st.sampled_from([b"99", b"x"])), st.tuples(st.just(b"QUIT")),
    st.tuples(st.just(b"RESET"))).map(lambda words: encode(*words))
TOKENS = st.sampled_from([
    b"*", b"$", b"\r", b"\n", b"\r\n", b"*1\r\n", b"*2\r\n$4\r\nECHO\r\n", b"*0\r\n", b"*-1\r\n", b"$4\r\nPING\r\n",
    b"$-1\r\n", b"$0\r\n\r\n",
    b"*3\r\n", b"*2147483647\r\n", b"*2147483648\r\n", b"*1\r\n$536870912\r\n", b"*1\r\n$536870913\r\n",
    b"*01\r\n$04\r\nPING\r\n",
    b"PING\r\n", b"PING\n", b"ping a\r\n", b"ECHO 'a b'\r\n", b'ECHO "\\x00\\n"\r\n', b'ECHO "a\r\n', b"ECHO 'a'b\r\n",
    b"SET {t}1 inline\r\n", b"+OK\r\n", b":1\r\n", b"-ERR\r\n", b"%1\r\n", b"~1\r\n", b" ", b"\t",
    b"*1\r\n$4\r\nPINGxx", b"*1\r\n$3\r\nPING\r\n", b"*1\r\n:4\r\nPING\r\n", b"* 1\r\n", b"*1 \r\n", b"*+1\r\n",
    b"*1\n$4\nPING\n",
    b"*\r\n", b"$\r\n", b"*1\r\n$\r\n", b"*1\r\n\r\n", b"q" * 100])


@st.composite
def cut(draw) -> bytes:
    """A whole command with one byte changed, dropped or doubled, or cut short."""
    data = draw(COMMANDS)
    at = draw(st.integers(0, len(data) - 1))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return data[:at] + bytes([draw(st.integers(1, 255))]) + data[at + 1:]
    if kind == 1:
        return data[:at] + data[at + 1:]
    if kind == 2:
        return data[:at] + data[at:at + 1] + data[at:]
    return data[:at]


STREAMS = st.lists(st.one_of(COMMANDS, COMMANDS, TOKENS, cut(), BYTES), min_size=1, max_size=8)


def exchange(target, pieces: list[bytes], at_once: bool) -> bytes:
    """Everything the server says to the stream before it closes."""
    conn = target.conn()
    try:
        with contextlib.suppress(Closed, OSError):
            if at_once:
                conn.send(b"".join(pieces))
            else:
                for piece in pieces:
                    conn.send(piece)
            conn.half_close()
        return conn.rest()
    finally:
        conn.close()


@pytest.mark.not_on("oracle", "cluster", reason="the oracle is what the others are compared with, by keys of one slot")
def test_the_same_bytes(r, oracle):
    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(pieces=STREAMS, at_once=st.booleans())
    def run(pieces: list[bytes], at_once: bool) -> None:
        replies = []
        for target in (r, oracle):
            target("FLUSHALL")
            replies.append(exchange(target, pieces, at_once))
        assert replies[0] == replies[1]

    run()
