"""Gates: what keeps commands of all clients from running for a time, whatever their arguments.

    loading         the data is being read: only commands with the flag `loading` run           -LOADING
    writes_denied   the disk refuses what must be kept: no writes, and PING tells               -MISCONF
    paused          CLIENT PAUSE: commands wait instead (net.pause says when it is over)

Owns: these states, and who waits for a pause's end. Does not own who sets them (engine.loading, engine.persistence,
net.pause), or the other checks of a command (engine.dispatch, which derives from this and asks).

Invariant: `shut` is whether any command may be refused here: one test for the hot path.
"""
import cython
from cython.cimports.libc.stdint import uint32_t
from cython.cimports.shardd.commands.registry import CMD_LOADING, CMD_WRITE
from cython.cimports.shardd.engine.delivery import Delivery
from cython.cimports.shardd.net.client import Client

from shardd.base import errors


@cython.cclass
class Gates(Delivery):
    """What may run now, of one engine."""

    @property
    def loading(self) -> bool:
        """Whether the data is being loaded."""
        return self.is_loading

    @loading.setter
    def loading(self, loading: bool) -> None:
        self.is_loading = loading
        self.shut = self.is_loading or self.denied is not None

    @property
    def writes_denied(self) -> bytes | None:
        """The error that writes and PING get, None: they run."""
        return self.denied

    @writes_denied.setter
    def writes_denied(self, text: bytes | None) -> None:
        self.denied = text
        self.shut = self.is_loading or self.denied is not None

    @cython.cfunc
    def refusal(self, flags: uint32_t, queued: uint32_t, is_ping: cython.bint) -> bytes:
        """The error of a command, None: it may run. flags: its; queued: for EXEC, the flags of what it would run, any
        of them; is_ping: it is PING, by which clients ask whether all is well."""
        if self.denied is not None and ((flags | queued) & CMD_WRITE or is_ping):
            return self.denied
        if self.is_loading and not flags & CMD_LOADING:
            return errors.LOADING
        return None

    def resume_postponed(self) -> None:
        """A pause is over, or less strict: everybody's next command may try again."""
        waiting = list(self.postponed.values())
        self.postponed.clear()
        for client in waiting:
            client.transport.resume_reading()

    def forget_postponed(self, client: Client) -> None:
        """A connection is gone."""
        self.postponed.pop(client.id, None)
