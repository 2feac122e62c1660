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
    """Run everything; gives what stands at the top of a results file."""
    began_at = time.monotonic()
    with temporary_folder() as folder:
        async with world() as here:
            bench = Bench(here, plan, Path(folder))
            for stage in (bench.producer, bench.processors_and_sink, bench.end_to_end):
                await stage()
                print(f"{time.monotonic() - began_at:.0f} s", flush=True)
            small = await bench.small_files()
            idle, under_load = await latency(here, Path(folder), plan.notices, plan.load_rows)
    found = bench.results
    spreads = {name: found.ratio(stage, who) for name, (stage, who) in RATIOS.items()}
    return {
        "took_seconds": round(time.monotonic() - began_at),
        "plan": vars(plan),
        "peers": peer_versions(),
        "ratios": {name: ratio and ratio["median"] for name, ratio in spreads.items()},
        "latency_ms": idle,
        "latency_under_load_ms": under_load,
        "ratio_spreads": spreads,
        "rows_per_second": {
            stage: {who: spread(rates, 0) for who, rates in by_name.items()} for stage, by_name in found.rates.items()
        },
        "small_files_seconds": small,
        "missing": found.missing,
    }


def show(figures: Figures) -> None:
    """Print the ratios and the latency."""
    for name, ratio in figures["ratio_spreads"].items():
        print(f"{name:<22}", f"{ratio['median']} ({ratio['min']} to {ratio['max']})" if ratio else "not measured")
    print(f"files of 100 rows, seconds: {figures['small_files_seconds']}")
    print(f"latency, ms: idle {figures['latency_ms']}, under load {figures['latency_under_load_ms']}")
    print(f"everything took {figures['took_seconds']} s")
    for name, why in figures["missing"].items():
        print(f"missing: {name}: {why}")


if __name__ == "__main__":
    quick = "--quick" in sys.argv[1:]
    stages = asyncio.run(measure(QUICK if quick else Plan()))
    show(stages)
    save("", stages, QUICK_FILE if quick else FULL)
