"""Keyspace events: two servers publish the same ones, in the same order, for the same commands.

A subscriber listens to everything on each server. Behind each command the client publishes its number on a channel of
its own, so that the events of one command lie between two numbers, and a difference is that of one command.
"""

from collections.abc import Callable, Sequence

from differential.episode import CHUNK, START, Command, Difference, show
from harness import Conn

EVERYTHING = "KEAmn"
MARK = b"the command that ran"
Event = tuple[bytes, bytes]


class Watched:
    """One server: a connection that runs commands, and one that listens."""

    def __init__(self, connect: Callable[[], Conn]) -> None:
        self.runner, self.listener = connect(), connect()
        # what is due goes with the command that comes upon it, and with nothing else
        self.runner.must("DEBUG", "SET-ACTIVE-EXPIRE", "0")
        self.runner.must("CONFIG", "SET", "notify-keyspace-events", EVERYTHING)
        self.listener("PSUBSCRIBE", "__key*__:*")
        self.listener("SUBSCRIBE", MARK)

    def close(self) -> None:
        self.runner.must("CONFIG", "SET", "notify-keyspace-events", "")
        self.runner.must("DEBUG", "SET-ACTIVE-EXPIRE", "1")
        self.runner.close()
        self.listener.close()

    def run(self, commands: Sequence[Command]) -> list[list[Event]]:
        """The events of each command: (channel, message)."""
        marked = [word for number, command in enumerate(commands)
                  for word in (command, (b"PUBLISH", MARK, b"%d" % number))]
        self.runner.many(*marked)
        heard: list[list[Event]] = [[] for _ in commands]
        at = 0
        while at < len(commands):
            message = self.listener.next()
            channel, text = message[-2:]
            if channel == MARK:
                assert int(text) == at
                at += 1
            else:
                heard[at].append((channel, text))
        return heard


class EventPair:
    """A server of ours and the real Redis."""

    def __init__(self, ours: Callable[[], Conn], theirs: Callable[[], Conn]) -> None:
        self.ours, self.theirs = Watched(ours), Watched(theirs)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def run(self, commands: Sequence[Command]) -> Difference | None:
        """Runs the commands from empty servers; the first command whose events differ, or None."""
        for watched in (self.ours, self.theirs):
            for command in START:
                watched.runner.must(*command)
        for start in range(0, len(commands), CHUNK):
            part = commands[start:start + CHUNK]
            told = zip(part, self.ours.run(part), self.theirs.run(part), strict=True)
            for at, (command, mine, real) in enumerate(told):
                if command[0].upper().startswith(b"SORT"):      # a set's members, and so what they name, in any order
                    mine, real = sorted(mine), sorted(real)
                if mine != real:
                    return Difference(start + at, f"{show(command)}: ours tells {mine}, Redis {real}")
        return None
