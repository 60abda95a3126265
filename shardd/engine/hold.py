"""A hold: for a moment the engine runs the commands of one connection only.

A proxy needs it for a command whose keys lie on several engines (MSETNX, RENAME, COPY): it takes a hold on each of
them, in ascending order, so that two proxies never wait for each other; reads, decides, writes; and releases.

    SHARDD HOLD ms     +OK; from then on what other connections sent stays where it is, unread or not yet run
    ...                commands of the holder, HOLD among them: so long from then on
    SHARDD RELEASE     +OK, or an error where the hold was over before

Owns: who holds, what values of other engines it has lent us (engine.guests), who was held back, and the end of a hold:
the release, the holder's connection lost, or its time over. Does not own the check before each read (session).

Who is held back is parsed no further, and goes on in the order of arrival. A second HOLD is a command like any other,
so it waits for the first one's end. A holder whose time is over has every command but RELEASE refused: what it wanted
to be one step must not go on as several.

Invariant: nobody is held back while nobody holds.
"""
from shardd.base import errors, limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.engine.dispatch import Dispatcher
from shardd.engine.guests import Guests
from shardd.net.client import Client, ClientFlag


class Hold:
    """The hold of one engine. It is `dispatcher.hold`; `dispatcher.holder` says who has it."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._held_back: list[Client] = []
        self._until_ms = 0      # monotonic
        self.guests: dict[Client, Guests] = {}
        self.taken = 0
        self.timed_out = 0

    def take(self, client: Client, time_ms: int) -> None:
        """From now on `client` alone is served, for time_ms at most. CommandError where that is out of range."""
        if not 0 < time_ms <= limits.HOLD_MS_MAX:
            raise CommandError(errors.HOLD_TIME)
        self._until_ms = mono_ms() + time_ms
        self._dispatcher.holder = client
        self.taken += 1

    def hold_back(self, client: Client) -> None:
        """What this client sent waits until the hold ends."""
        client.transport.pause_reading()
        self._held_back.append(client)

    def release(self, client: Client) -> None:
        """The holder is done. CommandError where it does not hold (any more)."""
        client.flags &= ~ClientFlag.HOLD_LOST
        self.guests.pop(client, None)
        if self._dispatcher.holder is not client:
            raise CommandError(errors.HOLD_OVER)
        self._end()

    def lost(self, client: Client) -> None:
        """A connection is gone: where it held, the hold is over."""
        self.guests.pop(client, None)
        if self._dispatcher.holder is client:
            self._end()

    def check(self) -> None:
        """Cron: end a hold whose time is over."""
        holder = self._dispatcher.holder
        if holder is not None and mono_ms() >= self._until_ms:
            holder.flags |= ClientFlag.HOLD_LOST
            self.timed_out += 1
            self.guests.pop(holder, None)
            self._end()

    def _end(self) -> None:
        self._dispatcher.holder = None
        held_back, self._held_back = self._held_back, []
        for client in held_back:
            if client.transport is not None:
                client.transport.resume_reading()
