"""What a run found, in all its forms."""
import dataclasses
import json

import pytest

from bench import loader
from bench.load import crew, main, options, plot, results, workload
from bench.load.control import LoadError, Login
from bench.load.crew import Progress
from bench.load.driver import DIGITS, HIGHEST_NS, LIVE_DIGITS
from bench.load.worker import Live, Report, part
from shardd.structures.histogram import Histogram

MS = 1_000_000


def histogram(*values_ms: float) -> Histogram:
    made = Histogram(DIGITS, HIGHEST_NS)
    for value in values_ms:
        made.add(int(value * MS))
    return made


def outcome(load=None, **changes):
    settings = dataclasses.replace(options.settings(options.parser().parse_args(
        ["-P", "4", "--rate", "100"])), login=Login("u", "secret"))
    load = load or workload.reads_and_writes(0.5)
    late = histogram(0.5).dump()
    reports = [
        Report(seconds=2.0, done=3, errors=2, texts={"ERR a": 2}, nulls=1, cpu_s=0.1, links=5,
               latencies=[histogram(1, 2).dump(), histogram(3).dump()], lateness=late, bytes_out=10, bytes_in=7),
        Report(seconds=1.0, done=1, errors=1, texts={"ERR b": 1}, moved=4, unsent=6, unanswered=5, links=5,
               latencies=[histogram(4).dump(), histogram().dump()], lateness=late)]
    return dataclasses.replace(crew.join(settings, load, reports), **changes)


def test_processes_are_joined():
    found = outcome()
    assert (found.seconds, found.done, found.rate, found.errors) == (2.0, 4, 2.0, 3)
    assert found.texts == {"ERR a": 2, "ERR b": 1}
    assert (found.links, found.latencies.count, [h.count for h in found.by_command]) == (10, 4, [3, 1])


def test_shares():
    assert [part(10, index, 4) for index in range(4)] == [3, 3, 2, 2]


def test_the_table():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in results.table(outcome()).splitlines()]
    assert rows[0] == list(results.HEADERS)
    assert rows[2] == ["get", "2", "2.001", "4.000", "4.000", "4.000", "4.000", "4.000"]
    assert [row[0] for row in rows[2:]] == ["get", "set", "all"]


def test_the_text_says_what_went_wrong():
    text = results.text(outcome(interrupted=True))
    for part_of_it in ("4 commands in 2.00 s, due 100/s", "2 errors: ERR a", "1 errors: ERR b", "1 replies were null",
                       "4 commands were redirected", "5 commands had no reply",
                       "6 commands were due and could not be sent",
                       "sent late by p50 0.500", "interrupted"):
        assert part_of_it in text
    assert results.line(outcome()) == "50% reads: 2 commands per second, p50 2.001 p99 4.000 ms, 3 errors"


def test_json():
    document = json.loads(json.dumps(results.document([outcome()], "1.2")))
    assert (document["format"], document["tool"], document["version"]) == (1, "shardd-bench", "1.2")
    assert "secret" not in json.dumps(document) and document["settings"]["pipeline"] == 4
    run, = document["runs"]
    assert run["commands"] == 4 and run["error_texts"] == {"ERR a": 2, "ERR b": 1} and run["unsent"] == 6
    assert run["latency_us"]["count"] == 4 and run["latency_us"]["min"] == 1000 and run["latency_us"]["max"] == 4000
    assert run["latency_us"]["p50"] == pytest.approx(2000, rel=0.001)
    assert run["by_command_us"]["set"]["p99"] == pytest.approx(3000, rel=0.001)
    assert [q for q, _ in run["spectrum_us"]] == [25, 50, 75, 100]
    assert results.summary(histogram()) == {"count": 0}


def test_csv_is_what_bench_cost_reads():
    found = outcome(workload.by_name("get"))
    text = f"{results.csv_header()}\n{results.csv_line(found)}\n"
    assert loader.parse(text, "get") == loader.Row(2.0, 2.001, 4.0)


def test_the_live_line():
    written: list[str] = []
    progress = Progress("get", written.append)
    live = Histogram(LIVE_DIGITS, HIGHEST_NS)
    live.add(5 * MS, 10)
    progress.add(Live(10, 1, live.dump()))
    assert written == [], "not yet"
    progress.shown_s -= 1
    progress.add(Live(10, 1, live.dump()))
    assert "p50 5.0" in written[0] and written[0].endswith("errors 2")
    progress.end()
    assert written[-1].strip() == "" and progress.latencies.count == 0
    silent = Progress("get", None)
    silent.shown_s -= 1
    silent.add(Live(1, 0, live.dump()))
    silent.end()


def test_the_distribution_is_whole():
    made = histogram(*(0.1 * 1.05 ** i for i in range(150)))
    spans = plot.distribution(made)
    assert sum(count for *_, count in spans) == 150 and len(spans) == 16
    assert spans[0][0] == made.min and spans[-1][1] == made.max
    assert [end for _, end, _ in spans[:-1]] == [start for start, _, _ in spans[1:]]
    assert plot.distribution(histogram()) == []
    assert sum(count for *_, count in plot.distribution(histogram(5, 5, 5))) == 3
    assert plot.text(made).count("ms") == 16


@pytest.mark.parametrize("name, magic", [("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_pictures(tmp_path, name, magic):
    path = tmp_path / name
    plot.spectrum(str(path), {"one": results.spectrum(outcome().latencies), "single": [(100.0, 5.0)]}, "title")
    assert path.read_bytes().startswith(magic)
    plot.bars(str(path), ["x", "y"], {"a": [1.0, None], "b": [2.0, 3.0]}, "us")
    assert path.read_bytes().startswith(magic)


def test_the_same_figures_are_the_same_picture(tmp_path):
    for name in ("a.svg", "b.svg"):
        plot.spectrum(str(tmp_path / name), {"one": [(50.0, 3.0), (100.0, 5.0)]})
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_picture_of_another_kind():
    with pytest.raises(LoadError, match=".svg or .png"):
        plot.check("a.jpg")


def test_filling():
    settings = options.settings(options.parser().parse_args(["--rate", "5", "-r", "77", "--duration", "3"]))
    fill, load = main.filling(settings)
    assert (fill.requests, fill.duration_s, fill.rate) == (77, None, None)
    assert (fill.distribution, load.label) == ("sequential", "fill")
