"""One layout anew, `python relayout_run.py DIR ENGINES [STEP]`, which ends by SIGKILL at that step."""
import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != os.path.dirname(__file__)]

from shardd.cluster.store import FileStore  # noqa: E402
from shardd.cluster.topology import EngineInfo, Topology  # noqa: E402
from shardd.supervisor import relayout  # noqa: E402
from shardd.supervisor.layout import Layout  # noqa: E402

relayout._CONVERT = "fake_convert"
TOOLS = relayout.Tools(str, 2, lambda line: None)


async def start(directory: Path, engines: int, tools: relayout.Tools = TOOLS) -> list[str]:
    """What a supervisor does at its start; the sentences."""
    said: list[str] = []
    with FileStore(directory) as store:
        stored = store.read()
        layout = Layout(directory, said.append)
        home = layout.home(layout.settle(stored.generation if stored else None))
        if stored is not None and len(stored.engines) == engines:
            return said
        infos = [EngineInfo(f"{index + 1:040x}", f"{index + 1:040x}", index) for index in range(engines)]
        wanted = stored.resized(infos) if stored else Topology.even(infos)
        wanted = replace(wanted, generation=home.generation + 1)
        async for sentence in relayout.lay_out(store, layout, stored, wanted, relayout.sources_of(home, stored), tools):
            said.append(sentence)
    return said


if __name__ == "__main__":
    step = sys.argv[3]
    relayout.on_step = lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == step else None
    asyncio.run(start(Path(sys.argv[1]), int(sys.argv[2])))
