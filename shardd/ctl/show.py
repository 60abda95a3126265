"""What shardctl prints: tables by rich on a terminal, plain columns anywhere else, JSON where asked for.

Owns: standard output. Does not own what is in a table, or numbers for people (human.py).

Elsewhere than on a terminal there is no colour, no line drawn, no trailing blank, and no line is wrapped or cut: a row
is a line, its columns at least two blanks apart, so that awk and a diff of two outputs work.
"""

import io
import json
import sys
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TextIO

UNKNOWN: Final = "-"

GOOD, MEDIUM, POOR, FAINT, STRONG = "green", "yellow", "bold red", "dim", "bold"
"""Styles. Nothing is said by colour alone."""

_STATES: Final = {"up": GOOD, "ok": GOOD, "suspect": MEDIUM, "starting": MEDIUM, "loading": MEDIUM, "stopping": MEDIUM}

_PLAIN_COLUMNS: Final = 100_000
"""Width off a terminal: nothing is ever wrapped."""


class Cell(NamedTuple):
    """A table's cell with a style."""

    text: Any
    style: str = ""


def state(text: str | None) -> Cell:
    """A process's state."""
    return Cell(text, _STATES.get(text or "", POOR))


class Screen:
    """Where results go. file: None for standard output; as_json: then `json` is the only thing printed."""

    def __init__(self, as_json: bool = False, file: TextIO | None = None) -> None:
        self.file = file or sys.stdout
        self.as_json = as_json
        self.is_terminal = self.file.isatty() and not as_json
        self._console: Any = None

    def console(self) -> Any:
        """The rich console; made when it is first needed, since JSON needs none."""
        if self._console is None:
            from rich.console import Console

            plain = {} if self.is_terminal else {"width": _PLAIN_COLUMNS, "force_terminal": False, "no_color": True}
            self._console = Console(file=self.file if self.is_terminal else io.StringIO(), highlight=False,
                                    markup=False, emoji=False, soft_wrap=not self.is_terminal, **plain)
        return self._console

    # --- what commands print --------------------------------------------------------------------------------------

    def json(self, value: Any, lines: bool = False) -> None:
        """One JSON value. lines: on one line, for streams of them."""
        text = json.dumps(value) if lines else json.dumps(value, indent=2)
        print(text, file=self.file, flush=lines)

    def line(self, text: Any = "", style: str = "", flush: bool = False) -> None:
        """A line of text."""
        from rich.text import Text

        self._print(Text(clean(str(text)), style=style, no_wrap=not self.is_terminal))
        if flush:
            self.file.flush()

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
        """A table; see `table`."""
        if title:
            self.line(title, STRONG)
        self._print(table(headers, rows, self.is_terminal))

    def _print(self, what: Any) -> None:
        console = self.console()
        console.print(what)
        if not self.is_terminal:
            text = console.file.getvalue()
            console.file.seek(0)
            console.file.truncate()
            print("\n".join(line.rstrip() for line in text.rstrip("\n").split("\n")), file=self.file)


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]], is_terminal: bool) -> Any:
    """A rich table.

    headers: one that starts with ">" stands for a column of numbers, which are aligned on the right. rows: of texts,
    numbers, Cells; None shows as "-".
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD if is_terminal else None, pad_edge=False, show_edge=False,
                 padding=(0, 1 if is_terminal else 2, 0, 0), header_style=STRONG if is_terminal else "")
    for header in headers:
        made.add_column(header.removeprefix(">"), justify="right" if header.startswith(">") else "left",
                        no_wrap=not is_terminal, overflow="fold")
    for row in rows:
        cells = [cell if isinstance(cell, Cell) else Cell(cell) for cell in row]
        made.add_row(*(Text(UNKNOWN if cell.text is None else clean(str(cell.text)).replace("\n", "\\n"),
                            style=cell.style) for cell in cells))
    return made


def clean(text: str) -> str:
    """`text` without anything that a terminal would take for a command: names and keys are what clients made them."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char) & 0xff:02x}" for char in text)
