"""Latencies as pictures: the percentile spectrum as SVG or PNG, the distribution as bars in the terminal.

matplotlib is an extra ("shardd[bench]"): nothing but the picture needs it, and it is imported where one is asked for.
"""
from collections.abc import Sequence
from pathlib import Path

from bench.load.control import LoadError
from shardd.structures.histogram import Histogram

Points = Sequence[tuple[float, float]]
"""(percentile, us)"""

SUFFIXES = (".svg", ".png")
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999)
_BARS = 16
_BAR_WIDTH = 40


def check(path: str) -> None:
    """Before a run that takes minutes: LoadError where the picture could not be made after it."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise LoadError(f"--plot {path}: the name ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib      # noqa: F401
    except ImportError:
        raise LoadError("--plot needs matplotlib: pip install 'shardd[bench]'") from None


def spectrum(path: str, curves: dict[str, Points], title: str = "") -> None:
    """Percentiles to the right on a scale that stretches the tail (1 / (1 - percentile)), latency upwards, both
    logarithmic. curves: name -> points, in the order of the legend. Raises LoadError, OSError."""
    check(path)
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "shardd"      # the same figures give the same file
    from matplotlib import pyplot
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    furthest = 10.0
    for name, points in curves.items():
        inner = [(1.0 / (1.0 - q / 100.0), us / 1e3) for q, us in points if q < 100.0]
        if points:
            last = inner[-1][0] * 2 if inner else 2.0      # the largest one has no percentile but 100
            inner.append((last, points[-1][1] / 1e3))
            furthest = max(furthest, last)
        axes.plot([x for x, _ in inner], [y for _, y in inner], drawstyle="steps-pre", label=name, linewidth=1.5)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1.0, furthest)
    ticks = [q for q in _TICKS if 1.0 / (1.0 - q / 100.0) <= furthest * 1.001]
    axes.set_xticks([1.0 / (1.0 - q / 100.0) for q in ticks], [f"{q:g}%" for q in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("percentile")
    axes.set_ylabel("latency, ms")
    axes.grid(True, which="major", alpha=0.4)
    if title:
        axes.set_title(title)
    if curves:
        axes.legend()
    suffix = Path(path).suffix.lower()
    figure.savefig(path, metadata={"Date": None} if suffix == ".svg" else None)
    pyplot.close(figure)


def bars(path: str, groups: Sequence[str], series: dict[str, Sequence[float | None]], ylabel: str,
         title: str = "") -> None:
    """Groups of bars, one of each series in each. None: no bar. Raises LoadError, OSError."""
    check(path)
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "shardd"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    width = 0.8 / max(1, len(series))
    for i, (name, values) in enumerate(series.items()):
        places = [group + (i - (len(series) - 1) / 2) * width for group in range(len(groups))]
        shown = axes.bar(places, [value or 0.0 for value in values], width, label=name)
        axes.bar_label(shown, [f"{value:.3g}" if value else "" for value in values], fontsize=7)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_ylabel(ylabel)
    axes.grid(True, axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    if title:
        axes.set_title(title)
    axes.legend()
    figure.savefig(path, metadata={"Date": None} if Path(path).suffix.lower() == ".svg" else None)
    pyplot.close(figure)


def distribution(histogram: Histogram, bars_max: int = _BARS) -> list[tuple[int, int, int]]:
    """(from ns, to ns, count): spans that are alike on a logarithmic scale, from the smallest to the largest value."""
    if not histogram.count:
        return []
    low, high = max(1, histogram.min), max(2, histogram.max)
    factor = (high / low) ** (1.0 / bars_max) if high > low else 2.0
    edges = [low]
    while edges[-1] < high and len(edges) <= bars_max:
        edges.append(high if len(edges) == bars_max else max(edges[-1] + 1, round(low * factor ** len(edges))))
    spans, before = [], 0
    for start, end in zip(edges, edges[1:]):
        upto = histogram.count if end == edges[-1] else histogram.count_upto(end)
        spans.append((start, end, upto - before))
        before = upto
    return spans or [(low, high, histogram.count)]


def text(histogram: Histogram) -> str:
    """The distribution as bars, for a terminal."""
    from rich.bar import Bar
    from rich.console import Console
    from rich.table import Table

    spans = distribution(histogram)
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right")
    grid.add_column(justify="right")
    grid.add_column()
    most = max([count for *_, count in spans], default=1)
    for _, end, count in spans:
        grid.add_row(f"<= {end / 1e6:,.3f} ms", f"{count / histogram.count:7.2%}",
                     Bar(most, 0, count, width=_BAR_WIDTH))
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(grid)
    return "\n".join(row.rstrip() for row in capture.get().splitlines())
