"""What is asked for on supervisor.sock, and the answers; control.py describes the protocol.

Owns: the words of the commands and the form of STATUS. Does not own what they do (main.py, reload.py, rolling.py,
logbook.py).

SHARDD STATUS is a JSON object:

    pid, epoch, stored_epoch, cluster_id, uptime_s, stopping
    cycle       what the latest cycle that did anything did, a sentence
    trouble     sentences about what is wrong with the tree itself
    working     what is under way: "a reload", "a restart of engines", empty for nothing
    pending     what the configuration file says and only a restart makes true: {option, value, origin, command}
    children    one object per engine and proxy (child.py's status(), with the child's own figures)
    draining    the same of proxies whose successor serves, and which let their clients finish
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from shardd.base.clock import mono_ms
from shardd.base.errors import SYNTAX, CommandError
from shardd.supervisor.backup import Backup
from shardd.supervisor.child import ENGINE
from shardd.supervisor.control import json_bulk, reject
from shardd.supervisor.restore import restore
from shardd.supervisor.rolling import Wish
from shardd.wire.values import OK, Simple

_LINES_SHOWN = 100


class Commands:
    """The commands of one supervisor (a main.Supervisor, which lies above)."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor

    async def run(self, words: list[bytes]) -> Any:
        """One request's words -> the reply's value, or the items of a stream. Raises CommandError."""
        supervisor = self._supervisor
        verb = [word.decode("utf-8", "surrogateescape").upper() for word in words]
        if verb == ["PING"]:
            return Simple("PONG")
        if verb == ["SHARDD", "TOPOLOGY"]:
            return supervisor.topology.dumps()
        if verb == ["SHARDD", "STATUS"]:
            return json_bulk(await self._status())
        if verb[0] == "SHUTDOWN" and (len(verb) == 1 or verb[1:] in (["SAVE"], ["NOSAVE"])):
            supervisor.log.warning(f"Told to {' '.join(verb)} over the control socket")
            supervisor.stop(verb[1] == "SAVE" if len(verb) > 1 else None)
            return OK
        if verb[:2] == ["SHARDD", "LOGS"]:
            return self._logs(verb[2:])
        if verb == ["SHARDD", "RELOAD"]:
            return supervisor.reload()
        if verb[:2] == ["SHARDD", "BACKUP"] and len(words) == 3:
            return supervisor.work.begin("a backup", Backup(supervisor).run(Path(os.fsdecode(words[2]))))
        if verb[:2] == ["SHARDD", "RESTORE"] and (len(words) == 3 or verb[3:] == ["REPLACE"]):
            return supervisor.work.begin("a restore", restore(supervisor, Path(os.fsdecode(words[2])), len(words) == 4))
        if verb[:2] == ["SHARDD", "RESTART"]:
            return supervisor.work.begin(f"a restart of {' '.join(verb[2:]).lower()}",
                                         supervisor.rolling.run(Wish.parse(verb[2:])))
        raise reject(words)

    async def _status(self) -> dict[str, Any]:
        supervisor = self._supervisor
        own = supervisor.engines + supervisor.proxies
        leaving = [child for child in supervisor.leaving if child.watch.running]
        facts = await asyncio.gather(*(child.status() for child in own + leaving))
        for child in facts:
            if child["kind"] == ENGINE:
                child["slots"] = supervisor.topology.slot_count(child["id"])
        return {"pid": os.getpid(), "epoch": supervisor.topology.epoch, "stored_epoch": supervisor.stored_epoch,
                "cluster_id": supervisor.topology.cluster_id, "uptime_s": (mono_ms() - supervisor.started_ms) // 1000,
                "stopping": supervisor.stopping, "cycle": supervisor.sentence, "trouble": supervisor.troubles(),
                "working": supervisor.work.under_way, "pending": supervisor.reloading.pending,
                "children": facts[:len(own)], "draining": facts[len(own):]}

    def _logs(self, words: list[str]) -> AsyncIterator[bytes]:
        """LOGS [engine n | proxy n | supervisor | all] [COUNT n] [FOLLOW]"""
        match = re.fullmatch(r"(?:(ENGINE|PROXY) (\d+) |(SUPERVISOR|ALL) )?(?:COUNT (\d+) )?(FOLLOW )?",
                             "".join(f"{word} " for word in words))
        if match is None:
            raise CommandError(SYNTAX)
        kind, index, name, count, follow = match.groups()
        who = f"{kind.lower()} {int(index)}" if kind else None if name in (None, "ALL") else name.lower()
        supervisor = self._supervisor
        if kind and who not in [child.name for child in supervisor.engines + supervisor.proxies]:
            raise CommandError(f"ERR there is no {who}".encode())
        lines = int(count) if count else _LINES_SHOWN
        return supervisor.logbook.follow(who, lines) if follow else _each(supervisor.logbook.tail(who, lines))


async def _each(items: list[bytes]) -> AsyncIterator[bytes]:
    for item in items:
        yield item
