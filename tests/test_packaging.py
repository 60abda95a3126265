"""What `pip install .` makes: pyproject.toml names every package, compiled module, data file and program there is.

Building a wheel takes minutes, so this holds the lists against the tree instead.
"""

import importlib
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]["setuptools"]
SHIPPED = ("shardd", "proxy", "bench")


def test_every_package_is_shipped_and_nothing_else():
    there = {str(path.parent.relative_to(ROOT)).replace("/", ".")
             for top in SHIPPED for path in (ROOT / top).rglob("__init__.py")}
    assert set(TOOL["packages"]) == there


def test_every_directory_with_sources_is_a_package():
    sources = {path.parent for top in SHIPPED for path in (ROOT / top).rglob("*.py")}
    assert [str(path) for path in sources if not (path / "__init__.py").exists()] == []


def test_every_compiled_module_is_listed():
    """A header without a place in COMPILED would be a module that nobody builds; native, sys and libc_* are C's own."""
    build = importlib.import_module("shardd._build")
    headers = {str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
               for top in SHIPPED for path in (ROOT / top).rglob("*.pxd") if path.with_suffix(".py").exists()}
    listed = {name for name in build.COMPILED if name.split(".")[0] in SHIPPED}
    assert headers - listed == set()
    assert [name for name in listed if not (ROOT / (name.replace(".", "/") + ".py")).exists()] == []


def test_every_data_file_is_shipped():
    data = {str(path.relative_to(ROOT)) for top in SHIPPED for path in (ROOT / top).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pxd", ".so", ".pyc", ".c")}
    shipped = {str(path.relative_to(ROOT)) for package, patterns in TOOL["package-data"].items() if package != "*"
               for pattern in patterns for path in (ROOT / package.replace(".", "/")).glob(pattern)}
    documents = {path for path in data if path.endswith((".md", ".svg"))}
    assert data - documents == shipped
    assert {file for files in TOOL["data-files"].values() for file in files} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "conf").iterdir()}


def test_the_programs_are_there():
    for target in PROJECT["project"]["scripts"].values():
        module, _, function = target.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_no_c_file_is_in_the_tree():
    assert [str(path) for top in SHIPPED for path in (ROOT / top).rglob("*.c")] == []
