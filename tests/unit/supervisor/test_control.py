"""Control links over real Unix sockets."""

import asyncio
import gc
import os
import socket
import stat

import pytest
import uvloop

from shardd.base.errors import CommandError
from shardd.supervisor.control import Link, LinkError, Server, json_bulk, reject
from shardd.wire.plain import Decoder, encode_command, encode_reply
from shardd.wire.values import Simple


def run(coroutine):
    return uvloop.run(asyncio.wait_for(coroutine, 20))     # as the supervisor runs


async def echo(words):
    if words[0] == b"FAIL":
        raise CommandError(b"ERR on purpose")
    if words[0] == b"SLOW":
        await asyncio.sleep(float(words[1]))
    return words


def test_requests_are_answered_in_order(tmp_path):
    async def body():
        server = Server(tmp_path / "s", echo)
        await server.start()
        link = await Link.open(tmp_path / "s")
        answers = await asyncio.gather(*(link.call("N", n) for n in range(50)))
        assert answers == [[b"N", b"%d" % n] for n in range(50)]
        with pytest.raises(CommandError, match="on purpose"):
            await link.call("FAIL")
        assert await link.call("still", "here") == [b"still", b"here"]
        link.close()
        await server.stop()
        assert not (tmp_path / "s").exists()
    run(body())


def test_the_socket_is_private_and_takes_a_dead_ones_place(tmp_path):
    (tmp_path / "s").write_text("left over")

    async def body():
        server = Server(tmp_path / "s", echo)
        await server.start()
        mode = os.stat(tmp_path / "s").st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        await server.stop()
    run(body())


def test_a_late_answer_does_not_disturb_the_next_request(tmp_path):
    async def body():
        server = Server(tmp_path / "s", echo)
        await server.start()
        link = await Link.open(tmp_path / "s")
        with pytest.raises(LinkError, match="no answer"):
            await link.call("SLOW", "0.2", timeout_ms=10)
        assert await link.call("next") == [b"next"]
        assert not link.closed
        link.close()
        await server.stop()
    run(body())


def test_a_link_without_an_other_end(tmp_path):
    async def body():
        with pytest.raises(LinkError, match="cannot connect"):
            await Link.open(tmp_path / "nobody")
    run(body())


def test_a_link_that_breaks_fails_every_waiting_call(tmp_path):
    async def serve(reader, writer):
        await reader.read(10)
        writer.close()

    async def body():
        server = await asyncio.start_unix_server(serve, tmp_path / "s")
        link = await Link.open(tmp_path / "s")
        results = await asyncio.gather(link.call("A"), link.call("B"), return_exceptions=True)
        assert all(isinstance(result, LinkError) for result in results)
        assert link.closed
        with pytest.raises(LinkError):
            await link.call("C")
        server.close()
    run(body())


@pytest.mark.parametrize("turns", range(4))
def test_a_link_that_was_reset_says_so_before_its_reader_has_heard(tmp_path, turns):
    """The loop closes the transport of a dead peer some turns before the link's reader runs."""
    async def body():
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "s"))
            listener.listen()
            link = await Link.open(tmp_path / "s")
            peer, _ = listener.accept()
            waiting = asyncio.ensure_future(link.call("never read"))
            await asyncio.sleep(0.01)
            peer.close()
            for _ in range(turns):
                await asyncio.sleep(0)
            for answer in await asyncio.gather(waiting, link.call("N"), link.call("N"), return_exceptions=True):
                assert isinstance(answer, LinkError), answer
    run(body())


@pytest.mark.parametrize("turns", range(4))
def test_a_caller_that_is_gone_when_its_answer_comes(tmp_path, turns):
    troubles = []

    async def body():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        asked, answer = asyncio.Event(), asyncio.Event()

        async def late(words):
            asked.set()
            await answer.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
            return words
        server = Server(tmp_path / "s", late)
        await server.start()
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(tmp_path / "s"))
            caller.setblocking(False)
            caller.send(encode_command("one") + encode_command("two"))
            await asked.wait()
        answer.set()
        await asyncio.sleep(0.05)
        await server.stop()
    run(body())
    gc.collect()    # a task whose error nobody fetched says so when it is freed
    assert not troubles


@pytest.mark.parametrize("junk", [b"HTTP/1.1 200 OK\r\n", b"+one\r\n+too many\r\n"])
def test_a_link_to_something_else_closes(tmp_path, junk):
    async def serve(reader, writer):
        await reader.read(10)
        writer.write(junk)
        await reader.read()
        writer.close()

    async def body():
        server = await asyncio.start_unix_server(serve, tmp_path / "s")
        link = await Link.open(tmp_path / "s")
        await asyncio.gather(link.call("A", timeout_ms=5000), return_exceptions=True)
        while not link.closed:
            await asyncio.sleep(0.01)
        server.close()
    run(body())


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n", b":5\r\n", b"*0\r\n", b"*1\r\n:5\r\n"])
def test_the_server_tells_a_stranger_and_hangs_up(tmp_path, junk):
    async def body():
        server = Server(tmp_path / "s", echo)
        await server.start()
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(junk)
        assert (await reader.read()).startswith(b"-ERR Protocol error")
        writer.close()
        await server.stop()
    run(body())


def test_unknown_commands_get_redis_error():
    assert encode_reply(reject([b"GET", b"x"])).startswith(b"-ERR unknown command 'GET', with args beginning with: 'x'")


def test_json_replies_are_compact():
    assert json_bulk({"a": [1, 2]}) == b'{"a":[1,2]}'


def test_statuses_come_back_as_statuses():
    assert Decoder().feed(encode_reply(Simple("PONG"))) == ["PONG"]
    assert Decoder().feed(encode_command("PING")) == [[b"PING"]]
