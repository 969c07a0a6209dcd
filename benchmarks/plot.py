"""Results as one picture: a panel a scenario, a bar a server, whiskers from the lowest repeat to the highest."""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.axes import Axes

from benchmarks.report import is_stalled, short
from benchmarks.results import Results
from benchmarks.scenarios import SCENARIOS, Scenario

OURS, PEERS, INK = "#d1495b", "#8d99ae", "#2b2d42"
COLUMNS = 2


def draw(results: Results, path: Path) -> None:
    measured = [scenario for scenario in SCENARIOS if scenario.key in results.cells]
    rows = math.ceil(len(measured) / COLUMNS)
    figure, grid = pyplot.subplots(rows, COLUMNS, figsize=(15, 3.9 * rows), squeeze=False)
    for axes, scenario in zip(grid.flat, measured, strict=False):
        _panel(axes, results, scenario)
    for axes in list(grid.flat)[len(measured) :]:
        axes.set_visible(False)
    facts = results.machine
    figure.suptitle("One server process on one core; median of the repeats, whiskers lowest to highest", color=INK)
    figure.supxlabel(f"{results.date} · {facts['cpu']} · {facts['system']} · {facts['python']}", fontsize=9, color=INK)
    figure.tight_layout(h_pad=2, w_pad=3, rect=(0, 0.01, 1, 0.99))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _panel(axes: Axes, results: Results, scenario: Scenario) -> None:
    servers = [server for server in results.servers if server in results.cells[scenario.key]][::-1]
    values = [results.values(scenario.key, server, scenario.headline) for server in servers]
    medians = [results.median(scenario.key, server, scenario.headline) or 0.0 for server in servers]
    low = [median - min(found, default=0.0) for median, found in zip(medians, values, strict=True)]
    high = [max(found, default=0.0) - median for median, found in zip(medians, values, strict=True)]
    positions = range(len(servers))
    axes.barh(
        positions,
        medians,
        xerr=(low, high),
        color=[OURS if results.servers[server]["ours"] else PEERS for server in servers],
        error_kw={"ecolor": INK, "elinewidth": 1, "capsize": 2},
    )
    if scenario.lower_is_better and scenario.key == "sleeper":
        axes.set_xscale("log")
    for position, server, median, above in zip(positions, servers, medians, high, strict=True):
        text = f"stalled, > {short(median)}" if is_stalled(results, scenario, server) else short(median)
        axes.annotate(
            text, (median + above, position), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axes.set_yticks(positions, [results.servers[server]["label"] for server in servers], fontsize=8)
    better = "less is better" if scenario.lower_is_better else "more is better"
    axes.set_title(f"{scenario.title}: {scenario.unit} ({better})", fontsize=10, loc="left", color=INK)
    axes.margins(x=0.16)
    axes.xaxis.set_major_formatter(lambda value, _: short(value) if value else "0")
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
