from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import EARLIER, NOW

from metalscope.export.prometheus import render
from metalscope.snapshot import MetalTelemetrySnapshot

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
CLASSIC_1 = "text/plain; version=1.0.0; charset=utf-8"

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, CLASSIC),
        ("", CLASSIC),
        ("*/*", CLASSIC),
        (FIREFOX, CLASSIC),
        (PROMETHEUS_2, OPENMETRICS),
        (PROMETHEUS_3, OPENMETRICS + "; escaping=allow-utf-8"),
        ("application/openmetrics-text", OPENMETRICS),
        ("Application/OpenMetrics-Text; Version=1.0.0", OPENMETRICS),
        ('application/openmetrics-text;version="1.0.0"', OPENMETRICS),
        ("application/*", OPENMETRICS),
        ("text/*", CLASSIC),
        ("text/plain", CLASSIC),
        ("text/plain;version=1.0.0", CLASSIC_1),
        ("text/plain;version=1.0.0;escaping=underscores", CLASSIC_1 + "; escaping=underscores"),
        ("text/plain;version=0.0.4;escaping=allow-utf-8", CLASSIC),
        # The weight decides, not the order.
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", CLASSIC),
        ("text/plain;q=0.1,application/openmetrics-text;q=0.9", OPENMETRICS),
        ("text/plain;q=0.5,application/openmetrics-text;q=0.5", OPENMETRICS),
        ("application/openmetrics-text,*/*", OPENMETRICS),
        ("application/openmetrics-text;q=0.1,*/*;q=0.9", CLASSIC),
        # Zero forbids.
        ("application/openmetrics-text;q=0,*/*", CLASSIC),
        ("text/plain;q=0,*/*", OPENMETRICS),
        # What we do not speak falls back to what everyone reads.
        ("application/openmetrics-text;version=2.0.0", CLASSIC),
        ("application/openmetrics-text;version=2.0.0,application/openmetrics-text;q=0.5",
         OPENMETRICS),
        ("application/json", CLASSIC),
        # Under "dots" every underscore would double, so it is not followed.
        ("application/openmetrics-text;version=1.0.0;escaping=dots",
         OPENMETRICS + "; escaping=underscores"),
        ("application/openmetrics-text;version=1.0.0;escaping=values",
         OPENMETRICS + "; escaping=values"),
        # A weight that is none voids its range.
        ("application/openmetrics-text;q=high,text/plain", CLASSIC),
        ("application/openmetrics-text;q=nan", CLASSIC),
    ],
)  # fmt: skip
def test_the_format_is_the_one_the_scraper_asks_for(accept: str | None, content_type: str) -> None:
    body, given_type = render(MetalTelemetrySnapshot(NOW, EARLIER), accept)
    assert given_type == content_type
    assert body.endswith(b"# EOF\n") == given_type.startswith("application/openmetrics-text")
    assert b"metal_operations" in body


pieces = st.sampled_from(
    ["text/plain", "application/openmetrics-text", "*/*", ",", ";", "q=", "=", '"', "version=", "1"]
)


@settings(deadline=None)
@given(st.text() | st.lists(pieces, max_size=12).map("".join))
def test_no_accept_header_is_too_broken_to_answer(accept: str) -> None:
    body, content_type = render(MetalTelemetrySnapshot(NOW, EARLIER), accept)
    assert body.endswith(b"# EOF\n") == content_type.startswith("application/openmetrics-text")
