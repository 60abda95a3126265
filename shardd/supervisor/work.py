"""What takes the supervisor more than one cycle and is told in sentences: a reload, a rolling restart.

Owns: that there is one at a time, that it goes on when whoever asked for it has gone, and that the log says what it
did. Does not own what is done (reload.py, rolling.py, backup.py).
"""

import asyncio
import traceback
from collections.abc import AsyncIterator

from shardd.base.errors import CommandError
from shardd.base.log import Log


class Passing(str):
    """A sentence for who waits, not for the log: how far something is at the moment."""


class Work:
    """The desk of one supervisor. under_way: what is done at present, empty for nothing."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.under_way = ""
        self._task: asyncio.Task[None] | None = None

    def begin(self, what: str, steps: AsyncIterator[str]) -> AsyncIterator[str]:
        """Does `steps` and gives what they say as they come; a CommandError that they raise is raised at the end.

        what: "a reload". Raises CommandError where something is under way already.
        """
        if self.under_way:
            raise CommandError(f"BUSY {self.under_way} is under way".encode())
        self.under_way = what
        said: asyncio.Queue[str | CommandError | None] = asyncio.Queue()
        self._task = asyncio.ensure_future(self._do(what, steps, said))
        return _told(said)

    async def _do(self, what: str, steps: AsyncIterator[str], said: "asyncio.Queue[str | CommandError | None]") -> None:
        end: CommandError | None = None
        try:
            async for sentence in steps:
                if not isinstance(sentence, Passing):
                    self._log.notice(sentence)
                said.put_nowait(sentence)
        except CommandError as error:
            self._log.warning(f"{what[0].upper()}{what[1:]} failed: {error}")
            end = CommandError(error.text)
        except Exception as error:      # a defect of ours must not end the tree
            for line in traceback.format_exception(error):
                self._log.warning(line)
            end = CommandError(f"ERR {type(error).__name__}: {error}".encode())
        finally:
            self.under_way = ""
            said.put_nowait(end)


async def _told(said: "asyncio.Queue[str | CommandError | None]") -> AsyncIterator[str]:
    while isinstance(item := await said.get(), str):
        yield item
    if item is not None:
        raise item
