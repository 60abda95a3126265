"""A configuration file that is read again: what changed is applied where it can be, and said where it cannot.

Owns: the comparison of the file with what it said before, who is told what, and what waits for a restart. Does not own
how a file is read or a value applied (base/options.py).

Compared is what the file and the command line say now with what they said when they were read last: an option that
CONFIG SET has changed keeps its value as long as the file says the same about it. What has changed is

    the live value already        nothing to do: CONFIG REWRITE wrote it
    an option of CONFIG SET       set in the supervisor, then on every proxy and engine (its share of what is shared
                                  out); where one refuses, it is set back everywhere, and nothing has changed
    any other                     said, with the command that makes it come true; `shardctl restart` takes it over for
                                  the children it starts again, unless it concerns the supervisor itself

A mistake in the file is an error that names file and line, and changes nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from shardd.base.errors import CommandError, ConfigError
from shardd.base.option_table import OPTIONS, Option, engine_share
from shardd.base.options import Config
from shardd.supervisor.child import ENGINE, PROXY, Child

_RESTARTS = {frozenset((ENGINE,)): "shardctl restart engines", frozenset((PROXY,)): "shardctl restart proxies",
             frozenset((ENGINE, PROXY)): "shardctl restart all"}
_WHOLE = "stop shardd and start it again (systemctl restart shardd)"


class Reloading:
    """The configuration of one supervisor (a main.Supervisor, which lies above).

    read: reads file and command line again; raises ConfigError.
    """

    def __init__(self, supervisor: Any, read: Callable[[], Config]) -> None:
        self._supervisor, self._read = supervisor, read
        self._said = dict(supervisor.config.values)
        """What file and command line said when they were read last."""
        self._pending: dict[str, Config] = {}
        """Option -> the configuration with the value that waits for a restart."""

    @property
    def pending(self) -> list[dict[str, str]]:
        """What waits for a restart: option, value, where it stands, and the command."""
        return [{"option": name, "value": "" if OPTIONS[name].sensitive else config.get_text(name),
                 "origin": config.origin(name), "command": restart_command(OPTIONS[name])}
                for name, config in self._pending.items()]

    async def run(self) -> AsyncIterator[str]:
        """Reads and applies; yields a sentence for each option. Raises CommandError, with nothing changed."""
        config: Config = self._supervisor.config
        try:
            new = self._read()
        except ConfigError as error:
            raise CommandError(f"ERR {error}; nothing was changed".encode("utf-8", "replace")) from None
        changed = [name for name in OPTIONS if new.values[name] != self._said[name]]
        live = [name for name in changed if applies_live(OPTIONS[name]) and new.values[name] != config.values[name]]
        before = {name: config.get_text(name) for name in live}
        await self._apply(new, before)
        for name in live:
            yield f"{name} was changed" if OPTIONS[name].sensitive else \
                f"{name} is {_shown(config.get_text(name))} now, was {_shown(before[name])}"
        for name in changed:
            if applies_live(OPTIONS[name]):
                continue
            if new.values[name] == config.values[name]:
                if self._pending.pop(name, None):
                    yield f"{name} is {_shown(config.get_text(name))} again: no restart is needed for it"
                continue
            self._pending[name] = new
            yield (f"{name} is {_shown(new.get_text(name))} in {new.origin(name)} and {_shown(config.get_text(name))} "
                   f"in force: it needs a restart: {restart_command(OPTIONS[name])}")
        if not changed:
            yield "Nothing has changed" if new.path else "There is no configuration file, so nothing has changed"
        self._said = dict(new.values)

    def take(self, kinds: Iterable[str]) -> list[str]:
        """All children of these kinds are about to be restarted: what waited for that; sentences."""
        taken = [name for name in self._pending if OPTIONS[name].readers <= set(kinds)]
        config: Config = self._supervisor.config
        sentences = []
        for name in taken:
            config.adopt(name, self._pending.pop(name))
            sentences.append(f"{name} will be {_shown(config.get_text(name))}")
        return sentences

    async def _apply(self, new: Config, before: dict[str, str]) -> None:
        """Sets the options of `before`, which has the present texts, to what `new` says. Raises CommandError."""
        if not before:
            return
        config: Config = self._supervisor.config
        after = {name: new.get_text(name) for name in before}
        try:
            config.set_many(_pairs(after), local=True, trusted=True)
        except CommandError as error:
            raise _refused(new, after, "the supervisor", error) from None
        children = [child for child in self._supervisor.everybody() if child.watch.running]
        refusals = await asyncio.gather(*(child.set_config(self._part(child, after)) for child in children))
        refused = [(child, error) for child, error in zip(children, refusals) if error is not None]
        if not refused:
            for name in before:
                config.adopt(name, new)
            return
        config.set_many(_pairs(before), local=True, trusted=True)
        await asyncio.gather(*(child.set_config(self._part(child, before))
                               for child, error in zip(children, refusals) if error is None))
        raise _refused(new, after, refused[0][0].name, refused[0][1])

    def _part(self, child: Child, values: dict[str, str]) -> dict[str, str]:
        """What one child is told: a proxy all, since it answers CONFIG GET; an engine what it reads, and its share."""
        if child.kind == PROXY:
            return values
        engines = len(self._supervisor.engines)
        return {name: engine_share(name, text, engines, child.index) for name, text in values.items()
                if ENGINE in OPTIONS[name].readers}


def applies_live(option: Option) -> bool:
    """Whether a changed value takes effect without a restart. `dir` would: CONFIG SET accepts it, and nobody moves."""
    return option.mutable and option.name != "dir"


def restart_command(option: Option) -> str:
    """What makes a changed value of the option come true."""
    return _RESTARTS.get(option.readers, _WHOLE)


def _pairs(values: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), text.encode("utf-8", "surrogateescape")) for name, text in values.items()]


def _shown(text: str) -> str:
    return text if text and text.isprintable() else repr(text)


def _refused(new: Config, after: dict[str, str], who: str, error: CommandError) -> CommandError:
    """The error for values that somebody does not take, with the places where they stand."""
    places = ", ".join(f"{new.origin(name)}: {name}" for name in after)
    return CommandError(f"ERR {places}: {who} answers: {error}; nothing was changed".encode("utf-8", "replace"))
