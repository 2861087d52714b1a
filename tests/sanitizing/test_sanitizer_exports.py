"""What exporters are given of an event, with ``sanitize`` and for external endpoints."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import snapshots

from metalscope.export.registry import context_for
from metalscope.export.view import MetricView
from metalscope.export_options import ExporterOptions, ExportOptions, SelectionOptions
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions
from metalscope.snapshot import TelemetryEvent

GIVEN = {
    "tenant": "a", "api_key": "Zq9nothing", "nested": {"user": {"password": "Zq9nothing"}},
    "note": "token=Zq9nothing from 10.0.0.1", "max_tokens": 17,
}  # fmt: skip
CLEAN = {
    "tenant": "a", "api_key": "…", "nested": {"user": {"password": "…"}},
    "note": "token=… from …", "max_tokens": 17,
}  # fmt: skip


def properties(view: MetricView) -> dict[str, Any]:
    event = TelemetryEvent(1, datetime(2026, 1, 2, tzinfo=UTC), "login", GIVEN)
    (seen,) = view.events(replace(snapshots.full(), events=(event,)))
    return dict(seen.properties)


@pytest.mark.parametrize(
    ("platform", "endpoint"),
    [
        ("application_insights", None),
        ("datadog", None),
        ("opentelemetry", "https://collector.example:4318"),
        ("custom", "https://hook.example/x"),
    ],
)
def test_external_endpoints_get_events_without_secrets(platform: str, endpoint: str | None) -> None:
    options = ExporterOptions(type=platform, endpoint=endpoint, api_key="k" * 32)  # type: ignore[arg-type]
    assert properties(context_for(options, ExportOptions()).view) == CLEAN


def test_internal_ones_get_them_as_they_were_recorded_unless_they_ask() -> None:
    options = ExporterOptions(type="opentelemetry", endpoint="http://127.0.0.1:4318")
    assert properties(context_for(options, ExportOptions()).view) == GIVEN
    assert properties(MetricView([SelectionOptions(sanitize=True)])) == CLEAN


def test_what_is_replaced_is_replaced_before_it_is_sanitized() -> None:
    selection = SelectionOptions(sanitize=True, replace={r"10\.0\.0\.\d+": "the office"})
    assert properties(MetricView([selection]))["note"] == "token=… from the office"


def test_exporters_may_be_given_the_rules_of_the_options() -> None:
    sanitizer = Sanitizer(SanitizingOptions(keys=("tenant",)))
    options = ExporterOptions(type="datadog", api_key="k" * 32)  # type: ignore[arg-type]
    view = context_for(options, ExportOptions(), sanitizer=sanitizer).view
    assert properties(view) == CLEAN | {"tenant": "…"}
