"""The request parser: what it finds, what it refuses, and that cuts change neither."""
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardd.base import limits
from shardd.wire.request import RequestFeed, RequestParser

PREFIX = b"-ERR Protocol error: "
LONG = b"v" * 12_345
SEAMS = (9, 10, 99, 100, 999, 1000, 9999, 10_000)


def multibulk(*args: bytes) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg) for arg in args)


# input, the requests in it, the error behind them
GOOD = [
    (b"", []),
    (multibulk(b"PING"), [[b"PING"]]),
    (multibulk(b"GET", b"k") * 3, [[b"GET", b"k"]] * 3),
    (multibulk(b"SET", b"", b""), [[b"SET", b"", b""]]),
    (multibulk(b"SET", b"\r\n$1\r\n", b"*1\r\n"), [[b"SET", b"\r\n$1\r\n", b"*1\r\n"]]),
    (multibulk(*[b"x" * size for size in SEAMS]), [[b"x" * size for size in SEAMS]]),
    (multibulk(b"SET", b"k", LONG) + multibulk(b"PING"), [[b"SET", b"k", LONG], [b"PING"]]),
    (multibulk(*[b"a%d" % i for i in range(99)]), [[b"a%d" % i for i in range(99)]]),
    (multibulk(*[b"a%d" % i for i in range(100)]), [[b"a%d" % i for i in range(100)]]),
    (b"*0\r\n*-1\r\n*-7\r\n" + multibulk(b"PING"), [[b"PING"]]),
    (b"\r\n\n   \r\n" + multibulk(b"PING") + b"\n", [[b"PING"]]),
    (b"PING\r\n", [[b"PING"]]),
    (b"PING\n", [[b"PING"]]),
    (b"  set\tk  v \r\n" + multibulk(b"GET", b"k") + b"ping\r\n", [[b"set", b"k", b"v"], [b"GET", b"k"], [b"ping"]]),
    (b'set k "a b"\r\n', [[b"set", b"k", b"a b"]]),
    (b'set k "\\x41\\x0a\\xZZ\\n\\r\\t\\b\\a\\"\\\\"\r\n', [[b"set", b"k", b'A\nxZZ\n\r\t\b\a"\\']]),
    (b"set k 'it\\'s \\n'\r\n", [[b"set", b"k", b"it's \\n"]]),
    (b"set k ab\"c d\" e''\r\n", [[b"set", b"k", b"abc d", b"e"]]),
    (b'"" \'\'\r\n', [[b"", b""]]),
    (b"a\0b c\r\n", [[b"a\0b", b"c"]]),
    (b"a\x0bb\x0c \x0b c\r\n", [[b"a\x0bb\x0c", b"c"]]),
    (b"a\rb\r\n", [[b"a", b"b"]]),
    # what Redis does not look at: the LF behind a header's CR, the CRLF behind a bulk
    (b"*1\rx$4\ryPINGzz" + multibulk(b"PING"), [[b"PING"], [b"PING"]]),
]
BAD = [
    (b"*a\r\n", b"invalid multibulk length"),
    (b"*\r\n", b"invalid multibulk length"),
    (b"*-\r\n", b"invalid multibulk length"),
    (b"*-0\r\n", b"invalid multibulk length"),
    (b"*+1\r\n", b"invalid multibulk length"),
    (b"*01\r\n", b"invalid multibulk length"),
    (b"* 1\r\n", b"invalid multibulk length"),
    (b"*2147483648\r\n", b"invalid multibulk length"),
    (b"*99999999999999999999\r\n", b"invalid multibulk length"),
    (b"*9223372036854775808\r\n", b"invalid multibulk length"),
    (b"*1\r\n:1\r\n", b"expected '$', got ':'"),
    (b"*1\r\n\r\n", b"expected '$', got ' '"),
    (b"*1\r\n\n\r\n", b"expected '$', got ' '"),
    (b"*1\r\n\0\r\n", b"expected '$', got '"),
    (b"*2\r\n$3\r\nGET\r\nfoo\r\n", b"expected '$', got 'f'"),
    (b"*2\r\n$1\r\nGET\r\n$1\r\nk\r\n", b"expected '$', got '\r'".replace(b"\r", b" ")),
    (b"*1\r\n$\r\n", b"invalid bulk length"),
    (b"*1\r\n$-1\r\n", b"invalid bulk length"),
    (b"*1\r\n$x\r\n", b"invalid bulk length"),
    (b"*1\r\n$04\r\nPING\r\n", b"invalid bulk length"),
    (b"*1\r\n$00\r\n\r\n", b"invalid bulk length"),
    (b"*1\r\n$536870913\r\n", b"invalid bulk length"),
    (b"*1\r\n$9223372036854775808\r\n", b"invalid bulk length"),
    (b'set k "a\r\n', b"unbalanced quotes in request"),
    (b"set k 'a\r\n", b"unbalanced quotes in request"),
    (b'set k "a"b\r\n', b"unbalanced quotes in request"),
    (b"set k 'a'b\r\n", b"unbalanced quotes in request"),
    (b'set k "a\\"\r\n', b"unbalanced quotes in request"),
    (b'set k "\\\r\n', b"unbalanced quotes in request"),
]


def parse(*pieces: bytes, **options) -> tuple[list[list[bytes]], bytes | None]:
    feed = RequestFeed(**options)
    found: list[list[bytes]] = []
    for piece in pieces:
        requests, error = feed.feed(piece)
        found += requests
        if error is not None:
            return found, error
    return found, None


@pytest.mark.parametrize(("data", "requests"), GOOD)
def test_requests(data: bytes, requests: list[list[bytes]]) -> None:
    assert parse(data) == (requests, None)


@pytest.mark.parametrize(("data", "text"), BAD)
def test_errors(data: bytes, text: bytes) -> None:
    assert parse(data) == ([], PREFIX + text)
    assert parse(multibulk(b"PING") + data) == ([[b"PING"]], PREFIX + text), "what is before the error counts"


CORPUS = [(data, requests, None) for data, requests in GOOD] + [(data, [], PREFIX + text) for data, text in BAD]


@pytest.mark.parametrize(("data", "requests", "error"), CORPUS)
def test_cut_anywhere(data: bytes, requests: list[list[bytes]], error: bytes | None) -> None:
    cuts = range(len(data) + 1) if len(data) < 1500 else random.Random(1).sample(range(len(data)), 300)
    for cut in cuts:
        assert parse(data[:cut], data[cut:]) == (requests, error), cut


@pytest.mark.parametrize(("data", "requests", "error"), CORPUS)
def test_byte_by_byte(data: bytes, requests: list[list[bytes]], error: bytes | None) -> None:
    if len(data) < 5000:
        assert parse(*[data[i:i + 1] for i in range(len(data))]) == (requests, error)


words = st.binary(max_size=40) | st.integers(0, 3000).map(lambda n: bytes(random.Random(n).randbytes(n)))
requests_of_words = st.lists(st.lists(words, min_size=1, max_size=12), max_size=12)


@given(requests_of_words, st.lists(st.integers(0, 10**6), max_size=8))
@settings(deadline=None)
def test_round_trip_in_pieces(requests: list[list[bytes]], cuts: list[int]) -> None:
    data = b"".join(multibulk(*request) for request in requests)
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    assert parse(*[data[a:b] for a, b in zip(at, at[1:])]) == (requests, None)


@given(st.binary(max_size=200) | st.lists(st.sampled_from(
    [b"*1\r\n", b"*2\r\n", b"$3\r\n", b"$", b"*", b"\r", b"\n", b"abc", b"\r\n", b'"', b"'", b"\\x", b" ", b"0",
     b"-1"]), max_size=30).map(b"".join), st.lists(st.integers(0, 200), max_size=5))
@settings(deadline=None, max_examples=500)
def test_garbage_is_the_same_cut_or_whole(data: bytes, cuts: list[int]) -> None:
    at = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    assert parse(*[data[a:b] for a, b in zip(at, at[1:])]) == parse(data)


def quoted(word: bytes) -> bytes:
    return b'"' + b"".join(b"\\x%02x" % byte for byte in word) + b'"'


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=10))
def test_inline_can_carry_any_byte(words: list[bytes]) -> None:
    assert parse(b" ".join(map(quoted, words)) + b"\r\n") == ([words], None)


# --- limits -----------------------------------------------------------------------------------------------------------

LINE = limits.INLINE_BYTES_MAX


@pytest.mark.parametrize(("head", "text"), [
    (b"*" + b"1" * (LINE - 1), b"too big mbulk count string"),
    (b"*1\r\n$" + b"1" * (LINE - 1), b"too big bulk count string"),
    (b"P" * LINE, b"too big inline request"),
])
def test_endless_lines(head: bytes, text: bytes) -> None:
    assert parse(head) == ([], None), "at the bound it may yet end"
    assert parse(head + b"1") == ([], PREFIX + text)
    assert parse(head[:5], head[5:], b"1") == ([], PREFIX + text)


def test_unauthenticated_limits() -> None:
    ten = [b"a"] * 10
    assert parse(multibulk(*ten), restricted=True) == ([ten], None)
    assert parse(b"*11\r\n", restricted=True) == ([], PREFIX + b"unauthenticated multibulk length")
    full = b"x" * limits.UNAUTH_BULK_BYTES_MAX
    assert parse(multibulk(full), restricted=True) == ([[full]], None)
    assert parse(b"*1\r\n$16385\r\n", restricted=True) == ([], PREFIX + b"unauthenticated bulk length")


def test_bulk_max() -> None:
    parser = RequestParser(limits.BULK_BYTES_MIN)
    bulk = b"x" * limits.BULK_BYTES_MIN
    assert parse(multibulk(bulk), parser=parser) == ([[bulk]], None)
    assert parse(b"*1\r\n$1048577\r\n", parser=parser) == ([], PREFIX + b"invalid bulk length")
    with pytest.raises(ValueError, match="1048576"):
        parser.set_bulk_max(limits.BULK_BYTES_MIN - 1)


def test_highest_bulk_max_does_not_overflow() -> None:
    feed = RequestFeed(RequestParser(2**63 - 1))
    assert feed.feed(b"*1\r\n$9223372036854775807\r\nx") == ([], None)
    assert feed.want == 2**63 - 1


def test_want_is_the_whole_request_up_to_the_bulk() -> None:
    feed = RequestFeed()
    head = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$100000\r\n"
    feed.feed(head + b"x")
    assert feed.want == len(head) + 100_002
    feed.feed(b"x" * 99_999)
    assert feed.want == len(head) + 100_002
    assert feed.feed(b"\r\n") == ([[b"SET", b"k", b"x" * 100_000]], None)
    assert (feed.want, feed.left_over) == (0, 0)


def test_requests_max() -> None:
    feed = RequestFeed()
    data = multibulk(b"A") + b"B\r\n" + multibulk(b"C", b"c") + multibulk(b"D")[:-3]
    assert feed.feed(data, 2) == ([[b"A"], [b"B"]], None)
    assert feed.feed(b"", 1) == ([[b"C", b"c"]], None)
    assert feed.feed(b"", 1) == ([], None)
    assert feed.feed(b"D\r\n" + multibulk(b"E"), 1) == ([[b"D"]], None)
    assert feed.feed(b"", 1) == ([[b"E"]], None)


def test_many_requests_and_arguments_at_once() -> None:
    assert parse(multibulk(b"PING") * 5000)[0] == [[b"PING"]] * 5000
    assert parse(b"PING\n" * 5000)[0] == [[b"PING"]] * 5000
    assert parse(b"a " * 30_000 + b"\n")[0] == [[b"a"] * 30_000]


def test_a_million_arguments() -> None:
    args = [b"%d" % i for i in range(1_000_000)]
    data = multibulk(*args)
    parser = RequestParser()
    assert parse(data + multibulk(b"PING"), parser=parser) == ([args, [b"PING"]], None)
    pieces = [data[i:i + 2_000_003] for i in range(0, len(data), 2_000_003)]
    assert parse(*pieces, multibulk(b"PING"), parser=parser) == ([args, [b"PING"]], None)


def test_one_parser_serves_many_connections() -> None:
    parser = RequestParser()
    feeds = [RequestFeed(parser) for _ in range(20)]
    data = multibulk(b"SET", b"key", b"value" * 10)
    for i in range(len(data)):
        for feed in feeds:
            found, error = feed.feed(data[i:i + 1])
            assert (found, error) == ([[b"SET", b"key", b"value" * 10]] if i == len(data) - 1 else [], None)
