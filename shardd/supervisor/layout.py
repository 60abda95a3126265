"""Where the engines' files are, and which of them hold the data.

Owns: the names below `dir` of everything that engines write, which generation counts, and what becomes of the others at
the start. Does not own what the files are (journal/FORMAT.md), how a new generation is filled (relayout.py), or
topology.json, whose field `generation` names the one that counts (cluster/store.py).

    <dir>/                         locked by the supervisor (cluster/store.py), so two trees never share it
      topology.json                "generation": 2
      data-2/                      mode 0700                          THE DATA
        engine-0/                  mode 0700; the `dir` of engine 0, and its working directory
          engine.lock              held by the engine's process (base/process.py)
          dump.rdb                 as Redis has them: dbfilename,
          appendonlydir/ ...       appenddirname, appendfilename
        engine-1/ ...
      data-3.new/                  being made, for another number of engines or other owners: counts for nothing yet
      data-1.old/                  being removed
      run/                         sockets (control.py)
      dump.rdb, appendonlydir/     what a Redis has left: read at the first start, when there is no data yet, and kept

A generation is the files of one assignment of slots to engines. Another assignment gets other files, beside the old
ones, and one write of topology.json makes it the one that counts: the slots' owners and the generation are in that one
file, so there is no moment in which they disagree.

      data-1     data-1           data-1           data-1          data-1.old
                 data-2.new       data-2.new       data-2          data-2          data-2
      gen. 1     gen. 1           gen. 2           gen. 2          gen. 2          gen. 2
      | ------ filled, synced --- | committed ---- | renamed ----- | retired ----- | removed
      a crash: the old layout     a crash: the new one, and the next start does what is left

Invariants: data-<g>.new is the data where topology.json says g, and else nobody's. data-<g> without suffix exists only
for a generation that was committed. Nothing without a suffix is ever removed, but given the suffix .old first, and only
where a newer generation counts. What cannot be understood stops the start, and nothing is touched.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from shardd.base.errors import ConfigError
from shardd.base.files import sync_directory
from shardd.base.process import ENGINE_LOCK

_NAME = re.compile(r"data-([1-9][0-9]*)(\.new|\.old)?")
_ENGINE = re.compile(r"engine-(0|[1-9][0-9]*)")
_MODE = 0o700


@dataclass(frozen=True)
class Home:
    """The directory of one generation. path: absolute."""

    path: Path
    generation: int

    def engine(self, index: int) -> Path:
        """The directory of engine `index`."""
        return self.path / f"engine-{index}"

    def engines(self) -> list[int]:
        """The indexes of the engines that have a directory, in order. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            return sorted(int(match[1]) for name in os.listdir(self.path) if (match := _ENGINE.fullmatch(name)))
        return []

    def with_data(self) -> list[int]:
        """The indexes of the engines whose directory has a file in it, other than the lock."""
        return [index for index in self.engines() if next(files(self.engine(index)), None) is not None]

    def make(self, engines: int) -> None:
        """Make what is missing of the directories of so many engines. Raises OSError."""
        for path in (self.path, *map(self.engine, range(engines))):
            with contextlib.suppress(FileExistsError):
                path.mkdir(_MODE)
            path.chmod(_MODE)
        sync_directory(self.path)
        sync_directory(self.path.parent)

    def bytes_on_disk(self, index: int) -> int:
        """How much engine `index` has written into its directory so far; what vanishes meanwhile does not count."""
        total = 0
        for path in files(self.engine(index)):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return total


def files(directory: Path) -> Iterator[Path]:
    """Every file below, but an engine's lock."""
    for path, _, names in os.walk(directory):
        yield from (Path(path, name) for name in names if name != ENGINE_LOCK)


class Layout:
    """The generations in one `dir`. say: gets a sentence about each thing that is done to them."""

    def __init__(self, directory: Path, say: Callable[[str], object]) -> None:
        self.directory, self._say = directory, say

    def home(self, generation: int) -> Home:
        """Where the files of a committed generation are."""
        return Home(self.directory / f"data-{generation}", generation)

    def draft(self, generation: int) -> Home:
        """Where the files of a generation are while it is made."""
        return Home(self.directory / f"data-{generation}.new", generation)

    def settle(self, generation: int | None) -> int:
        """Finish, or undo, what a crash has left. Returns the generation that counts.

        generation: what topology.json says, None where there is no such file: then the files alone must tell. Raises
        ConfigError where they and it do not fit, and OSError.
        """
        found = self._found()
        plain = sorted(number for number, suffix in found if not suffix)
        if generation is None:
            if len(plain) > 1:
                raise self._mistake(f"there is no topology.json, and data of the generations {_listed(plain)}: put "
                                    "topology.json back, or move away those that do not count")
            generation = plain[0] if plain else 1
        elif (generation, ".new") in found and generation not in plain:
            self.publish(generation)
        elif generation not in plain and (plain or generation > 1):
            others = f", but data of generation {_listed(plain)}" if plain else ""
            raise self._mistake(f"topology.json says that the data is in data-{generation}, which is not there{others}: "
                                "put back what is missing, or move topology.json away as well")
        if newer := [number for number in plain if number > generation]:
            raise self._mistake(f"topology.json is of generation {generation}, and there is data of the newer "
                                f"{_listed(newer)}: put the topology.json back that belongs to it, or move it away")
        for number in plain:
            if number < generation:
                self.retire(number)
        for number, suffix in found:
            if suffix:
                self._remove(self.directory / f"data-{number}{suffix}")
        return generation

    def begin(self, generation: int, engines: int) -> Home:
        """An empty place for a new generation. Raises OSError."""
        home = self.draft(generation)
        self._remove(home.path)
        home.make(engines)
        return home

    def publish(self, generation: int) -> None:
        """The generation is committed: it gets its name. Raises OSError."""
        os.rename(self.draft(generation).path, self.home(generation).path)
        sync_directory(self.directory)

    def retire(self, generation: int) -> None:
        """A newer generation counts: this one goes. Raises OSError; what is left goes with the next start."""
        old = self.directory / f"data-{generation}.old"
        self._remove(old)
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.home(generation).path, old)
            sync_directory(self.directory)
            self._remove(old)

    def _found(self) -> set[tuple[int, str]]:
        """Generation and suffix of each directory."""
        return {(int(match[1]), match[2] or "") for name in os.listdir(self.directory)
                if (match := _NAME.fullmatch(name)) and (self.directory / name).is_dir()}

    def _remove(self, path: Path) -> None:
        if path.exists():
            self._say(f"{path} is removed: its data is not in use any more" if path.suffix == ".old" else
                      f"{path} is removed: it was not finished")
            shutil.rmtree(path)

    def _mistake(self, reason: str) -> ConfigError:
        return ConfigError(f"dir '{self.directory}': {reason}. Nothing was touched")


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
