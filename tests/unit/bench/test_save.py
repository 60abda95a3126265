"""What save says of what it has measured."""
import argparse
import re

import pytest

from bench import goals, save
from bench.fill import pipelines
from bench.save import Figures
from bench.servers import BenchError
from shardd.wire.plain import Decoder


def args(**changes: object) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    save.options(parser)
    return argparse.Namespace(**vars(parser.parse_args([])) | changes)


def test_values_of_both_kinds():
    same, = Decoder().feed(b"".join(data for data, _ in pipelines(1, 1, *save.commands(args()))))
    assert same == [b"SET", b"key:000000000000", b"x" * 32]
    made = save.commands(args(values="random", value=7))
    commands = Decoder().feed(b"".join(data for data, _ in pipelines(200, 64, *made)))
    assert [command[1] for command in commands] == [b"key:%012d" % i for i in range(200)]
    assert all(re.fullmatch(b"[0-9a-f]{7}", command[2]) for command in commands)
    assert len({command[2] for command in commands}) == save.VALUES


def test_servers():
    names = [spec.name for spec in save.specs(args(peer=["other=run {port} {dir}"]))]
    assert names == ["other", "shardd-engine"] and len(save.specs(args(no_peer=True))) == 1
    with pytest.raises(BenchError, match="no {port}"):
        save.specs(args(peer=["other=run"]))
    spec = save.in_directory(save.specs(args(no_peer=True))[0], "/where it is")
    assert "/where it is" in spec.command and spec.probe != ("DBSIZE",)


def test_the_table():
    found = [Figures("redis", [6.0, 5.0], [4.5, 5.5], [9.0], [8.0], 130_000_000),
             Figures("ours", [2.0, 1.0], [0.9, 0.8], [9.0], [7.0], 130_400_000)]
    lines = save.table(found, args()).splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]] == [
        ["redis", "130", "5.00", "4.50", "1.00", "-", "9.00", "8.00", "0.56", "-"],
        ["ours", "130", "1.00", "0.80", "5.00", "0.20 (<= 0.67, met)",
         "9.00", "7.00", "0.56", "1.00 (<= 0.67, missed)"]]
    assert "0.20 (<= 0.67) " in save.table(found, args(keys=goals.SAVED_KEYS - 1))
    found[1].load_s = []
    assert save.table(found, args()).splitlines()[-1].count(" - ") == 4
