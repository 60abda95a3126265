"""What the importer makes of a key before any engine has seen it."""
import pytest

from shardd.base.clock import now_ms
from shardd.engine.importer import Key, _is_due


@pytest.mark.parametrize("expiry_ms, due", [(-1, False), (-2, True), (0, True), (1, True), (4_000_000_000_000, False)])
def test_what_is_due_is_what_a_loader_leaves_out(expiry_ms: int, due: bool) -> None:
    assert _is_due(Key(0, b"k", expiry_ms, -1, -1, b"")) is due
    assert _is_due(Key(0, b"k", now_ms() - 1, -1, -1, b""))
