"""Writes docs/performance.md: the words here, the figures of bench/results.json. ``python -m bench.page``."""

from __future__ import annotations

import json

from bench.__main__ import RATIOS
from bench.results import FOLDER, FULL, Figures

PAGE = FOLDER.parent / "docs" / "performance.md"
STAGES = {
    "producer": "A {producer_rows:,}-row file in S3 becomes committed rows on the raw topic.",
    "processors": "{rows:,} raw rows become change records, exactly once.",
    "sink": "{rows:,} change records become rows in Postgres, with history and offsets.",
    "end_to_end": "A {rows:,}-row file lands; its last row is visible and its receipt adds up.",
    "refresh": "The same file with 1 % changed, beside its first load.",
}
BESIDE = {
    ("producer", "bound"): "the same messages, ready-made, by aiokafka's `send_batch`, no transaction",
    ("producer", "script"): "`csv.DictReader` + `fastavro` + `await producer.send()`",
    ("producer", "quix"): "Quix Streams' CSV source (JSON, at least once), from its first message to its last",
    ("processors", "bound"): "the same messages copied by aiokafka, a transaction a poll, nothing looked at",
    ("processors", "quix"): "Quix Streams with the same mapping function, at least once, no change detection",
    ("processors", "faust"): "a Faust agent with the same mapping function, a message at a time ({faust_rows:,} rows)",
    ("sink", "bound"): "COPY of ready rows and one upsert a batch, no history",
    ("sink", "executemany"): "asyncpg's `executemany` upsert of ready rows, no history",
    ("sink", "quix"): "Quix Streams' PostgreSQL sink, upserting by key, no history",
    ("end_to_end", "pandas"): "`pandas.read_csv`, the same mapping, `to_sql`; no history, nothing resumed",
    ("refresh", "first"): "the first load",
}
HEAD = """\
# Performance

Written by `python -m bench.page` from [`bench/results.json`](../bench/results.json): do not edit it here. The files are
generated, the parts are real, and no test depends on a figure.

| command | measures |
|---|---|
| `make bench` | every stage beside its bound and its peers, by turns; then writes this page and the picture |
| `make bench-quick` | the same in one small round, into `bench/results-quick.json`: does it all still run |
| `make bench-refresh` | a refresh of which 1 % changed beside the first load, with processor time of each stage |
| `make bench-state` | 2,000,000 leads coming back from the changelog after a restart |

Every figure is the median of its runs, least and greatest in brackets. Ratios are ours over theirs, run by run (higher
is better): runs that follow each other share a machine's good and bad minutes. The load average stands with each
section: above the number of cores, other programs were at work, seconds are too long, ratios vary, and of the figures
only processor seconds are to be relied on. So it was when these were taken; take your own.
"""


def page(results: Figures) -> str:
    """The page."""
    parts = [HEAD]
    parts.append(_stages(results))
    parts += [_refresh(results["refresh"]), _state(results["state"])]
    return "\n".join(parts)


def _stages(found: Figures) -> str:
    plan, rates = found["plan"], found["rows_per_second"]
    lines = [_title("Stages", found), "![rows/s of every stage](performance.png)", ""]
    ratios = {place: found["ratio_spreads"][name] for name, place in RATIOS.items()}
    for stage, what in STAGES.items():
        lines += [
            f"**{stage.replace('_', ' ')}**: {what.format(**plan)}",
            "",
            "| | rows/s | ours over theirs |",
            "|---|---|---|",
        ]
        lines.append(f"| leadstream | {_spread(rates[stage]['leadstream'])} | |")
        for (place, who), beside in BESIDE.items():
            if place == stage:
                ratio = ratios[place, who]
                rate = _spread(rates[stage][who]) if who in rates[stage] else "not measured"
                lines.append(f"| {beside.format(**plan)} | {rate} | {_spread(ratio) if ratio else ''} |")
        lines.append("")
    latency, small = found["latency_ms"], found["small_files_seconds"]
    lines += [
        f"**latency**: a one-row file announced by a notice is in `leads` after {latency['p50']} ms (p50), "
        f"{latency['p99']} ms (p99) of {latency['notices']} on an otherwise idle system.",
        "",
        f"**small files**: a file of 100 rows is done after {small['p50']} s (p50), {small['p95']} s (p95) of "
        f"{small['files']}.",
        "",
    ]
    lines += [f"Not measured: {name} ({why})." for name, why in found["missing"].items()]
    peers = ", ".join(f"{name} {version}" for name, version in found["peers"].items())
    return "\n".join([*lines, f"Peers: {peers}.", ""])


def _refresh(found: Figures) -> str:
    lines = [
        _title("A refresh of which 1 % changed", found),
        f"{found['rows']:,} rows. Goal: at least {found['goal']:g} × the rows/s of the first load.",
        "",
        "| | first load | refresh |",
        "|---|---|---|",
    ]
    names = {
        "rows_per_second": "rows/s, file visible to load done",
        "processors_alone_rows_per_second": "rows/s, processors alone",
        "split_seconds": "seconds until split",
        "mapped_seconds": "seconds until mapped",
        "done_seconds": "seconds until done",
    }
    for name, words in names.items():
        lines.append(f"| {words} | {_spread(found['first'][name])} | {_spread(found['refresh'][name])} |")
    for stage in ("produce", "process", "sink"):
        cells = [_spread(found[which]["cpu_seconds"][stage]) for which in ("first", "refresh")]
        lines.append(f"| processor seconds of `{stage}` | {cells[0]} | {cells[1]} |")
    records = [", ".join(f"{n:,}" for n in found[which]["canonical_records"]) for which in ("first", "refresh")]
    lines += [
        f"| change records sent, a run | {records[0]} | {records[1]} |",
        "",
        "| refresh over first load | |",
        "|---|---|",
    ]
    words = {
        "refresh_vs_first": "the whole way",
        "refresh_vs_first_processors_alone": "processors alone",
        "refresh_vs_first_processors_cpu": "processor time of the processors",
    }
    lines += [f"| {words[name]} | {_spread(ratio)} |" for name, ratio in found["ratios"].items()]
    return "\n".join([*lines, ""])


def _state(found: Figures) -> str:
    worker = found["worker"]
    return "\n".join(
        [
            _title("State after a restart", found),
            f"{found['leads']:,} leads of one source, {found['changelog_bytes_per_lead']} bytes each on disk "
            f"(before compaction). Goals: {found['goal_seconds']:g} s, {found['goal_gb']} GB.",
            "",
            "| | |",
            "|---|---|",
            f"| seconds until all lanes are restored | {_spread(found['restore_seconds'])} |",
            f"| processor seconds | {_spread(found['restore_cpu_seconds'])} |",
            f"| resident GB before | {_spread(found['resident_gb_before'])} |",
            f"| resident GB after | {_spread(found['resident_gb_after'])} |",
            f"| a worker: seconds from its start until restored | {worker['start_to_restored_seconds']} |",
            f"| a worker: resident GB, and at most | {worker['resident_gb']}, {worker['peak_gb']} |",
            "",
        ]
    )


def _title(text: str, found: Figures) -> str:
    on = found["machine"]
    return (
        f"## {text}\n\n{found['measured_at']}, commit {on['commit']}, {on['cores']} cores, {on['memory_gb']} GB, "
        f"Python {on['python']}, load average {on['load_average_5_minutes']}.\n"
    )


def _spread(found: Figures) -> str:
    return f"{found['median']:,g} ({found['min']:,g} to {found['max']:,g})"


if __name__ == "__main__":
    PAGE.write_text(page(json.loads(FULL.read_text())))
