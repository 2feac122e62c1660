"""Draws the pictures of docs/performance.md from bench/results.json; runs in the environment of the peers."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from bench.results import FOLDER, FULL, Figures

DOCS = FOLDER.parent / "docs"
STAGES = ("producer", "processors", "sink", "end_to_end", "refresh")
OURS, THEIRS = "#1f6f8b", "#b8c4c9"
GROWTH_COLORS = {"produce": "#d9b36c", "process": "#1f6f8b", "sink": "#8bb174"}


def draw_stages(results: Figures) -> None:
    """One panel a stage: rows/s of everyone, median with least and greatest."""
    rates = results["rows_per_second"]
    figure, panels = plt.subplots(1, len(STAGES), figsize=(16, 3.6))
    for panel, stage in zip(panels, STAGES, strict=True):
        found = rates[stage]
        names = sorted(found, key=lambda name: found[name]["median"])
        medians = [found[name]["median"] for name in names]
        lower = [found[name]["median"] - found[name]["min"] for name in names]
        upper = [found[name]["max"] - found[name]["median"] for name in names]
        colors = [OURS if name == "leadstream" else THEIRS for name in names]
        labels = ["1 % changed" if stage == "refresh" and name == "leadstream" else name for name in names]
        panel.barh(labels, medians, xerr=[lower, upper], color=colors, ecolor="#555555", capsize=2)
        panel.set_title(stage.replace("_", " "))
        panel.set_xlabel("rows/s")
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="x", rotation=30)
    figure.tight_layout()
    figure.savefig(DOCS / "performance.png", dpi=110)


def draw_growth(growth: Figures) -> None:
    """Processor time a row of each stage, a bar each way to cut the same rows."""
    figure, panel = plt.subplots(figsize=(8, 3.6))
    names, left = list(growth["whole_way"])[::-1], [0.0] * len(growth["whole_way"])
    for stage, color in GROWTH_COLORS.items():
        spent = [growth["whole_way"][name]["cpu_microseconds_per_row"][stage] for name in names]
        panel.barh(names, spent, left=left, color=color, label=stage)
        left = [a + b for a, b in zip(left, spent, strict=True)]
    panel.set_xlabel("processor time a row, µs")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(DOCS / "growth.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    figures = json.loads(FULL.read_text())
    draw_stages(figures)
    if "growth" in figures:
        draw_growth(figures["growth"])
