"""Compiles the fuzzer with the flags of a variant and imports it. Kept under build/, apart from the product."""
import fcntl
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("wire_fuzz.py")
NEEDS = ("shardd/base/native.pxd", "shardd/wire/request.pxd", "shardd/wire/scan.pxd", "shardd/_build.py")


def load(variant: str = "release") -> ModuleType:
    """The compiled fuzzer, built anew where it is older than what it is made of. The caller runs with that variant."""
    target = ROOT / "build" / f"fuzz-{variant}"
    newest = max(path.stat().st_mtime for path in (SOURCE, *(ROOT / name for name in NEEDS)))
    target.mkdir(parents=True, exist_ok=True)
    with (target / "lock").open("w") as lock:       # the workers of a parallel test run all want it
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = sorted(target.glob("wire_fuzz.*.so"))
        if not found or found[0].stat().st_mtime < newest:
            compile_into(target, variant)
            found = sorted(target.glob("wire_fuzz.*.so"))
    spec = importlib.util.spec_from_file_location("wire_fuzz", found[0])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compile_into(target: Path, variant: str) -> None:
    """Compile in a process of its own: under AddressSanitizer the compiler itself would run with it."""
    env = dict(os.environ)
    for name in ("LD_PRELOAD", "PYTHONMALLOC", "ASAN_OPTIONS"):
        env.pop(name, None)
    command = [sys.executable, __file__, str(target), variant]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the fuzzer does not compile:\n{done.stdout}{done.stderr}")


def main(target: str, variant: str) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    spec = importlib.util.spec_from_file_location("shardd_build", ROOT / "shardd" / "_build.py")
    assert spec is not None and spec.loader is not None
    flags = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(flags)
    directives, cflags, ldflags = flags.VARIANTS[variant]
    extension = Extension("wire_fuzz", [str(SOURCE.relative_to(ROOT))], extra_compile_args=cflags,
                          extra_link_args=ldflags)
    modules = cythonize([extension], compiler_directives=directives, build_dir=f"{target}/c", include_path=[str(ROOT)],
                        quiet=True)
    command = build_ext(Distribution({"name": "wire_fuzz", "ext_modules": modules}))
    command.build_lib = target
    command.build_temp = f"{target}/temp"
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
