"""What of a snapshot an exporter may send, and as what."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
import snapshots

from metalscope.errors import ConfigurationError
from metalscope.export.registry import context_for
from metalscope.export.view import MetricView
from metalscope.export_options import (
    Audience,
    ExporterOptions,
    ExportOptions,
    SelectionOptions,
)
from metalscope.families import Family, families
from metalscope.operation import OK
from metalscope.sending.audience import audience_of
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot, TelemetryEvent

FULL = snapshots.full()


def seen(snapshot: MetalTelemetrySnapshot = FULL, **selection: Any) -> dict[str, Family]:
    view = MetricView([SelectionOptions(**selection)])
    return {family.metric.name: family for family in view.families(snapshot)}


def with_series(found: Iterable[Family]) -> list[Family]:
    return [family for family in found if family.values or family.distributions]


def test_without_a_selection_everything_is_sent_as_it_is() -> None:
    assert list(MetricView().families(FULL)) == with_series(families(FULL))
    assert list(seen().values()) == with_series(families(FULL))


def test_only_what_is_allowed_is_sent_and_of_that_not_what_is_denied() -> None:
    found = seen(allow=("metal_operation*", "metal_errors_total"), deny=("*_ms",))
    assert set(found) == {
        "metal_operations_total",
        "metal_errors_total",
        "metal_operation_bytes_total",
        "metal_operation_gpu_seconds_total",
        "metal_operations_by_category_total",
    }


def test_a_metric_can_have_another_name_and_a_counter_keeps_its_ending() -> None:
    found = seen(rename={"metal_operations_total": "gpu_ops", "metal_power_watts": "watts"})
    assert "gpu_ops_total" in found
    assert found["watts"].values == seen()["metal_power_watts"].values
    assert "metal_operations_total" not in found


def test_series_that_are_the_same_without_a_label_are_added_up() -> None:
    before = seen()["metal_operations_total"]
    after = seen(drop_labels=("name", "kind"))["metal_operations_total"]
    assert after.metric.labels == ("device", "outcome")
    assert dict(after.values) == {
        ("m1", OK): sum(v for labels, v in before.values if labels[-1] == OK),
        ("m1", "out_of_memory"): sum(v for labels, v in before.values if labels[-1] != OK),
    }


def test_so_are_histograms_to_the_last_bucket() -> None:
    before = seen()["metal_operation_duration_ms"].distributions
    ((labels, merged),) = seen(drop_labels=("name", "kind", "outcome"))[
        "metal_operation_duration_ms"
    ].distributions
    assert labels == ("m1",)
    assert merged.count == sum(one.count for _, one in before)
    assert merged.sum == pytest.approx(sum(one.sum or 0 for _, one in before))
    assert merged.durations is not None
    assert merged.durations.classic() == tuple(merged.buckets)
    assert merged.durations.count == merged.count


def test_of_gauges_the_highest_is_kept() -> None:
    pools = dict(seen()["metal_memory_usage_bytes"].values)
    (only,) = seen(drop_labels=("pool",))["metal_memory_usage_bytes"].values
    assert only == (("m1",), max(pools.values()))


def test_labels_can_have_other_names_and_values() -> None:
    found = seen(rename_labels={"device": "gpu"}, replace={"^m(\\d)$": "apple-m\\1"})
    family = found["metal_power_watts"]
    assert family.metric.labels == ("gpu", "rail")
    assert [labels[0] for labels, _ in family.values] == ["apple-m1"]


PRIVATE = {
    "/Users/anna/models/x.metal": "/Users/…/models/x.metal",
    "/home/anna/x": "/home/…/x",
    "C:\\Users\\anna\\x": "C:\\Users\\…\\x",
    "mail anna.b@example.co.uk now": "mail … now",
    "at 10.1.2.3:80": "at …:80",
    "fe80:0:0:0:1:2:3:4": "…",
    "password=hunter2 x": "password=… x",
    "Authorization: Bearer": "Authorization: …",
    "eyJhbGciOi.eyJzdWIiOi.sig": "…",
    "0123456789abcdef0123456789ABCDEF": "…",
    "sk-proj-abcdefghijklmnop": "…",
    "gemm_tiled_nt_float32_float32_bm64_bn64_bk16_wm2_wn2": None,
    "_Z12gemm_kernelILi64ELi64ELi16EEvPKfS1_Pf": None,
    "aten::mm": None,
    "3.11.7": None,
    "金属 kernel": None,
}


@pytest.mark.parametrize(("value", "clean"), PRIVATE.items())
def test_what_may_be_private_is_masked_where_that_is_asked_for(
    value: str, clean: str | None
) -> None:
    snapshot = replace(FULL, custom=(CustomMetric("jobs", "counter", (("what", value),), 1),))
    (series,) = seen(snapshot, sanitize=True, allow=("jobs_total",))["jobs_total"].values
    assert series == ((clean or value,), 1)


def test_events_are_cleaned_to_their_depths() -> None:
    event = TelemetryEvent(
        1, FULL.timestamp, "login", {"who": "a@example.org", "at": [{"ip": "10.0.0.1"}], "n": 3}
    )
    view = MetricView([SelectionOptions(sanitize=True, drop_labels=("secret",))])
    (cleaned,) = view.events(replace(FULL, events=(event,)))
    assert cleaned.properties == {"who": "…", "at": [{"ip": "…"}], "n": 3}
    assert event.properties["who"] == "a@example.org"


def test_a_selection_that_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match=r"rename.*not '1st'"):
        SelectionOptions(rename={"a": "1st"})
    with pytest.raises(ConfigurationError, match=r"rename_labels.*not '__name__'"):
        SelectionOptions(rename_labels={"a": "__name__"})
    with pytest.raises(ConfigurationError, match=r"replace.*regular expressions.*\(unclosed"):
        SelectionOptions(replace={"(unclosed": ""})


# -- who speaks ----------------------------------------------------------------------------------


def test_the_resource_names_service_and_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    resource = MetricView(labels={"env": "prod"}).resource(FULL)
    assert resource["service.name"] == "metalscope"
    assert resource["service.instance.id"] == "box:1"
    assert resource["env"] == "prod"
    assert MetricView().identity(FULL) == {"job": "metalscope", "instance": "box:1"}


def test_the_environment_names_it_and_the_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "OTEL_RESOURCE_ATTRIBUTES", "service.name=by-list, service.instance.id=one%2C,k=v"
    )
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    assert MetricView().resource(FULL)["service.name"] == "by-list"
    assert MetricView().resource(FULL)["service.instance.id"] == "one,"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "by-name")
    assert MetricView().identity(FULL)["job"] == "by-name"
    assert MetricView(service_name="by-option").identity(FULL)["job"] == "by-option"


# -- inside and outside --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "audience"),
    [
        ("http://127.0.0.1:4318", "internal"),
        ("http://[::1]:4318", "internal"),
        ("http://10.2.3.4", "internal"),
        ("http://collector:4318", "internal"),
        ("https://otel.corp.internal", "internal"),
        ("file:///var/log/metal.ndjson", "internal"),
        ("https://otlp-gateway-prod-eu-west-2.grafana.net/otlp", "external"),
        ("https://8.8.8.8/", "external"),
    ],
)
def test_the_address_tells_whether_it_is_ones_own_side(endpoint: str, audience: str) -> None:
    assert audience_of(ExporterOptions(type="custom", endpoint=endpoint)) == audience
    other = {"internal": "external", "external": "internal"}[audience]
    said = ExporterOptions(type="custom", endpoint=endpoint, audience=other)
    assert audience_of(said) == other


def test_platforms_are_outside_where_no_endpoint_says_otherwise() -> None:
    assert audience_of(ExporterOptions(type="datadog")) is Audience.EXTERNAL
    assert audience_of(ExporterOptions(type="prometheus")) is Audience.INTERNAL


def test_what_leaves_for_outside_is_cleaned_and_what_stays_inside_is_not() -> None:
    custom = (CustomMetric("jobs", "counter", (("owner", "anna@example.org"),), 1),)
    assert FULL.system is not None
    system = replace(FULL.system, resource=(("host.id", "abc"), ("host.name", "box")))
    snapshot = replace(FULL, custom=custom, system=system)
    options = ExportOptions(external={"deny": ["metalscope_*"]})
    for audience, owner, has_id in (("external", "…", False), ("internal", custom, True)):
        exporter = ExporterOptions(type="custom", endpoint="http://x", audience=audience)
        view = context_for(exporter, options).view
        found = {family.metric.name: family for family in view.families(snapshot)}
        ((labels, _),) = found["jobs_total"].values
        assert labels == ((owner,) if audience == "external" else ("anna@example.org",))
        assert ("metalscope_build_info" in found) is has_id
        assert ("host.id" in view.resource(snapshot)) is has_id
        assert view.resource(snapshot)["host.name"] == "box"
