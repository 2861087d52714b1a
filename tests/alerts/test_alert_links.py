"""Where a person is sent to look at an alert."""

from __future__ import annotations

from dataclasses import dataclass, replace

from alert_samples import FIRING
from metalscope.alerts.links import Links


@dataclass
class Serving:
    url: str


def test_a_dashboard_is_opened_at_the_time_of_the_alert() -> None:
    links = Links("https://grafana/d/gpu?from={from_ms}&to={to_ms}&var-id={id}", lambda: None)
    since = int(FIRING.active_since.timestamp() * 1000)
    half_an_hour = 30 * 60 * 1000
    assert links(FIRING) == (
        f"https://grafana/d/gpu?from={since - half_an_hour}&to={since + half_an_hour}"
        f"&var-id={FIRING.id}"
    )


def test_without_one_the_programs_own_page_is_opened() -> None:
    assert Links(None, lambda: Serving("http://127.0.0.1:9464/"))(FIRING) == (
        f"http://127.0.0.1:9464/#alert={FIRING.id}"
    )


def test_where_nothing_is_served_there_is_no_link() -> None:
    assert Links(None, lambda: None)(FIRING) == ""


def test_a_built_in_rule_without_a_runbook_has_the_one_this_program_serves() -> None:
    links = Links(None, lambda: Serving("http://127.0.0.1:9464/"), {FIRING.rule})
    plain = replace(FIRING, runbook="")
    assert links.runbook(plain) == "http://127.0.0.1:9464/runbooks.html#metalkernelfailures"
    assert links.runbook(FIRING) == FIRING.runbook
    assert links.runbook(replace(plain, rule="Mine")) == ""
    assert Links(None, lambda: None, {FIRING.rule}).runbook(plain) == ""
