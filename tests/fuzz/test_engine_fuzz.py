"""The short form of the engine's fuzzer, on every run."""
import importlib.util
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", [1001, 1002, 1003])      # the last one in cluster mode
def test_a_hostile_crowd(seed):
    spec = importlib.util.spec_from_file_location("engine_fuzz", Path(__file__).parent / "engine_fuzz.py")
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    counts = fuzz.run(seed, 10_000)
    assert counts["replies"] > 5_000 and counts["oom"] > 5, counts
