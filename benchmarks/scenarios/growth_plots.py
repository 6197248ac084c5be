"""The plots of growth, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PARTS = ("react", "settle", "reconcile", "rebuild")

Points = Sequence[Mapping[str, Any]]


def draw(posts: Points, table: Points, target: Path) -> None:
    """Write ``growth.svg``, ``growth_memory.svg`` and ``growth_table.svg``."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "reactions"  # the same figures give the same file
    sizes = [each["reactions"] for each in posts]
    times = {part: [each[part]["p50"] for each in posts] for part in PARTS}
    _draw(target / "growth.svg", sizes, times, "reactions on the post", "ms, p50", log=True)
    memory = {"all keys": [each["memory"] / 1e3 for each in posts]}
    _draw(target / "growth_memory.svg", sizes, memory, "reactions on the post", "kB", log=True)
    rows = [each["rows"] / 1e6 for each in table]
    rates = {"persister": [each["rows_per_s"] for each in table]}
    _draw(
        target / "growth_table.svg", rows, rates, "million rows in the table", "rows/s", log=False
    )


def _draw(
    path: Path,
    x: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    across: str,
    up: str,
    *,
    log: bool,
) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for name, y in lines.items():
        axes.plot(x, y, marker="o", label=name)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
