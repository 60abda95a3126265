"""Tables in Markdown that also read well as plain text, the numbers in them, and the same as JSON."""
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NONE = "-"


def markdown(headers: Sequence[str], rows: Sequence[Sequence[Any]], right: Iterable[int] = ()) -> str:
    """An aligned table. right: the columns that stand to the right. None shows as "-"; a "|" in a cell is escaped."""
    texts = [[NONE if cell is None else str(cell).replace("|", "\\|") for cell in row] for row in [headers, *rows]]
    widths = [max(3, *(len(row[i]) for row in texts)) for i in range(len(headers))]
    to_right = set(right)
    lines = ["| " + " | ".join(cell.rjust(width) if i in to_right else cell.ljust(width)
                               for i, (cell, width) in enumerate(zip(row, widths))) + " |" for row in texts]
    rule = ["-" * (width + 1) + ":" if i in to_right else "-" * (width + 2) for i, width in enumerate(widths)]
    return "\n".join([lines[0], "|" + "|".join(rule) + "|", *lines[1:]])


def medians(rounds: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Field by field the median of all rounds; None where one of them has none. ValueError without a round."""
    if not rounds:
        raise ValueError("no round")
    found: dict[str, float | None] = {}
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        known = [value for value in values if value is not None]
        found[name] = statistics.median(known) if len(known) == len(values) else None
    return found


def spread_percent(values: Sequence[float]) -> float:
    """How far the rounds lie apart: (largest - smallest) / median, in percent."""
    middle = statistics.median(values)
    return (max(values) - min(values)) / middle * 100 if middle else 0.0


def number(value: float | None, digits: int = 0) -> str:
    """With commas for thousands; "-" for None."""
    return NONE if value is None else f"{value:,.{digits}f}"


def save_json(path: str | None, value: Mapping[str, Any]) -> None:
    """Writes `value` where --json said; nowhere for None. Raises OSError."""
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.write("\n")
