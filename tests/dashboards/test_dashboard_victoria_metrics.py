"""The same queries, asked of a VictoriaMetrics that took what we expose."""

from __future__ import annotations

import time
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from dashboard_answers import without_numbers
from growing_program import on_the_device
from victoria_metrics import running_victoria_metrics

from metalscope.export.prometheus import render

pytestmark = pytest.mark.server

SCRAPES = 10
AGO = 90
"""Seconds. It hides the newest half minute, as not everything may have come."""


def test_every_query_gives_numbers_of_victoria_metrics_too(tmp_path: Path) -> None:
    began = time.time() - AGO
    with running_victoria_metrics(tmp_path) as server:
        for scrape in range(SCRAPES):
            labels = [("extra_label", "job=ours"), ("extra_label", "instance=here:9464")]
            moment = ("timestamp", str(int(1000 * (began + scrape))))
            target = (
                f"{server.url}/api/v1/import/prometheus?{urllib.parse.urlencode([*labels, moment])}"
            )
            body, _ = render(on_the_device(1 + scrape), None)
            urllib.request.urlopen(target, data=body, timeout=10).close()
        at = began + SCRAPES - 1
        deadline = time.monotonic() + 30
        while not server.query('metal_operations_total{job="ours"}', at=at):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert without_numbers(server, "ours", at) == []
