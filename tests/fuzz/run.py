"""The long form of the fuzzers: `python tests/fuzz/run.py --inputs 10000000 --variant asan`.

    --kind wire     requests, replies and values (wire_fuzz, values_fuzz)
    --kind aof      append-only files and manifests (aof_fuzz), likewise
    --kind rdb      RDB files and RESTORE payloads (rdb_fuzz); some hundred times slower, so take fewer of them

Runs against that variant's modules (build/<variant>, made by `python shardd/_build.py --variant <variant>`); of the
first kind the fuzzer itself is compiled for it, too. Each batch has a seed of its own, printed before it starts: after a
crash, `--seed <that> --batches 1` repeats it.
"""
import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BATCH = 100_000
# Of a batch: values go through Python objects, so they are few.
REQUESTS, REPLIES, VALUES = 55_000, 44_000, 1_000
RDB_BATCH = 10_000
PAYLOADS, RDB_FILES = 8_000, 2_000
AOF_FILES, MANIFESTS = 9_000, 1_000


def environment(variant: str) -> dict[str, str]:
    """What a process needs to run with a variant's modules."""
    env = dict(os.environ, SHARDD_FUZZ_VARIANT=variant,
               PYTHONPATH=f"{ROOT if variant == 'release' else ROOT / 'build' / variant}:{ROOT / 'tests'}")
    if variant == "asan":
        library = subprocess.run(["gcc", "-print-file-name=libasan.so"], check=True, capture_output=True, text=True)
        env.update(LD_PRELOAD=library.stdout.strip(), PYTHONMALLOC="malloc", ASAN_OPTIONS="detect_leaks=0")
    return env


def run(seed: int, batches: int, variant: str) -> None:
    """Run batches with the seeds from `seed` on, in this process."""
    sys.path.insert(0, str(Path(__file__).parent))
    import build
    import values_fuzz

    fuzz = build.load(variant)
    start = time.monotonic()
    for batch in range(seed, seed + batches):
        print(f"seed {batch} ...", end=" ", flush=True)
        fuzzer = fuzz.Fuzzer(batch)
        fuzzer.requests(REQUESTS)
        fuzzer.replies(REPLIES)
        values_fuzz.run(batch, VALUES)
        assert all(fuzzer.counts), "a run that finds nothing tests nothing"
        requests, replies, errors = fuzzer.counts
        print(f"{requests} requests, {replies} replies, {errors} errors; {time.monotonic() - start:.0f} s", flush=True)
    print(f"{batches * BATCH} inputs held")


def run_files(kind: str, seed: int, batches: int) -> None:
    """The same of files and payloads."""
    sys.path.insert(0, str(Path(__file__).parent))
    import aof_fuzz
    import rdb_fuzz

    start = time.monotonic()
    for batch in range(seed, seed + batches):
        print(f"seed {batch} ...", end=" ", flush=True)
        accepted, refused = (rdb_fuzz.run(batch, PAYLOADS, RDB_FILES) if kind == "rdb" else
                             aof_fuzz.run(batch, AOF_FILES, MANIFESTS))
        assert accepted and refused, "a run that finds nothing tests nothing"
        print(f"{accepted} accepted, {refused} refused; {time.monotonic() - start:.0f} s", flush=True)
    print(f"{batches * RDB_BATCH} inputs held")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=["wire", "rdb", "aof"], default="wire")
    parser.add_argument("--inputs", type=int, help="10000000 of wire, 100000 of rdb and of aof")
    parser.add_argument("--batches", type=int, help=f"instead of --inputs; one is {BATCH} inputs, {RDB_BATCH} of rdb and aof")
    parser.add_argument("--seed", type=int, default=1, help="of the first batch")
    parser.add_argument("--variant", choices=["release", "debug", "asan"], default="asan")
    options = parser.parse_args()
    if os.environ.get("SHARDD_FUZZ_VARIANT") != options.variant:
        sys.exit(subprocess.run([sys.executable, *sys.argv], env=environment(options.variant)).returncode)
    if options.kind != "wire":
        run_files(options.kind, options.seed, options.batches or -(-(options.inputs or 100_000) // RDB_BATCH))
    else:
        run(options.seed, options.batches or -(-(options.inputs or 10_000_000) // BATCH), options.variant)


if __name__ == "__main__":
    main()
