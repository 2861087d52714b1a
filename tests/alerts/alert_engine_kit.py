"""An engine over a metric of one's own, driven by hand, that can be restarted at any moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from metalscope.alert_options import AlertRuleOptions, AlertsOptions
from metalscope.alert_report import Alert
from metalscope.alerts.engine import AlertEngine, Evaluation
from metalscope.alerts.expression.samples import Samples
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.rule import AlertRule
from metalscope.alerts.storing import Change, Kept
from metalscope.snapshot import CustomMetric, MetalTelemetrySnapshot
from metalscope.snapshot_json_alerts import alert_from_dict, silence_from_dict

START = datetime(2026, 1, 1, tzinfo=UTC)


def rule(name: str = "Trouble", expr: str = "trouble > 5", **more: Any) -> AlertRule:
    return AlertRule.of(AlertRuleOptions(name=name, expr=expr, **more))


def snapshot(at: datetime, values: Mapping[str, float], **more: Any) -> MetalTelemetrySnapshot:
    """One in which the gauge ``trouble`` has these values, by the label ``name``."""
    custom = tuple(
        CustomMetric("trouble", "gauge", (("name", name),), value)
        for name, value in sorted(values.items())
    )
    return MetalTelemetrySnapshot(at, START, custom=custom, **more)


class Driven:
    """Takes a sample and evaluates at each turn, and keeps what is to be kept."""

    def __init__(
        self, *rules: AlertRule, inhibitions: Any = (), link: Any = None, **options: Any
    ) -> None:
        self.rules = rules or (rule(),)
        self.options = AlertsOptions(**options)
        self.inhibitions = inhibitions
        self.link = link or (lambda alert: f"at:{alert.id}")
        self.store = MemoryStore()
        self.errors: list[str] = []
        self.now = START
        self.rows: list[Any] = []
        self._begin()

    def _begin(self) -> None:
        self.samples = Samples(one for rule in self.rules for one in rule.expressions)
        self.engine = AlertEngine(
            self.rules,
            self.options,
            inhibitions=self.inhibitions,
            link=self.link,
            on_error=lambda room, error: self.errors.append(f"{room}: {error}"),
        )

    def turn(self, seconds: float = 60, /, **values: float) -> Evaluation:
        return self.turn_to(self.now + timedelta(seconds=seconds), values)

    def turn_to(self, now: datetime, values: Mapping[str, float], **more: Any) -> Evaluation:
        self.now = now
        seen = snapshot(now, values, **more)
        self.rows += self.samples.take(seen)
        evaluation = self.engine.evaluate(now, self.samples, seen)
        self.store.keep(Change(alerts=evaluation.changed, documents=evaluation.documents))
        return evaluation

    def restart(self, *rules: AlertRule) -> None:
        """Go on in another engine, which knows what went through JSON, perhaps by other rules."""
        kept = self.store.load()
        self.rules = rules or self.rules
        self._begin()
        # In the order of time, as a store gives them.
        self.samples.restore(sorted(self.rows, key=lambda row: row[1]))
        self.engine.restore(
            Kept(
                tuple(alert_from_dict(_json(one.to_dict())) for one in kept.alerts),
                tuple(silence_from_dict(_json(one.to_dict())) for one in self.engine_silences()),
                _json(kept.documents),
            )
        )

    def engine_silences(self) -> Any:
        return self.store.load().silences

    def silence(self, *matchers: str, begins: float = 0, ends: float = 3600) -> Any:
        """From and until some seconds from now."""
        silence = self.engine.add_silence(
            matchers,
            starts_at=self.now + timedelta(seconds=begins),
            ends_at=self.now + timedelta(seconds=ends),
            created_by="ada",
            comment="",
            now=self.now,
        )
        self.store.keep(Change(silences=[silence]))
        return silence

    @property
    def only(self) -> Alert:
        (alert,) = self.engine.active
        return alert


def _json(data: Any) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))
