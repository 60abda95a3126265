"""The data of a whole tree on disk: where it is, that it is there again, and what happens meanwhile."""

from collections.abc import Iterator

import pytest

from harness import Error
from harness.servers import Server


@pytest.fixture
def tree() -> Iterator[Server]:
    server = Server("tree", enable_protected_configs="yes").start()
    yield server
    server.stop()


def test_the_directory_of_a_tree_is_one_and_stays(tree):
    with tree.conn() as proxy:
        assert proxy("CONFIG", "GET", "dir") == [b"dir", str(tree.dir).encode()]
        refused = proxy("CONFIG", "SET", "dir", "/")
        assert isinstance(refused, Error) and "stop shardd" in str(refused)
        assert proxy("CONFIG", "GET", "dir") == [b"dir", str(tree.dir).encode()]
    for index in range(2):
        assert (tree.dir / "data-1" / f"engine-{index}" / "engine.lock").exists()
