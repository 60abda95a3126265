"""An engine in this process whose append-only file lies in the present directory."""
from pathlib import Path

from shardd.base.clock import mono_us
from unit.inproc import Engine

INCREMENT = "appendonly.aof.1.incr.aof"


class Log:
    """The engine, and what it says."""

    def __init__(self, *options: str) -> None:
        self.engine = Engine("--appendonly", "yes", "--databases", "4", "--enable-debug-command", "yes", *options)
        self.server = self.engine.server
        self.aof = self.server.aof
        self.writer = self.aof.writer
        self.lines: list[str] = []
        self.server.log.set_level("notice")
        self.server.log.tee = lambda line: self.lines.append(line.decode())

    def load(self) -> "Log":
        """Load what is there, after what was here is gone. LoadError."""
        self.engine("FLUSHALL")
        load = self.aof.load()
        while load is not None and not load.step(mono_us() + 20):
            pass
        return self

    def said(self, text: str) -> bool:
        """Whether the log has such a line."""
        return any(text in line for line in self.lines)

    def strings(self) -> dict[bytes, bytes]:
        """Database 0, of strings alone."""
        return {key: self.engine("GET", key) for key in self.engine("KEYS", "*")}


def put(place: Path, *files: tuple[str, str, bytes]) -> None:
    """Files (name, type, content) and their manifest."""
    for name, _, data in files:
        (place / name).write_bytes(data)
    (place / "appendonly.aof.manifest").write_text("".join(
        f"file {name} seq {seq} type {kind}\n" for seq, (name, kind, _) in enumerate(files, 1)))
