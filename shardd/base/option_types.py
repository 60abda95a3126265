"""The kinds of configuration values: how a kind reads, checks and prints a value.

Owns: one class per kind. Does not own which options exist (base.option_table) nor files and command lines
(base.options). Every kind has the same three functions:

    parse(words)      the words after the option's name -> a Python value; raises ConfigError with the reason
    text(value)       what CONFIG GET answers
    lines(value)      the arguments of each line that a configuration file needs for it

Reasons are Redis's texts, since CONFIG SET sends them to clients.
"""

import os
import re

from shardd.base.errors import ConfigError
from shardd.base.limits import HOST_NAME_BYTES_MAX, UNIX_SOCKET_PATH_BYTES_MAX

Value = bool | int | str | tuple | dict

_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}


def parse_memory(text: str) -> int | None:
    """Bytes of "100mb", "1k" (1000), "1kb" (1024) ...; None where the text or the unit makes no sense. "" is 0, as in
    Redis."""
    match = re.fullmatch(r"(\d+)([a-z]*)", text.lower() or "0", re.ASCII)
    if match is None or match[2] not in _UNITS:
        return None
    return int(match[1]) * _UNITS[match[2]]


def parse_int(text: str) -> int | None:
    """A decimal integer of 64 bits without blanks, plus sign or leading zeros."""
    if not re.fullmatch(r"0|-?[1-9]\d{0,18}", text, re.ASCII) or not -2**63 <= int(text) < 2**63:
        return None
    return int(text)


def short(number: float) -> str:
    """A number with up to six decimals, as Redis shows percentiles."""
    return f"{number:f}".rstrip("0").rstrip(".")


def quoted(word: str) -> str:
    """`word` as a configuration file has to write it: in double quotes where blanks or control characters need it."""
    if word and re.fullmatch(r"[!#-&(-\[\]-~]+", word) and not word.startswith("#"):
        return word
    escapes = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b"}
    shown = []
    for char in word:
        if char in escapes:
            shown.append(escapes[char])
        elif char < " " or char == "\x7f":
            shown.append(f"\\x{ord(char):02x}")
        else:
            shown.append(char)
    return '"' + "".join(shown) + '"'


class Kind:
    """One word per value unless a subclass takes several."""

    many_words = False
    accumulates = False
    """Whether repeated lines add to each other instead of replacing."""

    def parse(self, words: list[str]) -> Value:
        """Raises ConfigError, its message the reason alone."""
        raise NotImplementedError

    def text(self, value: Value) -> str:
        return str(value)

    def lines(self, value: Value) -> list[str]:
        return [quoted(self.text(value))]

    def merge(self, before: Value, after: Value) -> Value:
        """The value of a repeated line, for the kinds that accumulate."""
        return after


class Bool(Kind):
    def parse(self, words: list[str]) -> bool:
        if words[0].lower() not in ("yes", "no"):
            raise ConfigError("argument must be 'yes' or 'no'")
        return words[0].lower() == "yes"

    def text(self, value: Value) -> str:
        return "yes" if value else "no"


class Int(Kind):
    """A decimal integer from low to high, both included."""

    def __init__(self, low: int = 0, high: int = 2**31 - 1) -> None:
        self.low, self.high = low, high

    def read(self, word: str) -> int:
        value = parse_int(word)
        if value is None:
            raise ConfigError("argument couldn't be parsed into an integer")
        return value

    def parse(self, words: list[str]) -> int:
        value = self.read(words[0])
        if not self.low <= value <= self.high:
            raise ConfigError(f"argument must be between {self.low} and {self.high} inclusive")
        return value


class Clamped(Int):
    """An integer of 31 bits that is moved into the range instead of refused, as Redis does with hz."""

    def parse(self, words: list[str]) -> int:
        return min(max(Int().parse(words), self.low), self.high)


class Memory(Int):
    """Bytes, with a unit: 1k is 1000, 1kb is 1024, likewise m, mb, g, gb."""

    def __init__(self, low: int = 0, high: int = 2**63 - 1, floor: int = 0) -> None:
        """floor: what a smaller value, though accepted, becomes."""
        super().__init__(low, high)
        self.floor = floor

    def parse(self, words: list[str]) -> int:
        return max(super().parse(words), self.floor)

    def read(self, word: str) -> int:
        value = parse_memory(word)
        if value is None:
            raise ConfigError("argument must be a memory value")
        return value

    def lines(self, value: Value) -> list[str]:
        for unit in ("gb", "mb", "kb"):
            if value and value % _UNITS[unit] == 0:
                return [f"{value // _UNITS[unit]}{unit}"]
        return [str(value)]


class MemoryOrPercent(Memory):
    """Bytes as in Memory, or a percentage up to 100 of something else, which is a negative number here."""

    def __init__(self, high: int = 2**63 - 1) -> None:
        super().__init__(-100, high, -100)

    def read(self, word: str) -> int:
        if percentage := re.fullmatch(r"(\d{1,18})%", word, re.ASCII):
            if int(percentage[1]) > 100:
                raise ConfigError("percentage argument must be less or equal to 100")
            return -int(percentage[1])
        value = parse_memory(word)
        if value is None:
            raise ConfigError("argument must be a memory or percent value")
        return value

    def text(self, value: Value) -> str:
        return f"{-value}%" if isinstance(value, int) and value < 0 else str(value)

    def lines(self, value: Value) -> list[str]:
        return [self.text(value)] if isinstance(value, int) and value < 0 else super().lines(value)


class Octal(Int):
    """File permissions."""

    def read(self, word: str) -> int:
        if not re.fullmatch(r"[0-7]+", word):
            raise ConfigError("argument couldn't be parsed into an integer")
        return int(word, 8)

    def text(self, value: Value) -> str:
        return f"{value:o}"


class AutoInt(Int):
    """An integer, or the word auto, which reads as 0."""

    def parse(self, words: list[str]) -> int:
        if words[0].lower() == "auto":
            return 0
        return super().parse(words)

    def text(self, value: Value) -> str:
        return str(value) if value else "auto"


class Enum(Kind):
    def __init__(self, *choices: str) -> None:
        self.choices = choices

    def parse(self, words: list[str]) -> str:
        if words[0].lower() not in self.choices:
            raise ConfigError("argument(s) must be one of the following: " + ", ".join(self.choices))
        return words[0].lower()


class Flags(Kind):
    """Words from `choices` in any number and order, or "default" for none; `apart`: two that exclude each other."""

    many_words = True

    def __init__(self, *choices: str, apart: tuple[str, str], reason: str) -> None:
        """reason: the text where both words of `apart` are there."""
        self.choices, self.apart, self.reason = choices, apart, reason

    def parse(self, words: list[str]) -> tuple[str, ...]:
        chosen = {word.lower() for word in words}
        if not chosen <= {"default", *self.choices}:
            raise ConfigError("argument(s) must be one of the following: " + ", ".join(("default", *self.choices)))
        if chosen >= set(self.apart):
            raise ConfigError(self.reason)
        return tuple(word for word in self.choices if word in chosen)

    def text(self, value: Value) -> str:
        return " ".join(value) or "default"

    def lines(self, value: Value) -> list[str]:
        return [self.text(value)]


class String(Kind):
    def parse(self, words: list[str]) -> str:
        if "\0" in words[0]:
            raise ConfigError("argument contains a NUL")
        return words[0]


class KeyEvents(Kind):
    """notify-keyspace-events: letters, each once, in Redis's order."""

    classes = "g$lshzxetdn"
    all_classes = frozenset("g$lshzxetd")
    """What A stands for."""

    def parse(self, words: list[str]) -> str:
        letters = set(words[0])
        if not letters <= set(self.classes) | set("AKEm"):
            raise ConfigError("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")
        if "A" in letters or letters >= self.all_classes:
            letters = letters - self.all_classes | {"A"}
        return "".join(letter for letter in "A" + self.classes + "KEm" if letter in letters)

    def text(self, value: Value) -> str:
        """As Redis, which does not show n beside A; a file gets it."""
        return value.replace("n", "") if "A" in value else value

    def lines(self, value: Value) -> list[str]:
        return [quoted(value)]


class HostName(String):
    """A host name to announce, empty for none."""

    def parse(self, words: list[str]) -> str:
        if len(words[0]) > HOST_NAME_BYTES_MAX:
            raise ConfigError(f"Hostnames must be less than {HOST_NAME_BYTES_MAX + 1} characters")
        if not re.fullmatch(r"[0-9A-Za-z.-]*", words[0]):
            raise ConfigError("Hostnames may only contain alphanumeric characters, hyphens or dots")
        return words[0]


class Address(String):
    """An address to announce, empty for none: it stands in lines of blanks and commas, so it has none."""

    def parse(self, words: list[str]) -> str:
        if not re.fullmatch(r"[0-9A-Za-z.:%_-]*", words[0]) or len(words[0]) > HOST_NAME_BYTES_MAX:
            raise ConfigError("argument must be an address")
        return words[0]


class TitleTemplate(String):
    """proc-title-template: text with variables in braces."""

    variables = {"title", "listen-addr", "server-mode", "port", "tls-port", "unixsocket", "config-file"}

    def parse(self, words: list[str]) -> str:
        if not words[0] or not {*re.findall(r"\{([^}]*)", words[0])} <= self.variables or words[0].count(
                "{") != len(re.findall(r"\{[^}]*\}", words[0])):
            raise ConfigError("template format is invalid or contains unknown variables")
        return super().parse(words)


class FileName(String):
    """A file's name without a directory."""

    def parse(self, words: list[str]) -> str:
        if "/" in words[0] or not words[0]:
            raise ConfigError("argument can't be a path or empty, just a filename")
        return super().parse(words)


class Directory(String):
    """A directory that exists; the value is its absolute path, so that it holds after a chdir."""

    def parse(self, words: list[str]) -> str:
        path = os.path.abspath(words[0])
        if not os.path.isdir(path):
            raise ConfigError("not a directory" if os.path.exists(path) else "No such file or directory")
        return path


class SocketPath(String):
    """The path of a Unix socket, empty for none."""

    def parse(self, words: list[str]) -> str:
        if len(words[0].encode()) > UNIX_SOCKET_PATH_BYTES_MAX:
            raise ConfigError(f"unix socket path too long, must be under {UNIX_SOCKET_PATH_BYTES_MAX + 1} bytes")
        return super().parse(words)


class Words(Kind):
    """Up to `most` words; the value is a tuple of str."""

    many_words = True

    def __init__(self, most: int) -> None:
        self.most = most

    def parse(self, words: list[str]) -> tuple[str, ...]:
        if words == [""]:
            return ()
        if len(words) > self.most:
            raise ConfigError(f"too many arguments, at most {self.most}")
        return tuple(words)

    def text(self, value: Value) -> str:
        return " ".join(value)

    def lines(self, value: Value) -> list[str]:
        return [" ".join(quoted(word) for word in value) or '""']


class Percentiles(Kind):
    """Percentiles from 0 to 100: a tuple of float."""

    many_words = True

    def parse(self, words: list[str]) -> tuple[float, ...]:
        if words == [""]:
            return ()
        # what strtod takes, but for NaN and blanks; and Python would take underscores
        if not all(re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?inf(inity)?", word, re.I | re.A)
                   for word in words):
            raise ConfigError("Invalid latency-tracking-info-percentiles parameters")
        values = tuple(float(word) for word in words)
        if not all(0 <= value <= 100 for value in values):
            raise ConfigError("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]")
        return values

    def text(self, value: Value) -> str:
        return " ".join(short(number) for number in value)

    def lines(self, value: Value) -> list[str]:
        return [self.text(value) or '""']


class Save(Kind):
    """Points of `save`: a tuple of (seconds, changes); () for never."""

    many_words = True
    accumulates = True

    def parse(self, words: list[str]) -> tuple[tuple[int, int], ...]:
        if words == [""]:
            return ()
        if len(words) % 2:
            raise ConfigError("Invalid save parameters")
        numbers = [parse_int(word) for word in words]
        points = tuple(zip(numbers[::2], numbers[1::2]))
        if any(seconds is None or changes is None or seconds < 1 or changes < 0 for seconds, changes in points):
            raise ConfigError("Invalid save parameters")
        return points

    def merge(self, before: Value, after: Value) -> Value:
        return before + after if after else ()

    def text(self, value: Value) -> str:
        return " ".join(f"{seconds} {changes}" for seconds, changes in value)

    def lines(self, value: Value) -> list[str]:
        return [f"{seconds} {changes}" for seconds, changes in value] or ['""']


class BufferLimits(Kind):
    """client-output-buffer-limit: {class: (hard bytes, soft bytes, soft seconds)} for normal, replica and pubsub.

    A line names one class or several and leaves the others as they are.
    """

    many_words = True
    accumulates = True
    classes = {"normal": "normal", "slave": "replica", "replica": "replica", "pubsub": "pubsub"}

    def parse(self, words: list[str]) -> dict[str, tuple[int, int, int]]:
        if words == [""]:
            return {}
        if len(words) % 4:
            raise ConfigError("Wrong number of arguments in buffer limit configuration.")
        limits = {}
        for place in range(0, len(words), 4):
            name = self.classes.get(words[place].lower())
            if name is None:
                raise ConfigError("Invalid client class specified in buffer limit configuration.")
            hard, soft = parse_memory(words[place + 1]), parse_memory(words[place + 2])
            seconds = parse_int(words[place + 3])
            if hard is None or soft is None or seconds is None or seconds < 0:
                raise ConfigError("Error in hard, soft or soft_seconds setting in buffer limit configuration.")
            limits[name] = (hard, soft, seconds)
        return limits

    def merge(self, before: Value, after: Value) -> Value:
        return before | after

    def text(self, value: Value) -> str:
        shown = {"replica": "slave"}
        return " ".join(f"{shown.get(name, name)} {hard} {soft} {seconds}"
                        for name, (hard, soft, seconds) in value.items())

    def lines(self, value: Value) -> list[str]:
        memory = Memory()
        return [f"{name} {memory.lines(hard)[0]} {memory.lines(soft)[0]} {seconds}"
                for name, (hard, soft, seconds) in value.items()]
