"""The memory of lines, and the pipes they come through."""

import asyncio
import os

import pytest

from shardd.base import limits
from shardd.supervisor.logbook import Logbook, Output


def test_each_has_its_own_latest_lines_and_all_come_in_order():
    book = Logbook()
    for number in range(limits.LOG_LINES_KEPT + 5):
        book.add("engine 0", b"e%d" % number)
    book.add("proxy 0", b"p")
    book.add("engine 0", b"last")
    assert len(book.tail("engine 0", 10**6)) == limits.LOG_LINES_KEPT
    assert book.tail("engine 0", 2) == [b"e%d" % (limits.LOG_LINES_KEPT + 4), b"last"]
    assert book.tail(None, 3) == [b"e%d" % (limits.LOG_LINES_KEPT + 4), b"p", b"last"]
    assert book.tail("proxy 0", 0) == [] and book.tail("engine 9", 5) == []


def test_followers_get_what_was_and_what_comes(monkeypatch):
    monkeypatch.setattr(limits, "LOG_FOLLOWER_LINES_MAX", 3)

    async def main() -> None:
        book = Logbook()
        book.add("engine 0", b"old")
        book.add("engine 1", b"other")
        lines = book.follow("engine 0", 5)
        assert await anext(lines) == b"old"
        for number in range(5):
            book.add("engine 0", b"%d" % number)
            book.add("engine 1", b"other")
        assert [await anext(lines) for _ in range(3)] == [b"0", b"1", b"2"], "the rest found no room"
        book.add("engine 0", b"new")
        assert await anext(lines) == b"new"
        await lines.aclose()
        assert not book._followers

    asyncio.run(main())


@pytest.mark.parametrize("pieces, lines", [
    ([b"one\ntwo\n"], [b"one", b"two"]), ([b"on", b"e\nt", b"wo"], [b"one", b"two"]), ([b""], []),
    ([b"x" * (limits.LOG_LINE_BYTES_MAX + 10) + b"\n"], [b"x" * (limits.LOG_LINE_BYTES_MAX + 10)]),
])
def test_a_pipe_gives_lines_and_its_last_words(pieces, lines):
    async def main() -> list[bytes]:
        got: list[bytes] = []
        ours, theirs = os.pipe()
        output = Output(ours, got.append)
        for piece in pieces:
            os.write(theirs, piece)
            await asyncio.sleep(0)
        os.close(theirs)
        output.close()
        output.close()
        with pytest.raises(OSError):
            os.fstat(ours)
        return got

    assert asyncio.run(main()) == lines


def test_a_line_without_end_is_cut():
    async def main() -> list[bytes]:
        got: list[bytes] = []
        ours, theirs = os.pipe()
        output = Output(ours, got.append)
        os.write(theirs, b"x" * (3 * limits.LOG_LINE_BYTES_MAX))
        output.close()
        os.close(theirs)
        return got

    assert list(map(len, asyncio.run(main()))) == [limits.LOG_LINE_BYTES_MAX] * 3
