"""The alert rules and the dashboard in ops/, against what the stages export and what the docs explain."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import promql_parser
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from pydantic_settings import BaseSettings
from ruamel.yaml import YAML

from leadstream import metrics, settings
from tests.system import ROOT

YAML_READER = YAML(typ="safe")
GROUPS = YAML_READER.load((ROOT / "ops/alerts.yml").read_text())["groups"]
RULES = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
DASHBOARD = json.loads((ROOT / "ops/dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
STAGES = {"producer", "processors", "sink"}
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
SCRAPE_LABELS = {"stage", "instance", "job"}
MAX_ROW_BYTES = 1_048_576
"""Stands there as 1 MiB."""
OF_THE_PROCESS = {"process_start_time_seconds", "process_resident_memory_bytes"}


def _expressions() -> dict[str, str]:
    rules = {name: rule["expr"] for name, rule in RULES.items()}
    panels = {f"{title} {t['refId']}": t["expr"] for title, panel in PANELS.items() for t in panel["targets"]}
    return rules | panels


def _labels_by_name() -> dict[str, set[str]]:
    """The labels of every metric of ours, by the names that its samples have."""
    found: dict[str, set[str]] = {}
    for metric in metrics.REGISTRY._collector_to_names:
        family, labels = getattr(metric, "_name", ""), set(getattr(metric, "_labelnames", ()))
        kind = getattr(metric, "_type", "")
        names = {
            "counter": {f"{family}_total": labels},
            "gauge": {family: labels},
            "histogram": {
                f"{family}_bucket": labels | {"le"},
                f"{family}_count": labels,
                f"{family}_sum": labels,
            },
        }
        found |= names.get(kind, {})
    return found | {
        "leadstream_ready": set(),
        "leadstream_waiting_seconds": {"dependency"},
        **{name: set() for name in OF_THE_PROCESS},
    }


def selectors(expression: str) -> Iterator[Any]:
    """Every selector of metrics in an expression; the parser raises ValueError when it is none."""
    waiting: list[Any] = [promql_parser.parse(expression)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, promql_parser.VectorSelector):
            yield node
        elif isinstance(node, promql_parser.MatrixSelector):
            yield node.vector_selector
        elif isinstance(node, promql_parser.Call):
            waiting += node.args
        elif isinstance(node, promql_parser.BinaryExpr):
            waiting += [node.lhs, node.rhs]
        elif isinstance(node, (promql_parser.AggregateExpr, promql_parser.ParenExpr, promql_parser.UnaryExpr)):
            waiting.append(node.expr)
        else:
            assert isinstance(node, promql_parser.NumberLiteral), node


@pytest.mark.parametrize("place", _expressions())
def test_every_expression_asks_for_metrics_and_labels_that_the_stages_export(place: str) -> None:
    """A misspelt name is no error to Prometheus: the alert would stay silent, the panel empty."""
    exported = _labels_by_name()
    found = list(selectors(_expressions()[place]))
    assert found
    for selector in found:
        assert selector.name in exported, selector.name
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= exported[selector.name] | SCRAPE_LABELS, (selector.name, asked)
        for matcher in selector.matchers.matchers:
            if matcher.name == "stage":
                assert set(matcher.value.split("|")) <= STAGES, matcher.value


def test_what_is_exported_is_prometheus_text_under_the_names_that_the_rules_are_held_against() -> None:
    """The names are those of the scraped text, and every sample says which stage it is of."""
    families = list(text_string_to_metric_families(metrics.text("sink").decode()))
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    histogram = {name.removesuffix("_bucket") for name in _labels_by_name() if name.endswith("_bucket")}
    plain = {name for name in _labels_by_name() if not name.endswith(("_bucket", "_count", "_sum"))}
    assert plain | histogram <= names
    samples = [sample for family in families for sample in family.samples]
    assert samples and all(sample.labels["stage"] == "sink" for sample in samples)
    assert not [sample.name for sample in samples if sample.name.endswith("_created")]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_what_prometheus_needs_and_a_page_that_says_what_to_do(name: str) -> None:
    """Who is woken finds the alert's own heading in docs/operating.md."""
    rule = RULES[name]
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert DURATION.fullmatch(rule.get("for", "0s"))
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["runbook_url"] == f"docs/operating.md#{name.lower()}"
    assert f"### {name}\n" in (ROOT / "docs/operating.md").read_text()


def test_the_template_of_a_summary_names_labels_that_its_rule_keeps() -> None:
    """A label that was summed away would be an empty word in the message."""
    for name, rule in RULES.items():
        kept = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        by = [set(re.split(r",\s*", group)) for group in re.findall(r"by \(([^)]*)\)", rule["expr"])]
        for labels in by:
            assert kept <= labels, name


def test_the_rules_are_tried_by_prometheus_own_tool_where_it_is_installed() -> None:
    """ops/alerts_test.yml says when they fire; it names rules that exist, and series that are exported, everywhere."""
    tried = YAML_READER.load((ROOT / "ops/alerts_test.yml").read_text())
    assert tried["rule_files"] == ["alerts.yml"]
    exported = _labels_by_name()
    for group in tried["tests"]:
        assert {case["alertname"] for case in group["alert_rule_test"]} <= RULES.keys()
        for series in group["input_series"]:
            (selector,) = selectors(series["series"])
            labels = {matcher.name for matcher in selector.matchers.matchers}
            assert labels <= exported[selector.name] | SCRAPE_LABELS
    if promtool := shutil.which("promtool"):
        for command in (("check", "rules", "ops/alerts.yml"), ("test", "rules", "ops/alerts_test.yml")):
            done = subprocess.run([promtool, *command], cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr


def test_every_runbook_is_of_a_rule_and_rules_are_named_once() -> None:
    """A heading whose rule is gone explains nothing."""
    text = (ROOT / "docs/operating.md").read_text()
    assert set(re.findall(r"^### (Leadstream\w+)$", text, re.MULTILINE)) == set(RULES)
    assert len(RULES) == sum(len(group["rules"]) for group in GROUPS)


def test_the_dashboard_has_a_row_for_each_stage_and_its_hints_lead_to_headings() -> None:
    """Is anything stuck, since when, whose is it, what to do: each panel says what it shows."""
    rows = " ".join(panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row")
    assert all(f"{stage.capitalize()}:" in rows for stage in STAGES)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    headings = {f"docs/operating.md#{name.lower()}" for name in RULES}
    for panel in PANELS.values():
        assert panel["description"] and panel["datasource"]["uid"] == "${datasource}"
        assert set(re.findall(r"docs/operating\.md#\w+", panel["description"])) <= headings


def test_every_metric_is_explained_in_the_docs() -> None:
    """Who reads /metrics finds each name in docs/operating.md."""
    text = (ROOT / "docs/operating.md").read_text()
    for name in _labels_by_name():
        if name not in OF_THE_PROCESS:
            assert f"`{re.sub('_(bucket|count|sum)$', '', name)}`" in text, name


def test_every_setting_stands_in_the_docs_with_its_default() -> None:
    """Who sets one up reads the table of docs/operating.md."""
    rows = [line for line in (ROOT / "docs/operating.md").read_text().splitlines() if line.startswith("| `")]
    parts = [
        part for part in vars(settings).values()
        if isinstance(part, type) and issubclass(part, BaseSettings) and part.__module__ == settings.__name__
    ]  # fmt: skip
    assert len(parts) > 5
    for part in parts:
        for name, field in part.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings):
                continue
            variable = f"{part.model_config['env_prefix']}{name}".upper()
            (row,) = [row for row in rows if f"`{variable}`" in row.split("|")[1]]
            default = field.default
            if isinstance(default, SecretStr):
                default = default.get_secret_value()
            elif isinstance(default, bool):
                default = str(default).lower()
            elif isinstance(default, float) and default.is_integer():
                default = int(default)
            if default is not None and default != MAX_ROW_BYTES:
                assert f"`{default}`" in row.split("|")[3], variable


def test_prometheus_scrapes_the_ports_that_the_containers_answer_on() -> None:
    """ops/prometheus.yml and docker-compose.yml name the same hosts and port."""
    services = YAML_READER.load((ROOT / "docker-compose.yml").read_text())["services"]
    config = YAML_READER.load((ROOT / "ops/prometheus.yml").read_text())
    assert config["rule_files"] == ["alerts.yml"]
    (targets,) = [static["targets"] for job in config["scrape_configs"] for static in job["static_configs"]]
    assert {target.partition(":")[0] for target in targets} == STAGES
    for target in targets:
        host, _colon, port = target.partition(":")
        given = services[host]["environment"]
        assert {given[name] for name in given if name.endswith("_HTTP_PORT")} == {int(port)}
