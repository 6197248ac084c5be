"""The table and the plot of the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.support import output


def print_tables(runs: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    """Print one table, a column for each run."""
    plain = [
        "accepted", "accepted_per_s", "durable_per_s", "most_pending", "distinct_then", "used_then",
        "outbox_predicted_then", "caches_predicted_then", "used_at_most",
        "used_over_predicted_at_most", "pending_at_the_end", "drain_s", "drain_per_s", "left",
        "used_after", "reactions", "mismatched_reactions", "drifted", "dead_letters", "holds",
    ]  # fmt: skip
    rows: list[list[object]] = [[name, *(each[name] for each in runs)] for name in plain]
    for name in ("max", "p99", "p50"):
        rows.insert(3, [f"react() {name}, ms", *(each["react_ms"][name] for each in runs)])
    for name in ("rewriting", "otherwise"):
        rows.insert(
            6,
            [f"react() p99, ms, {name}", *(e["react_ms_by_rewriting"][name]["p99"] for e in runs)],
        )
    output.print_table("Overload", ["figure", *(each["pairs"] for each in runs)], rows, markdown)


def plot(runs: Sequence[Mapping[str, Any]], target: Path) -> None:
    """Write ``overload.svg``: the backlog, and the memory beside the prediction."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "reactions", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    target.mkdir(parents=True, exist_ok=True)
    figure, panels = pyplot.subplots(2, len(runs), figsize=(8.5, 6), squeeze=False, sharex="col")
    for column, each in enumerate(runs):
        above, below = panels[0][column], panels[1][column]
        above.set_title(f"pairs: {each['pairs']}")
        _plot_backlog(above, each["seconds"])
        _plot_memory(below, each["seconds"])
    panels[0][0].set_ylabel("reactions")
    panels[1][0].set_ylabel("MB beyond the start")
    for panel in panels.flat:
        panel.grid(alpha=0.3)
        panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target / "overload.svg", metadata={"Date": None})
    pyplot.close(figure)


def _plot_backlog(axes: Any, seconds: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    at = [sample["at"] for sample in seconds]
    for name, ink in (("accepted", "#868e96"), ("distinct", "#2b8a3e"), ("pending", "#c92a2a")):
        axes.plot(at, [sample[name] for sample in seconds], color=ink, label=name)
    axes.set_yscale("symlog", linthresh=1_000)


def _plot_memory(axes: Any, seconds: Sequence[Mapping[str, Any]]) -> None:  # noqa: ANN401
    at = [sample["at"] for sample in seconds]
    outbox = [sample["predicted"] / 1e6 for sample in seconds]
    both = [(sample["predicted"] + sample["caches"]) / 1e6 for sample in seconds]
    axes.plot(at, [s["used"] / 1e6 for s in seconds], color="#0b7285", label="used_memory")
    dashed = {"linestyle": "--"}
    axes.plot(at, outbox, color="#c92a2a", label="predicted for the outbox", **dashed)
    axes.plot(at, both, color="#868e96", label="with caches, which may be evicted", **dashed)
    axes.set_xlabel("seconds")
