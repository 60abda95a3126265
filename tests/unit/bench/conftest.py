"""bench is run from the source tree as well: that comes last on the path, after a variant's packages. Its servers get
their ports where those of all tests do."""
import sys

import pytest

from harness import build, servers

if str(build.ROOT) not in sys.path:
    sys.path.append(str(build.ROOT))


@pytest.fixture(autouse=True)
def ports(monkeypatch):
    monkeypatch.setattr("bench.servers.free_port", servers.free_port)
    monkeypatch.setattr("bench.behind.free_port", servers.free_port)
