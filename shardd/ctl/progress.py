"""How far something long is: sentences as they come, and a bar where there is a terminal.

Owns: telling the two kinds of lines apart, and showing them. A line "42% of ..." is passing: on a terminal it is a bar
that is drawn anew, elsewhere a line as any other. JSON gets neither; `steps` has all that is not passing.
"""

import re
from typing import Any, Final, Self

from shardd.ctl.show import Screen, clean

_PASSING: Final = re.compile(r"(\d+)% (.*)", re.DOTALL)


class Progress:
    """A context manager. steps: the sentences that stay."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.steps: list[str] = []
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bar()

    def say(self, line: str) -> None:
        """A line, of either kind."""
        match = _PASSING.fullmatch(line)
        if match is None:
            self.steps.append(line)
        if self._screen.as_json:
            return
        if match is not None and self._screen.is_terminal:
            self._draw(int(match[1]), match[2])
            return
        self._end_bar()
        self._screen.line(line, flush=True)

    def _draw(self, percent: int, what: str) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(BarColumn(), TextColumn("{task.percentage:>3.0f}% {task.description}", markup=False),
                            console=self._screen.console(), transient=True)
            self._task = self._bar.add_task("", total=100)
            self._bar.start()
        self._bar.update(self._task, completed=min(100, percent), description=clean(what))

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
