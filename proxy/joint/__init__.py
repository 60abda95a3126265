"""Commands whose keys lie on several engines: what each of them does then. Where they are on one, it goes there as it
came (session).

    held       engines that a command has to itself
    values     a value on its way from engine to engine
    keys       MSETNX, MSETEX, RENAME, RENAMENX, COPY, SWAPDB
    algebra    SINTER and its like, LCS, and all that store what they compute
    sort       SORT, SORT_RO
    moves      SMOVE, LMOVE, RPOPLPUSH, LMPOP, ZMPOP

Does not own what is split and joined without being one step (merge), the hold and the guests (the engine: engine.hold,
engine.guests), or what any of these commands means: that is computed by an engine, or by its smaller commands.

What is one step, and what is not:

- Whoever asks the engines through proxies sees all of a command that writes, or nothing, as long as the engines live.
- Of a command that only reads, each key is what it was at one moment; those of one engine at the same, those of
  different engines some 100 us apart. Where a value is too large for one piece, all engines are held, and it is one
  moment.
- Before the first write, whatever goes wrong leaves everything as it was, and the error says that nothing was executed.
- An engine that dies, or runs out of memory, between the writes:
      MSETNX              what the others have set is deleted again (none of it was there before)
      MSETEX              the same with NX; else what the others have set stays
      RENAME, RENAMENX    the new key is written before the old one is deleted: both may be there, none is lost
      SMOVE, LMOVE        likewise the element: it may be at both places
      SWAPDB              those that have swapped swap back
      all others          write on one engine only, as one effect: all of it or nothing
  Where the engine that died had executed its write, and brings it back from its disk, that write stays.
- An engine that is down when the reply is due has done all or nothing of its part; the error says that it is not known.
"""
from collections.abc import Callable
from typing import Any, Final

from proxy.joint import algebra, keys, moves, sort

HANDLERS: Final[dict[str, Callable[[Any, Any, list[bytes]], Any]]] = (
    keys.HANDLERS | algebra.HANDLERS | moves.HANDLERS | sort.HANDLERS)
"""Full lower-case command name -> what does it where its keys are on several engines."""

TASKS: Final = keys.TASKS
"""Those of them that have no keys, and are done here in any case."""
