"""Replies as values: INFO's text, maps that RESP2 sends as flat lists.

Owns: this parsing. Does not own who is asked. Whatever a server leaves out is None or missing here too, never an
invented 0.
"""

from collections.abc import Iterator
from typing import Any, Final

from shardd.commands.info_join import pairs

COMMAND: Final = "cmdstat_"
ERROR: Final = "errorstat_"
PERCENTILES: Final = "latency_percentiles_usec_"


class Info:
    """One process's INFO. Names of fields are unique over the sections, so there is one dict for all."""

    def __init__(self, text: str | bytes) -> None:
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        self.fields: dict[str, str] = {}
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if colon and not line.startswith("#"):
                self.fields[name] = value

    def text(self, name: str) -> str | None:
        """A field as it is."""
        return self.fields.get(name)

    def integer(self, name: str) -> int | None:
        """A field that is a whole number."""
        try:
            return int(self.fields[name])
        except (KeyError, ValueError):
            return None

    def real(self, name: str) -> float | None:
        """A field that is a number."""
        try:
            return float(self.fields[name])
        except (KeyError, ValueError):
            return None

    def prefixed(self, prefix: str) -> Iterator[tuple[str, dict[str, int | float]]]:
        """The rest of each name that starts so, with the numbers of its line: calls=1,usec=24."""
        for name, value in self.fields.items():
            if name.startswith(prefix):
                yield name[len(prefix):], pairs(value)

    @property
    def databases(self) -> dict[int, dict[str, int | float]]:
        """Database -> keys, expires, avg_ttl, of those that have keys."""
        return {int(number): facts for number, facts in self.prefixed("db") if number.isdigit()}

    @property
    def keys(self) -> int:
        """Keys of all databases."""
        return int(sum(facts.get("keys", 0) for facts in self.databases.values()))

    @property
    def cpu_s(self) -> float | None:
        """CPU time of the process; a proxy's INFO adds its engines'."""
        user, system = self.real("used_cpu_user"), self.real("used_cpu_sys")
        return None if user is None or system is None else user + system


def mapping(flat: list[Any]) -> dict[str, Any]:
    """A map that RESP2 sends as names and values in turn."""
    return {text(name): value for name, value in zip(flat[::2], flat[1::2])}


def text(value: Any) -> str:
    """A bulk string as text; bytes that are no UTF-8 survive as surrogates, as in the configuration."""
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
