"""The short form of the fuzzers: fixed seeds, a few seconds. The long form is run.py beside this file."""
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def sibling(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"fuzz_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    return sibling("build").load("release")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_requests(fuzz: ModuleType, seed: int) -> None:
    fuzzer = fuzz.Fuzzer(seed)
    fuzzer.requests(50_000)
    requests, _, errors = fuzzer.counts
    assert requests > 50_000 and errors > 10_000, "the inputs are neither all well formed nor all garbage"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_replies(fuzz: ModuleType, seed: int) -> None:
    fuzzer = fuzz.Fuzzer(seed)
    fuzzer.replies(50_000)
    _, replies, errors = fuzzer.counts
    assert replies > 50_000 and errors > 10_000


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_values(seed: int) -> None:
    sibling("values_fuzz").run(seed, 3_000)


@pytest.mark.parametrize("seed", [1, 2])
def test_aof(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    accepted, refused = sibling("aof_fuzz").run(seed, 500, 500)
    assert accepted > 100 and refused > 100


@pytest.mark.parametrize("seed", [1, 2])
def test_rdb(seed: int) -> None:
    accepted, refused = sibling("rdb_fuzz").run(seed, 1_500, 300)
    assert accepted > 400 and refused > 400
