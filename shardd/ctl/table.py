"""Plain text tables and numbers for people. Pure."""

from collections.abc import Sequence
from typing import Any

UNKNOWN = "-"


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, two blanks apart: numbers to the right, all else to the left. None shows as "-"."""
    right = [bool(rows) and all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
             for i in range(len(headers))]
    texts = [[UNKNOWN if cell is None else str(cell) for cell in row] for row in rows]
    widths = [max([len(headers[i]), *(len(row[i]) for row in texts)]) for i in range(len(headers))]
    lines = []
    for row in [list(headers), *texts]:
        cells = [cell.rjust(width) if to_right else cell.ljust(width)
                 for cell, width, to_right in zip(row, widths, right)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def human_bytes(n: int | None) -> str | None:
    """1536 -> "1.5K": one decimal is enough for a column."""
    if n is None:
        return None
    value = float(n)
    for unit in ("B", "K", "M", "G", "T"):
        if value < 1024 or unit == "T":
            return f"{n}B" if unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError


def human_seconds(seconds: float | None) -> str | None:
    """93784 -> "1d 2h", 75 -> "1m 15s": the two largest units."""
    if seconds is None:
        return None
    left = int(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
