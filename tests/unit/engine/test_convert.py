"""Files of some engines made into those of others: every key where its slot says, with what belongs to it."""
from pathlib import Path

import pytest

from harness.resp import OK
from shardd.base.clock import mono_us
from shardd.base.errors import LoadError
from shardd.base.options import Config
from shardd.base.process import ENGINE_LOCK
from shardd.engine.convert import Converter, ConvertError, slots_of
from shardd.engine.loading import Loading
from shardd.structures.slots import slot_of
from unit.inproc import Engine

LOW, HIGH = "0-8191", "8192-16383"
KEYS = [f"key:{number}" for number in range(300)]


def config_of(directory: Path, **options: str) -> Config:
    directory.mkdir(exist_ok=True)
    return Config({"dir": str(directory)} | {name.replace("_", "-"): text for name, text in options.items()})


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of an engine, with a dump.rdb; it is the working directory, as a converter's is."""
    path = tmp_path / "source"
    path.mkdir()
    monkeypatch.chdir(path)
    engine = Engine("--appendonly", "no")
    for key in KEYS:
        engine("SET", key, f"value of {key}")
    engine("PEXPIREAT", KEYS[0], 4_000_000_000_000)
    engine("HSET h f v")
    engine("SELECT 3")
    engine("SADD other 1 2 3")
    assert engine("SAVE") == OK
    return path


def keys_in(directory: Path, monkeypatch: pytest.MonkeyPatch, appendonly: str) -> Engine:
    """An engine that has started there."""
    monkeypatch.chdir(directory)
    engine = Engine("--appendonly", appendonly)
    loading = Loading(engine.server)
    assert not loading.nothing
    engine.server.begin_loading(loading)
    while not loading.step(mono_us() + 100_000):
        pass
    engine.server.end_loading()
    engine.check()
    return engine


@pytest.mark.parametrize("appendonly", ["yes", "no"])
def test_two_halves_of_one_engine(source, tmp_path, monkeypatch, appendonly):
    folded = str(tmp_path / "source.rdb")
    told = Converter(config_of(source, appendonly="no")).fold(folded, None)
    assert told["keys"] == len(KEYS) + 2 and sorted(path.name for path in source.iterdir()) == ["dump.rdb", ENGINE_LOCK]
    total = 0
    for slots in (LOW, HIGH):
        target = tmp_path / slots
        config = config_of(target, appendonly=appendonly)
        monkeypatch.chdir(target)
        told = Converter(config).fill([(folded, slots_of(slots))])
        assert told["keys"] == told["loaded"] and told["expired"] == 0 and told["skipped"] == {}
        total += told["keys"]
        engine = keys_in(target, monkeypatch, appendonly)
        flags = slots_of(slots)
        for key in KEYS:
            assert engine("GET", key) == (f"value of {key}".encode() if flags[slot_of(key.encode())] else None)
        if flags[slot_of(KEYS[0].encode())]:
            assert engine("PEXPIRETIME", KEYS[0]) == 4_000_000_000_000
        engine("SELECT 3")
        assert engine("SCARD other") == (3 if flags[slot_of(b"other")] else 0)
        assert (target / "dump.rdb").exists() == (appendonly == "no")
    assert total == len(KEYS) + 2


def test_of_what_is_folded_only_slots_that_count_are_there(source, tmp_path):
    told = Converter(config_of(source, appendonly="no")).fold(str(tmp_path / "low.rdb"), slots_of(LOW))
    assert told["keys"] == sum(slot_of(key.encode()) < 8192 for key in (*KEYS, "h", "other"))


def test_a_key_of_two_sources_is_the_later_ones(source, tmp_path, monkeypatch):
    later = Engine("--appendonly", "no")
    later("SET", KEYS[5], "later")
    later.server.config.values["dbfilename"] = "later.rdb"
    assert later("SAVE") == OK
    target = tmp_path / "target"
    config = config_of(target, appendonly="no")
    monkeypatch.chdir(target)
    told = Converter(config).fill([(str(source / name), None) for name in ("dump.rdb", "later.rdb")])
    assert told["loaded"] == len(KEYS) + 3 and told["keys"] == len(KEYS) + 2
    assert keys_in(target, monkeypatch, "no")("GET", KEYS[5]) == b"later"


def test_a_log_that_would_not_be_read_is_not_passed_over(source, tmp_path):
    (source / "appendonlydir").mkdir()
    (source / "appendonlydir" / "appendonly.aof.manifest").touch()
    with pytest.raises(ConvertError, match="appendonly is no"):
        Converter(config_of(source, appendonly="no")).fold(str(tmp_path / "x.rdb"), None)


def test_a_damaged_source_leaves_nothing(source, tmp_path, monkeypatch):
    whole = (source / "dump.rdb").read_bytes()
    (source / "dump.rdb").write_bytes(whole[:-20] + b"x" * 20)
    target = tmp_path / "target"
    config = config_of(target, appendonly="yes")
    monkeypatch.chdir(target)
    with pytest.raises(LoadError, match="dump.rdb can't be loaded"):
        Converter(config).fill([(str(source / "dump.rdb"), None)])
    assert list(target.iterdir()) == []


def test_slots_as_text():
    assert slots_of(None) is None and not any(slots_of(""))
    flags = slots_of("0,5-6,16383")
    assert [slot for slot, flag in enumerate(flags) if flag] == [0, 5, 6, 16383]
