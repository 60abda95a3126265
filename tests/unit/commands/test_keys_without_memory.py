"""Key commands whose memory cannot be met: -OOM, and nothing has changed."""
import pytest

from harness.resp import Error
from shardd.structures import alloc
from unit.inproc import Engine

SLOT_TABLES = 1 << 20      # bytes that a database's first key takes besides its own
OOM = Error("OOM not enough memory for this value")


@pytest.fixture
def engine():
    engine = Engine("--databases", "2")
    # bigger than any small class, so that each takes memory of its own; {t} fills its table's only bucket
    engine("SET", "{t}plain", "p" * 5000, "PXAT", 4_000_000_000_000)
    engine("APPEND", "{t}heap", "h" * 5000)
    engine("APPEND", "{t}heap", "h" * 5000)
    for n in range(5):
        engine("SET", f"{{t}}{n}", "v")
    yield engine
    alloc.set_limit(0)


@pytest.mark.parametrize("command", [
    "RENAME {t}plain {t}fresh", "RENAME {t}heap {t}fresh", "RENAME {t}heap {t}0", "RENAMENX {t}heap {t}fresh",
    "COPY {t}plain {t}fresh", "COPY {t}heap {t}fresh", "COPY {t}heap {t}0 REPLACE", "COPY {t}heap {t}heap DB 1",
    "MOVE {t}plain 1", "MOVE {t}heap 1", "PERSIST {t}plain", "PEXPIREAT {t}heap 4000000000000"])
def test_nothing_changes(engine, command):
    engine.follow()
    before = engine.content()
    refused = 0
    for room in (*range(0, 20_000, 256), *range(SLOT_TABLES, SLOT_TABLES + 20_000, 256)):
        alloc.set_limit(alloc.used_memory() + room or 1)
        reply = engine(*command.split())
        alloc.set_limit(0)
        if reply != OOM:
            break
        refused += 1
        assert engine.content() == before
        assert engine.effects() == []
        engine.check()
    assert not isinstance(reply, Error), reply
    assert engine.content() != before
    assert len(engine.effects()) == 1
    engine.check()
    used = alloc.used_memory()
    for name in ("{t}plain", "{t}heap", "{t}fresh"):
        engine("DEL", name)
    engine.check()
    assert alloc.used_memory() < used
    if "heap" in command:
        assert refused > 0, "the test has met no refusal"
