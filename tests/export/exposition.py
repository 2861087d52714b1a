"""Reads exposition text with prometheus_client's parsers into values that compare."""

from __future__ import annotations

from typing import NamedTuple

from prometheus_client import parser as classic
from prometheus_client.openmetrics import parser as openmetrics


class Parsed(NamedTuple):
    type: str
    help: str
    unit: str
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], str]


def parse(body: bytes, content_type: str) -> dict[str, Parsed]:
    """Return families by name; values as the text of a float, so that NaN equals NaN."""
    is_openmetrics = content_type.startswith("application/openmetrics-text")
    reader = openmetrics if is_openmetrics else classic
    found: dict[str, Parsed] = {}
    for family in reader.text_string_to_metric_families(body.decode()):
        assert family.name not in found, f"{family.name} is there twice"
        samples: dict[tuple[str, tuple[tuple[str, str], ...]], str] = {}
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in samples, f"{key} is there twice"
            samples[key] = repr(float(sample.value))
        found[family.name] = Parsed(family.type, family.documentation, family.unit, samples)
    return found


def values(found: dict[str, Parsed], name: str) -> dict[tuple[str, ...], float]:
    """Return values of the samples called ``name``, by label values in order of label name."""
    return {
        tuple(value for _, value in labels): float(number)
        for family in found.values()
        for (sample, labels), number in family.samples.items()
        if sample == name
    }
