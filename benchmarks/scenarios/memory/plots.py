"""The plots, as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

LIMIT = 50.0
"""Bytes a reaction: at most 50 KB for 1,000 reactions are allowed."""

GOAL = 20.0

VIRAL_GOAL = 50_000
"""Bytes of a viral post: the most that is allowed."""

INK = {"valkey": "#0b7285", "redis": "#c92a2a"}


def plot(figures: Mapping[str, Any], target: Path) -> None:
    """Write ``memory.svg`` and ``memory_total.svg`` to a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "reactions", "svg.fonttype": "none", "font.size": 9})
    target.mkdir(parents=True, exist_ok=True)
    _plot_each(figures, target / "memory.svg")
    _plot_total(figures, target / "memory_total.svg")


def _lines(figures: Mapping[str, Any], what: str) -> Iterator[tuple[str, dict[str, Any], Any, Any]]:
    """The label, the style, the sizes and the values of each line."""
    regular = figures["regular"]
    for server, version in figures["servers"].items():
        for bits in sorted({each["bits"] for each in regular}):
            for way, style in (("loaded", "--"), ("grown", "-"), ("plain", ":")):
                found = sorted(
                    (each["size"], each[what])
                    for each in regular
                    if (each["server"], each["bits"], each["way"]) == (server, bits, way)
                )
                if found:
                    sizes, values = zip(*found, strict=True)
                    look = {
                        "color": INK[server],
                        "linestyle": style,
                        "marker": "o" if bits > 31 else ".",
                        "markersize": 3,
                        "linewidth": 1.1,
                    }
                    yield f"{version}, {bits}-bit ids, {way}", look, sizes, values


def _plot_each(figures: Mapping[str, Any], target: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 5))
    for label, look, sizes, values in _lines(figures, "a_reaction"):
        axes.plot(sizes, values, label=label, **look)
    axes.axhline(LIMIT, color="#868e96", linewidth=1, linestyle="-.", label="the limit: 50")
    axes.axhline(GOAL, color="#2b8a3e", linewidth=1, label="goal: 20")
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlabel("reactions of the post")
    axes.set_ylabel("bytes a reaction, everything counted")
    _save(figure, axes, target)


def _plot_total(figures: Mapping[str, Any], target: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 5))
    for label, look, sizes, values in _lines(figures, "a_post"):
        if not label.endswith("loaded"):
            axes.plot(sizes, values, label=label, **look)
    for server, version in figures["servers"].items():
        for bits in sorted({each["bits"] for each in figures["viral"]}):
            found = sorted(
                (each["reactors"], each["used"])
                for each in figures["viral"]
                if (each["server"], each["bits"]) == (server, bits)
            )
            if found:
                sizes, values = zip(*found, strict=True)
                axes.plot(
                    sizes,
                    values,
                    color=INK[server],
                    marker="s" if bits > 31 else "D",
                    markersize=4,
                    linewidth=2,
                    label=f"{version}, {bits}-bit ids, viral",
                )
    most = max((each["reactors"] for each in figures["viral"]), default=10_000)
    axes.plot(
        [100, most], [100 * LIMIT, most * LIMIT], color="#868e96", linewidth=1, linestyle="-.",
        label="the limit: 50 a reaction",
    )  # fmt: skip
    axes.axhline(VIRAL_GOAL, color="#2b8a3e", linewidth=1, label="limit of a viral post: 50 KB")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("reactions of the post")
    axes.set_ylabel("bytes of the post, everything counted")
    _save(figure, axes, target)


def _save(figure: Any, axes: Any, target: Path) -> None:  # noqa: ANN401 - of matplotlib
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axes.legend(fontsize=6.5, loc="upper left")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})
