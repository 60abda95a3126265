"""Numbers for people, and back. Pure."""

from typing import Final

from shardd.base.option_types import parse_memory

_UNITS: Final = ("B", "K", "M", "G", "T")


def human_bytes(n: float | None) -> str | None:
    """1536 -> "1.5K": one decimal is enough for a column."""
    if n is None:
        return None
    value = float(n)
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            return f"{n:.0f}B" if unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError


def human_count(n: float | None) -> str | None:
    """1234567 -> "1.23M", 999 -> "999": three digits, in thousands."""
    if n is None:
        return None
    value = float(n)
    for unit in ("", "k", "M", "G"):
        if abs(value) < 999.5 or unit == "G":
            if not unit:
                return f"{value:.0f}" if value == int(value) or value >= 100 else f"{value:.1f}"
            return f"{value:.{max(0, 2 - len(str(int(abs(value)))) + 1)}f}{unit}"
        value /= 1000
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


def human_us(us: float | None) -> str | None:
    """Microseconds in the unit that keeps three digits: 12.3 us, 4.56 ms, 1.20 s."""
    if us is None:
        return None
    for unit, size in (("us", 1.0), ("ms", 1e3), ("s", 1e6)):
        if us < 999.5 * size or unit == "s":
            value = us / size
            return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f} {unit}"
    raise AssertionError


def percent(part: float, whole: float) -> float | None:
    """`part` of `whole` in per cent, with one decimal; None where there is no whole."""
    return round(100 * part / whole, 1) if whole else None


def number(text: str) -> float:
    """The inverse: "1.5" or, as redis.conf writes sizes, "64mb". Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        size = parse_memory(text)
        if size is None:
            raise ValueError(f"{text!r} is no number") from None
        return size


def plural(n: int, what: str) -> str:
    """1, "engine" -> "1 engine"; 2, "proxy" -> "2 proxies"."""
    if n == 1:
        return f"1 {what}"
    if what.endswith("y") and what[-2] not in "aeo":
        return f"{n} {what[:-1]}ies"
    return f"{n} {what}es" if what.endswith("s") else f"{n} {what}s"
