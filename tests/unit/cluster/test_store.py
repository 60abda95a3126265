"""The file store: compare-and-set, the lock, damage."""

import json
import os
import subprocess
import sys

import pytest
import xxhash

from shardd.cluster.store import FileStore, StoreError
from shardd.cluster.topology import EngineInfo, Topology

ONE = Topology.even([EngineInfo("1" * 40, "2" * 40, 0)], "c" * 40)


@pytest.fixture
def store(tmp_path):
    with FileStore(tmp_path) as store:
        yield store


def test_an_empty_directory_holds_no_topology(store):
    assert store.read() is None


def test_what_was_set_is_read(store, tmp_path):
    assert store.compare_and_set(0, ONE)
    assert store.read() == ONE
    assert FileStore(tmp_path).read() == ONE  # without the lock
    assert sorted(os.listdir(tmp_path)) == ["shardd.lock", "topology.json"]


def test_the_wrong_epoch_changes_nothing(store):
    assert not store.compare_and_set(1, ONE)
    assert store.read() is None
    assert store.compare_and_set(0, ONE)
    new = ONE.with_engine_facts("1" * 40, port=5)
    assert not store.compare_and_set(0, new)
    assert store.read() == ONE
    assert store.compare_and_set(1, new)
    assert store.read() == new


def test_an_epoch_that_does_not_grow_is_refused(store):
    store.compare_and_set(0, ONE)
    with pytest.raises(ValueError, match="epoch 1"):
        store.compare_and_set(1, ONE)


def test_a_leftover_of_a_crash_is_no_obstacle(store, tmp_path):
    (tmp_path / "topology.json.new").write_text("half a top")
    assert store.read() is None
    assert store.compare_and_set(0, ONE)
    assert store.read() == ONE


def test_writing_needs_the_lock(tmp_path):
    with pytest.raises(StoreError, match="without the lock"):
        FileStore(tmp_path).compare_and_set(0, ONE)


@pytest.mark.parametrize("damage, words", [
    (lambda text: text[:len(text) // 2], "damaged"),
    (lambda text: "", "damaged"),
    (lambda text: text.replace("16383", "16382"), "checksum"),
    (lambda text: text.replace('"shardd topology"', '"something"'), "no shardd topology file"),
    (lambda text: text.replace('"version": 1', '"version": 9'), "version is 9"),
    (lambda text: "\udcff" + text, "damaged"),
])
def test_a_damaged_file_is_named_and_left_alone(store, damage, words):
    store.compare_and_set(0, ONE)
    broken = damage(store.path.read_text()).encode("utf-8", "surrogateescape")
    store.path.write_bytes(broken)
    for act in (store.read, lambda: store.compare_and_set(0, ONE), lambda: store.compare_and_set(1, ONE)):
        with pytest.raises(StoreError) as failure:
            act()
        assert words in str(failure.value) and str(store.path) in str(failure.value)
    assert store.path.read_bytes() == broken


def test_the_topology_inside_is_validated_even_with_a_right_checksum(store):
    value = ONE.to_json() | {"ranges": [[0, 5, "f" * 40]]}
    checksum = xxhash.xxh3_128_hexdigest(json.dumps(value, sort_keys=True, separators=(",", ":")).encode())
    store.path.write_text(json.dumps({"format": "shardd topology", "version": 1, "xxh3_128": checksum,
                                      "topology": value}))
    with pytest.raises(StoreError, match="unknown engine"):
        store.read()


def test_a_second_process_is_refused_with_the_pid_of_the_first(store, tmp_path):
    code = ("import sys; from shardd.cluster.store import *\n"
            "try: FileStore(sys.argv[1]).acquire()\n"
            "except StoreError as error: print(error)")
    said = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    assert f"pid {os.getpid()}" in said and str(tmp_path) in said


def test_the_lock_is_free_after_release_and_after_death(tmp_path):
    first = FileStore(tmp_path)
    first.acquire()
    with pytest.raises(StoreError, match="in use"):
        FileStore(tmp_path).acquire()
    first.release()
    code = "import os, sys; from shardd.cluster.store import *; FileStore(sys.argv[1]).acquire(); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    with FileStore(tmp_path) as again:
        assert again.compare_and_set(0, ONE)


def test_the_lock_is_not_inherited_by_children(store):
    assert not os.get_inheritable(store._lock_fd)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(StoreError, match=str(tmp_path / "nothing")):
        FileStore(tmp_path / "nothing").acquire()
