"""An engine or a proxy of a few lines that keeps the control protocol and misbehaves on request.

Run by the supervisor as `python -m fake_child CONF` in place of both (tree.py). On its TCP port and Unix socket it
answers:

    PING  CONF (its file)  TOPOLOGY (the JSON it knows)  WHO (role, pid, affinity)  SHUTDOWN
    CONFIGURED <name> <value> ... (as after a CONFIG SET)  TOLD (the options it was told since)
    SAY <words> (a line on its output)
    KEYS <n> (what STATUS says from now on)  GENERATION
    FULL (its disk is: BGSAVE fails from now on)
    SLOW <seconds> (writes for so long before it ends)
    FORK, OVER (asks for a turn, gives it back)  TURNS (how many it was given)
    CRASH (SIGKILL to itself)  EXIT <code>  DEAF (ignores SIGTERM from now on)
    HANG (blocks the loop, until there is a file <dir>/awake)

The environment's FAKE_FAIL names children ("engine 1,proxy 0") that exit with 3 before they are ready, FAKE_LOAD those
that say that they load and are ready when there is a file <dir>/loaded. What FAKE_REFUSE names ("proxy 0") refuses
SHARDD CONFIG. A file <dir>/fail names children that fail from now on.
"""

import asyncio
import json
import os
import shlex
import signal
import socket
import sys
import time

from shardd.base import child as bond
from shardd.base.errors import CommandError
from shardd.net.listen import ControlSocket, tcp_port
from shardd.wire.plain import Decoder, encode_reply
from shardd.wire.values import OK, Simple


class ControlListener:
    """Takes a predecessor's place as net.listen.ControlSocket does, which wants a reactor."""

    def __init__(self, path: str) -> None:
        real = ControlSocket(self, path, 10, len)
        assert real.path == path

    def listen(self, sock: socket.socket, factory: object, backlog: int) -> "ControlListener":
        self.sock = sock
        return self


class Fake:
    def __init__(self, conf_path: str) -> None:
        self.text = open(conf_path).read()
        words = [shlex.split(line) for line in self.text.splitlines() if line.strip()]
        self.conf = {line[0]: line[1:] for line in words}
        self.stop = asyncio.Event()
        self.topology: dict = {}
        self.told: dict[str, str] = {}
        self.keys = 5
        self.servers: list[asyncio.AbstractServer] = []
        self.clients = 0
        self.parent = bond.adopt(self.stop.set)
        self.name = os.path.basename(conf_path).removesuffix(".conf").replace("-", " ")
        self.role = self.name.split()[0]
        self.port = tcp_port(self.parent.listeners)
        self.dir = os.path.dirname(os.path.dirname(self.parent.control_path))
        self.turns = 0
        self.slow_s = 0.0
        self.saves = "ok"
        self.save: str | None = None

    async def main(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(signum, self.stop.set)
        fail = os.path.join(self.dir, "fail")
        named = os.environ.get("FAKE_FAIL", "") + "," + (open(fail).read() if os.path.exists(fail) else "")
        if self.name in named.split(","):
            sys.exit(3)
        control = ControlListener(self.parent.control_path)
        await asyncio.start_unix_server(lambda r, w: self.serve(r, w, True), sock=control.sock)
        if self.name in os.environ.get("FAKE_LOAD", "").split(","):
            self.parent.loading()
            while not os.path.exists(os.path.join(self.dir, "loaded")):
                await asyncio.sleep(0.01)
        for sock in self.parent.listeners:
            start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
            self.servers.append(await start(lambda r, w: self.serve(r, w, False), sock=sock))
        self.parent.ready(self.port)
        await self.stop.wait()
        if self.role == "engine":
            os.write(1, f"was told to stop: {self.save}\n".encode())
        until = time.monotonic() + self.slow_s
        while time.monotonic() < until:
            with open(os.path.join(self.conf["dir"][0], "slow"), "a") as file:
                file.write("x")
            time.sleep(0.05)
        os._exit(0)

    async def serve(self, reader, writer, control: bool) -> None:
        decoder = Decoder()
        self.clients += not control
        while data := await reader.read(65536):
            for words in decoder.feed(data):
                try:
                    reply = self.answer([word.decode() for word in words], control)
                except CommandError as error:
                    reply = error
                writer.write(encode_reply(reply))
        self.clients -= not control
        if not self.clients and not self.servers:
            self.stop.set()
        writer.close()

    def answer(self, words: list[str], control: bool):
        name = words[0].upper()
        if name == "PING":
            return Simple("PONG")
        if name == "SHARDD" and control:
            return self.shardd(words[1:])
        if name == "CONF":
            return self.text
        if name == "TOPOLOGY":
            return json.dumps(self.topology)
        if name == "WHO":
            return [self.role, os.getpid(), ",".join(map(str, sorted(os.sched_getaffinity(0)))), self.parent.node_id,
                    self.parent.conf_path]
        if name == "SHUTDOWN":
            self.parent.shutdown()
            return OK
        if name == "CONFIGURED":
            return self.parent.configured(dict(zip(words[1::2], words[2::2])))
        if name == "TOLD":
            return json.dumps(self.told)
        if name == "GENERATION":
            return self.parent.generation
        if name == "FULL":
            self.saves = "err"
            return OK
        if name == "BGSAVE" and control:
            return Simple("Background saving started")
        if name == "INFO" and control:
            return f"# Persistence\r\nrdb_bgsave_in_progress:0\r\nrdb_last_bgsave_status:{self.saves}\r\n"
        if name == "SLOW":
            self.slow_s = float(words[1])
            return OK
        if name == "FORK":
            self.parent.fork_turn(self.granted)
            return OK
        if name == "OVER":
            self.parent.fork_over()
            return OK
        if name == "TURNS":
            return self.turns
        if name == "KEYS":
            self.keys = int(words[1])
            return OK
        if name == "SAY":
            os.write(1, " ".join(words[1:]).encode() + b"\n")
            return OK
        if name == "CRASH":
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "EXIT":
            os._exit(int(words[1]))
        if name == "HANG":
            while not os.path.exists(os.path.join(self.dir, "awake")):
                time.sleep(0.005)
            return OK
        if name == "DEAF":
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
            return OK
        raise CommandError(b"ERR unknown")

    def granted(self) -> None:
        self.turns += 1

    def shardd(self, words: list[str]):
        if words[0] == "TOPOLOGY" and len(words) == 2:
            new = json.loads(words[1])
            if new["epoch"] > self.topology.get("epoch", -1):
                self.topology = new
            return OK
        if words[0] == "STATUS":
            return json.dumps({"pid": os.getpid(), "epoch": self.topology.get("epoch"), "keys": self.keys, "clients": 2,
                               "ops": 9, "used_memory_bytes": 2048, "uptime_s": 61, "port": self.port})
        if words[0] == "STOP":
            self.save = words[1]
            return OK
        if words[0] == "DRAIN":
            for server in self.servers:
                server.close()
            self.servers.clear()
            self.told["drain"] = words[1]
            if not self.clients:
                self.stop.set()
            return OK
        if words[0] == "CONFIG" and self.name in os.environ.get("FAKE_REFUSE", "").split(","):
            raise CommandError(b"ERR CONFIG SET failed - not me")
        if words[0] == "CONFIG":
            self.told.update(zip(words[1::2], words[2::2]))
            return OK
        raise CommandError(b"ERR unknown")


if __name__ == "__main__":
    async def start() -> None:
        await Fake(sys.argv[1]).main()

    asyncio.run(start())
