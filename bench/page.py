"""Writes docs/performance.md: the words of bench/performance.md.in, the figures of bench/results.json.

``{{name}}`` in the words stands for a table or a figure made here; a section that was not measured says how it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from bench import sizing
from bench.__main__ import RATIOS
from bench.results import FOLDER, FULL, Figures

WORDS = FOLDER / "performance.md.in"
PAGE = FOLDER.parent / "docs" / "performance.md"
VENDORS = (100, 10_000)
RATIO_GOALS = {
    "producer_vs_bound": 0.5,
    "producer_vs_script": 1.5,
    "producer_vs_quix": 1.0,
    "processors_vs_bound": 0.4,
    "processors_vs_quix": 1.2,
    "processors_vs_faust": 5.0,
    "refresh_vs_first": 2.0,
    "sink_vs_bound": 0.4,
    "sink_vs_executemany": 1.0,
    "sink_vs_quix": 1.0,
    "end_to_end_vs_pandas": 1.0,
}
"""Ours over theirs, at least."""
BESIDE = {
    ("producer", "bound"): "bound: the same messages, ready-made, by aiokafka's `send_batch`, no transaction",
    ("producer", "script"): "`csv.DictReader` + `fastavro` + `await producer.send()`",
    ("producer", "quix"): "Quix Streams' CSV source (a local file, JSON, at least once)",
    ("processors", "bound"): "bound: the same messages copied by aiokafka, a transaction a poll, nothing looked at",
    ("processors", "quix"): "Quix Streams with the same mapping function, at least once, no change detection",
    ("processors", "faust"): "a Faust agent with the same mapping function, a message at a time",
    ("sink", "bound"): "bound: COPY of ready rows and one upsert a batch, no history",
    ("sink", "executemany"): "a script: aiokafka, fastavro, asyncpg's `executemany` upsert, no history",
    ("sink", "ready"): "asyncpg's `executemany` upsert of ready rows, no history",
    ("sink", "quix"): "Quix Streams' PostgreSQL sink, upserting by key, no history",
    ("end_to_end", "pandas"): "`pandas.read_csv`, the same mapping, `to_sql`; no history, nothing resumed",
    ("refresh", "first"): "the first load of the same file",
}
COMMANDS = {
    "growth": "make bench-growth",
    "memory": "make bench-memory",
    "profile": "make bench-profile",
    "refresh": "make bench-refresh",
    "state": "make bench-state",
}
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def page(words: str, results: Figures) -> str:
    """The page.

    Raises:
        KeyError: the words have a place that nothing is made for.
    """
    return _PLACE.sub(lambda place: _made(place[1], results), words)


def _made(place: str, results: Figures) -> str:
    kind, _underscore, name = place.partition("_")
    if kind == "stage":
        return _stage(name, results)
    if kind == "measured":
        return _measured(results if name == "stages" else results.get(name), name)
    section, make = ("profile", _profile(name)) if kind == "profile" else PLACES[place]
    found = results.get(section) if section else results
    return make(found) if found else f"(not measured yet: `{COMMANDS[section]}`)"


def _goals(results: Figures) -> str:
    lines = ["| | goal | measured | |", "|---|---|---|---|"]
    for name, goal in RATIO_GOALS.items():
        spread = results["ratio_spreads"][name]
        measured = f"{_spread(spread)} ×" if spread else "not measured"
        lines.append(_goal(name.replace("_vs_", " over ").replace("_", " "), f"≥ {goal:g} ×", measured,
                           bool(spread) and spread["median"] >= goal))  # fmt: skip
    idle, small = results["latency_ms"], results["small_files_seconds"]
    lines += [
        _goal("latency of a one-row file, p50", "≤ 300 ms", f"{idle['p50']} ms", idle["p50"] <= 300),
        _goal("latency of a one-row file, p99", "≤ 1,500 ms", f"{idle['p99']:,} ms", idle["p99"] <= 1500),
        _goal("a 100-row file, landing to done, p95", "≤ 1 s", f"{small['p95']} s", small["p95"] <= 1),
    ]
    if memory := results.get("memory"):
        goal, peak = memory["goal_megabytes"], memory["producer_peak_megabytes"]
        lines.append(_goal("memory of the producer, file of 1 GB", f"≤ {goal} MB", f"{peak} MB", peak <= goal))
    if state := results.get("state"):
        seconds, peak = state["restore_seconds"], state["worker"]["peak_gb"]
        lines += [
            _goal(f"memory of a worker with {state['leads']:,} leads", f"≤ {state['goal_gb']} GB", f"{peak} GB",
                  peak <= state["goal_gb"]),
            _goal("its restore", f"≤ {state['goal_seconds']:g} s", f"{_spread(seconds)} s",
                  seconds["median"] <= state["goal_seconds"]),
        ]  # fmt: skip
    return "\n".join(lines)


def _goal(what: str, goal: str, measured: str, met: bool) -> str:
    return f"| {what} | {goal} | {measured} | {'met' if met else '**missed**'} |"


def _stage(stage: str, results: Figures) -> str:
    rates, spreads = results["rows_per_second"], results["ratio_spreads"]
    ratios = {place: spreads[name] for name, place in RATIOS.items()}
    ours = "leadstream, 1 % changed" if stage == "refresh" else "leadstream"
    lines = [
        "| | rows/s | ours over theirs |",
        "|---|---|---|",
        f"| {ours} | {_spread(rates[stage]['leadstream'])} | |",
    ]
    for (place, who), beside in BESIDE.items():
        if place == stage:
            rate = _spread(rates[stage][who]) if who in rates[stage] else "not measured"
            ratio = ratios.get((place, who))
            lines.append(f"| {beside} | {rate} | {_spread(ratio) if ratio else ''} |")
    return "\n".join(lines)


def _latency(results: Figures) -> str:
    small, lines = results["small_files_seconds"], ["| | p50 | p99 | greatest | of |", "|---|---|---|---|---|"]
    for name, words in (("latency_ms", "idle"), ("latency_under_load_ms", "while a big file is loaded")):
        if found := results[name]:
            cells = " | ".join(f"{found[what]:,} ms" for what in ("p50", "p99", "max"))
            lines.append(f"| one-row file, {words} | {cells} | {found.get('notices', '')} |")
    return "\n".join(
        [*lines, "", f"A file of 100 rows is done {small['p50']} s (p50), {small['p95']} s (p95) after it lies there."]
    )


def _missing(results: Figures) -> str:
    return "\n".join(f"Not measured: {name} ({why})." for name, why in results["missing"].items())


def _peers(results: Figures) -> str:
    names = results["peers"] | results["machine"]["packages"]
    return ", ".join(f"{name} {version}" for name, version in sorted(names.items()))


def _plan(results: Figures) -> str:
    plan = results["plan"]
    return (
        f"{plan['rounds']} rounds; {plan['producer_rows']:,} rows for the producer, {plan['rows']:,} for processors "
        f"and sink ({plan['faust_rows']:,} for the Faust agent), {plan['whole_rows']:,} end to end; "
        f"{results['took_seconds']} s in all"
    )


def _profile(stage: str) -> Callable[[Figures], str]:
    def made(found: Figures) -> str:
        one = found["stages"][stage]
        lines = [
            f"{one['cpu_microseconds_per_row']} µs of processor time a row on the whole way of {found['rows']:,} rows.",
            "",
            f"![flame graph](flame-{stage}.svg)",
            "",
            "| share | innermost function of ours → the library it calls |",
            "|---|---|",
        ]
        return "\n".join([*lines, *(f"| {share:.1%} | `{place}` |" for place, share in one["shares"])])

    return made


def _refresh(found: Figures) -> str:
    lines = ["| | first load | refresh |", "|---|---|---|"]
    names = {
        "rows_per_second": "rows/s, file visible to load done",
        "processors_alone_rows_per_second": "rows/s, processors alone",
        "split_seconds": "seconds until split",
        "mapped_seconds": "seconds until mapped",
        "done_seconds": "seconds until done",
    }
    for name, words in names.items():
        lines.append(f"| {words} | {_spread(found['first'][name])} | {_spread(found['refresh'][name])} |")
    spent = [sizing.microseconds_per_row(found, which) for which in ("first", "refresh")]
    for stage in sizing.STAGES:
        lines.append(f"| processor time a row of `{stage}`, µs | {spent[0][stage]:.1f} | {spent[1][stage]:.1f} |")
    records = [", ".join(f"{n:,}" for n in found[which]["canonical_records"]) for which in ("first", "refresh")]
    words = {
        "refresh_vs_first": "the whole way",
        "refresh_vs_first_processors_alone": "processors alone",
        "refresh_vs_first_processors_cpu": "processor time of the processors",
    }
    ratios = ", ".join(f"{words[name]} {_spread(ratio)}" for name, ratio in found["ratios"].items())
    lines += [
        f"| change records sent, a run | {records[0]} | {records[1]} |",
        "",
        f"Refresh over first load: {ratios}.",
    ]
    return "\n".join(lines)


def _state(found: Figures) -> str:
    worker = found["worker"]
    return "\n".join(
        [
            f"{found['leads']:,} leads of one source, {found['changelog_bytes_per_lead']} bytes each on disk (before "
            f"compaction), {sizing.bytes_per_lead(found):.0f} bytes in memory.",
            "",
            "| | |",
            "|---|---|",
            f"| seconds until all lanes are restored | {_spread(found['restore_seconds'])} |",
            f"| processor seconds | {_spread(found['restore_cpu_seconds'])} |",
            f"| resident GB before | {_spread(found['resident_gb_before'])} |",
            f"| resident GB after | {_spread(found['resident_gb_after'])} |",
            f"| a worker: seconds from its start until restored | {worker['start_to_restored_seconds']} |",
            f"| a worker: resident GB, and at most | {worker['resident_gb']}, {worker['peak_gb']} |",
        ]
    )


def _memory(found: Figures) -> str:
    return (
        f"A file of {found['file_megabytes']:,} MB and {found['rows']:,} rows was split in {found['seconds']:g} s with "
        f"at most {found['producer_peak_megabytes']} MB of memory."
    )


def _growth(found: Figures) -> str:
    flat = found["whole_way"]["1 source"]["cpu_microseconds_per_row_in_all"]
    lines = [
        f"| {found['rows']:,} rows as | rows/s | processor time a row, µs: produce + process + sink | of one file |",
        "|---|---|---|---|",
    ]
    for name, one in found["whole_way"].items():
        spent = one["cpu_microseconds_per_row"]
        parts = " + ".join(f"{spent[stage]:g}" for stage in sizing.STAGES)
        in_all = one["cpu_microseconds_per_row_in_all"]
        lines.append(f"| {name} | {one['rows_per_second']:,} | {parts} = {in_all:g} | {in_all / flat:.2f} × |")
    alone = ", ".join(f"{one['rows_per_second']:,} rows/s by {one['workers']}" for one in found["workers_alone"])
    picture = "![processor time a row](growth.png)"
    return "\n".join([*lines, "", f"Workers alone, rows waiting on the topic, no sink: {alone}.", "", picture])


def _sizing(results: Figures) -> str:
    sizes = [sizing.size(vendors, results["refresh"], results["state"]) for vendors in VENDORS]
    rows: dict[str, Callable[[sizing.Size], str]] = {
        "rows a week": lambda one: f"{one.rows:,}",
        "rows/s, spread over the week": lambda one: f"{one.rows_per_second_all_week:,.0f}",
        f"rows/s, all in one night of {sizing.WINDOW_HOURS} h": lambda one: f"{one.rows_per_second_in_window:,.0f}",
        "cores kept busy in that night: producer, processors, sink": lambda one: ", ".join(
            f"{one.cores[stage]:.3f}" for stage in sizing.STAGES
        ),
        "core hours of the very first load: producer, processors, sink": lambda one: ", ".join(
            f"{one.first_load_core_hours[stage]:.2f}" for stage in sizing.STAGES
        ),
        "GB of leads in memory, over all workers": lambda one: f"{one.state_gigabytes:.1f}",
        "workers": lambda one: f"{one.workers}",
        "lanes (`TOPICS_LANES`)": lambda one: f"{one.lanes}",
        "partitions of raw topics and changelogs": lambda one: f"{one.partitions:,}",
        "seconds for a worker to restore": lambda one: f"{one.restore_seconds:,.0f}",
    }
    head = " | ".join(f"{vendors:,} vendors" for vendors in VENDORS)
    lines = [f"| | {head} |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {what} | {' | '.join(map(cell, sizes))} |" for what, cell in rows.items())])


def _per_core(found: Figures) -> str:
    lines = ["| rows/s per core | first load | refresh of which 1 % changed |", "|---|---|---|"]
    spent = [sizing.microseconds_per_row(found, which) for which in ("first", "refresh")]
    for stage in sizing.STAGES:
        lines.append(f"| `{stage}` | {1e6 / spent[0][stage]:,.0f} | {1e6 / spent[1][stage]:,.0f} |")
    return "\n".join(lines)


def _measured(found: Figures | None, name: str) -> str:
    if not found:
        return f"(not measured yet: `{COMMANDS[name]}`)"
    on = found["machine"]
    return (
        f"Measured {found['measured_at']}, commit {on['commit']}, {on['cores']} cores, {on['memory_gb']} GB, "
        f"Python {on['python']}, load average {on['load_average_5_minutes']}."
    )


def _spread(found: Figures) -> str:
    return f"{found['median']:,g} ({found['min']:,g} to {found['max']:,g})"


PLACES: dict[str, tuple[str, Callable[[Figures], str]]] = {
    "goals": ("", _goals),
    "latency": ("", _latency),
    "missing": ("", _missing),
    "peers": ("", _peers),
    "plan": ("", _plan),
    "refresh": ("refresh", _refresh),
    "state": ("state", _state),
    "memory": ("memory", _memory),
    "growth": ("growth", _growth),
    "sizing": ("", _sizing),
    "per_core": ("refresh", _per_core),
}

if __name__ == "__main__":
    PAGE.write_text(page(WORDS.read_text(), json.loads(FULL.read_text())))
