"""Draws docs/performance.png from bench/results.json; runs in the environment of the peers, which has matplotlib."""

from __future__ import annotations

import json

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from bench.results import FOLDER, FULL

PICTURE = FOLDER.parent / "docs" / "performance.png"
STAGES = ("producer", "processors", "sink", "end_to_end", "refresh")
OURS, THEIRS = "#1f6f8b", "#b8c4c9"


def draw() -> None:
    """One panel a stage: rows/s of everyone, median with least and greatest."""
    rates = json.loads(FULL.read_text())["rows_per_second"]
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
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    draw()
