"""``make bench`` and ``make bench-quick``: every stage beside its bound and its peers."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from bench.latency import latency
from bench.results import FULL, Figures, peer_versions, save, spread
from bench.results import QUICK as QUICK_FILE
from bench.stages import QUICK, Bench, Plan, temporary_folder
from bench.world import world

RATIOS = {
    "producer_vs_bound": ("producer", "bound"),
    "producer_vs_script": ("producer", "script"),
    "producer_vs_quix": ("producer", "quix"),
    "processors_vs_bound": ("processors", "bound"),
    "processors_vs_quix": ("processors", "quix"),
    "processors_vs_faust": ("processors", "faust"),
    "refresh_vs_first": ("refresh", "first"),
    "sink_vs_bound": ("sink", "bound"),
    "sink_vs_executemany": ("sink", "executemany"),
    "sink_vs_quix": ("sink", "quix"),
    "end_to_end_vs_pandas": ("end_to_end", "pandas"),
}


async def measure(plan: Plan) -> Figures:
    """Run everything; gives the section ``stages`` of the results."""
    began_at = time.monotonic()
    with temporary_folder() as folder:
        async with world() as here:
            bench = Bench(here, plan, Path(folder))
            await bench.producer()
            await bench.processors_and_sink()
            await bench.end_to_end()
            small = await bench.small_files()
            milliseconds = await latency(here, plan.notices)
    found = bench.results
    return {
        "took_seconds": round(time.monotonic() - began_at),
        "plan": vars(plan),
        "peers": peer_versions(),
        "rows_per_second": {
            stage: {who: spread(rates, 0) for who, rates in by_name.items()} for stage, by_name in found.rates.items()
        },
        "ratios": {name: found.ratio(stage, who) for name, (stage, who) in RATIOS.items()},
        "small_files_seconds": small,
        "latency_ms": milliseconds,
        "missing": found.missing,
    }


def show(figures: Figures) -> None:
    """Print the ratios and the latency."""
    for name, ratio in figures["ratios"].items():
        print(f"{name:<22}", f"{ratio['median']} ({ratio['min']} to {ratio['max']})" if ratio else "not measured")
    print(f"files of 100 rows: {figures['small_files_seconds']}")
    print(f"latency: {figures['latency_ms']} ms; everything took {figures['took_seconds']} s")
    for name, why in figures["missing"].items():
        print(f"missing: {name}: {why}")


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    stages = asyncio.run(measure(QUICK if quick else Plan()))
    show(stages)
    save("stages", stages, QUICK_FILE if quick else FULL)
