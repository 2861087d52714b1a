"""MetalAlertsManager: looks at each snapshot, and sees that somebody hears of what is wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from metalscope.alert_report import Alert, AlertState, ChannelStatus, Matcher, Silence
from metalscope.alerts.builtin import builtin_inhibitions, rules_of
from metalscope.alerts.due import Due
from metalscope.alerts.engine import AlertEngine
from metalscope.alerts.expression.samples import Samples
from metalscope.alerts.memory_store import MemoryStore
from metalscope.alerts.rule import AlertRule
from metalscope.alerts.storing import AlertStore, Change, Kept
from metalscope.durations import DurationLike, parse_duration
from metalscope.fork import reset_in_child
from metalscope.json_values import read_time
from metalscope.moments import moment, rfc3339, utc_now

if TYPE_CHECKING:
    from metalscope.alert_options import AlertRuleOptions, AlertsOptions
    from metalscope.alerts.notify.base import Notifier
    from metalscope.alerts.notify.telling import Telling
    from metalscope.sending.result import ExportResult
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["MetalAlertsManager"]

EVALUATED: Final = "evaluated"
"""The name under which it is kept when the rules were last evaluated."""


class MetalAlertsManager:
    """Raises alerts by rules over snapshots, follows each until it is over, and tells channels.

    It has no clock of its own: :meth:`observe` is given a snapshot each tick, and all that is
    looked at, held and waited for is reckoned by the snapshots' timestamps. Only the sending of
    messages runs on threads. Every method may be called from any thread.

    Args:
        options: rules, channels and how long things take.
        on_error: told of what goes wrong inside, as (room, exception).
        source: what messages say they come from, such as the host's name.
        link: the address at which a person looks at an alert.
        runbook: and the one that says what to do about it.
        store: keeps what must survive; in memory where ``None``.
        notifiers: what is told, by the channel's name; by the options where ``None``.

    Raises:
        ConfigurationError: a channel or a template of it cannot be used.
        MissingExtraError: a channel's library is not installed.
    """

    def __init__(
        self,
        options: AlertsOptions,
        *,
        on_error: Callable[[str, BaseException], None],
        source: str = "",
        link: Callable[[Alert], str] = lambda _alert: "",
        runbook: Callable[[Alert], str] = lambda alert: alert.runbook,
        store: AlertStore | None = None,
        notifiers: Mapping[str, Notifier] | None = None,
    ) -> None:
        self._options = options
        self._source = source
        self.rules: tuple[AlertRuleOptions, ...] = rules_of(options)
        """The rules that are looked at: the built-in ones and those of the options."""
        rules = [AlertRule.of(one) for one in self.rules]
        self._store: AlertStore = MemoryStore() if store is None else store
        self._samples = Samples(
            (one for rule in rules for one in rule.expressions),
            interval=options.sampling_interval.total_seconds(),
        )
        self._engine = AlertEngine(
            rules,
            options,
            inhibitions=(*builtin_inhibitions(), *options.inhibitions),
            link=link,
            runbook=runbook,
            on_error=on_error,
        )
        self._latest: MetalTelemetrySnapshot | None = None
        self._telling: Telling | None = self._telling_of(notifiers, on_error)
        self._lock = threading.RLock()
        self._evaluated_at: datetime | None = None
        self._is_of_the_parent = False
        self._begin(self._store.load())
        reset_in_child(self)

    # -- each tick ---------------------------------------------------------------------------

    def observe(self, snapshot: MetalTelemetrySnapshot) -> None:
        """Look at a snapshot: take a sample, evaluate the rules, tell people, as each is due."""
        if self._is_of_the_parent:
            return
        now = snapshot.timestamp
        with self._lock:
            self._latest = snapshot
            evaluates = self._evaluating.is_due(now)
            if self._sampling.is_due(now) or evaluates:
                self._take(snapshot)
            resolved = self._evaluate(snapshot) if evaluates else ()
            self._tell(now, resolved)
            if self._cleaning.is_due(now):
                self._store.forget(now - self._options.alert_retention_period)

    def close(self, timeout: float | None = None) -> None:
        """Evaluate once more, tell what waits, and let go of all. Idempotent.

        Args:
            timeout: s that messages may take; ``alerts.shutdown_timeout`` where ``None``. What has
                not gone out by then waits in the store, where that is a file.
        """
        if self._is_of_the_parent:
            return
        seconds = self._options.shutdown_timeout.total_seconds() if timeout is None else timeout
        with self._lock:
            latest, self._latest = self._latest, None
            if latest is not None:
                resolved: Sequence[Alert] = ()
                if self._evaluated_at != latest.timestamp:
                    self._take(latest)
                    resolved = self._evaluate(latest)
                self._tell(latest.timestamp, resolved, at_the_end=True)
        if self._telling is not None:
            self._telling.close(seconds)
        self._store.close(seconds)

    def start_at_zero(self) -> None:
        """In a forked child: alerts are the parent's, and it may have been amid an evaluation."""
        self._lock = threading.RLock()
        self._is_of_the_parent = True

    # -- what it knows -----------------------------------------------------------------------

    @property
    def active(self) -> tuple[Alert, ...]:
        """The alerts that are pending or fire, gravest first."""
        return self._engine.active

    @property
    def dropped(self) -> int:
        """Alerts and series that there was no room for."""
        return self._engine.dropped + self._samples.overflowed

    def get(self, alert_id: str) -> Alert | None:
        """The alert of an id, active or over; ``None`` where there is none."""
        active = next((one for one in self.active if one.id == alert_id), None)
        return active or self._store.find(alert_id)

    def history(
        self, *, limit: int = 100, before: datetime | None = None, rule: str | None = None
    ) -> tuple[Alert, ...]:
        """Alerts that have fired, those that still do too, the latest first.

        Args:
            limit: how many at most.
            before: only those that fired before this moment.
            rule: only those of the rule of this name.
        """
        return self._store.history(limit=limit, before=before, rule=rule)

    def channels(self) -> tuple[ChannelStatus, ...]:
        """How each channel is doing."""
        return () if self._telling is None else self._telling.status()

    # -- what people do ----------------------------------------------------------------------

    def acknowledge(self, alert_id: str, *, by: str, comment: str = "") -> Alert:
        """Say that somebody looks after it: it is not repeated and not escalated.

        Raises:
            KeyError: no alert of this id is active.
        """
        with self._lock:
            alert = self._engine.acknowledge(alert_id, by=by, comment=comment, now=self._now())
            self._keep_said_of(alert)
            return alert

    def unacknowledge(self, alert_id: str) -> Alert:
        """Take an acknowledgement back.

        Raises:
            KeyError: no alert of this id is active.
        """
        with self._lock:
            alert = self._engine.unacknowledge(alert_id)
            self._keep_said_of(alert)
            return alert

    def silence(
        self,
        matchers: Iterable[Matcher | str],
        *,
        duration: DurationLike | None = None,
        ends_at: datetime | None = None,
        starts_at: datetime | None = None,
        created_by: str,
        comment: str = "",
    ) -> Silence:
        """Have alerts that fulfil all matchers tell nobody for a while.

        Args:
            matchers: at least one, such as ``'alertname="MetalGpuSaturated"'``.
            duration: how long, from ``starts_at`` on.
            ends_at: until when, in place of a duration.
            starts_at: from when on; now where ``None``.
            created_by: who wants it.
            comment: why.

        Raises:
            ValueError: a matcher is none, there is none, or the end is not after the beginning.
        """
        parsed = [Matcher.parse(one) if isinstance(one, str) else one for one in matchers]
        if not parsed:
            raise ValueError('matchers must hold at least one; to silence all: alertname=~".+"')
        if (duration is None) == (ends_at is None):
            raise ValueError("give either a duration or ends_at")
        with self._lock:
            begins = starts_at or self._now()
            ends = begins + parse_duration(duration) if duration is not None else ends_at
            assert ends is not None  # noqa: S101 - for the type checker
            if ends <= max(begins, self._now()):
                raise ValueError("must end after it begins, and later than now")
            silence = self._engine.add_silence(
                parsed,
                starts_at=begins,
                ends_at=ends,
                created_by=created_by,
                comment=comment,
                now=self._now(),
            )
            self._keep(Change(silences=(silence,)))
            return silence

    def expire_silence(self, silence_id: str) -> Silence:
        """End a silence now.

        Raises:
            KeyError: there is none of this id.
        """
        with self._lock:
            silence = self._engine.expire_silence(silence_id, self._now())
            self._keep(Change(silences=(silence,)))
            return silence

    def silences(self) -> tuple[Silence, ...]:
        """Those that hold, will hold, or ended within the retention period."""
        return self._engine.silences

    def test(self, channel: str | None = None) -> list[tuple[str, ExportResult]]:
        """Send a test message on one channel, or on each; what became of each.

        Raises:
            ConfigurationError: there is no such channel.
        """
        from metalscope.alerts.notify.testing import send_test  # noqa: PLC0415 - when asked for

        return send_test(self._options, channel, source=self._source)

    # -- inside ------------------------------------------------------------------------------

    def _begin(self, kept: Kept) -> None:
        self._samples.restore(kept.samples)
        self._engine.restore(kept)
        if self._telling is not None:
            self._telling.restore(kept)
        # Where the samples end, and the last evaluation was, so that both go on as they would have.
        taken, looked = self._samples.latest, kept.documents.get(EVALUATED)
        self._sampling = Due(
            self._options.sampling_interval, None if taken is None else moment(round(taken * 1e6))
        )
        self._evaluating = Due(
            self._options.evaluation_interval, None if looked is None else read_time(looked)
        )
        self._cleaning = Due(self._options.cleanup_interval)

    def _take(self, snapshot: MetalTelemetrySnapshot) -> None:
        rows = self._samples.take(snapshot)
        earliest = self._samples.earliest_needed(snapshot.timestamp.timestamp())
        self._store.keep(Change(samples=rows, samples_from=earliest))

    def _evaluate(self, snapshot: MetalTelemetrySnapshot) -> Sequence[Alert]:
        evaluation = self._engine.evaluate(snapshot.timestamp, self._samples, snapshot)
        self._evaluated_at = snapshot.timestamp
        looked = {EVALUATED: rfc3339(snapshot.timestamp)}
        self._keep(Change(alerts=evaluation.changed, documents={**evaluation.documents, **looked}))
        return [one for one in evaluation.changed if one.state is AlertState.RESOLVED]

    def _telling_of(
        self,
        notifiers: Mapping[str, Notifier] | None,
        on_error: Callable[[str, BaseException], None],
    ) -> Telling | None:
        """What tells the channels; nothing, and none of it loaded, where there are none."""
        options = self._options
        named = options.channels or options.notification_endpoints
        if notifiers is None and not (options.enable_notifications and named):
            return None
        from metalscope.alerts.notify.registry import notifiers_of  # noqa: PLC0415 - see above
        from metalscope.alerts.notify.telling import Telling  # noqa: PLC0415

        return Telling(
            options,
            notifiers_of(options) if notifiers is None else notifiers,
            store=self._store,
            source=self._source,
            now=self._now,
            on_error=on_error,
        )

    def _tell(self, now: datetime, resolved: Sequence[Alert], *, at_the_end: bool = False) -> None:
        if self._telling is not None:
            self._telling.turn(now, self._engine.active, resolved, at_the_end=at_the_end)

    def _keep_said_of(self, alert: Alert) -> None:
        # One that is pending is kept with the engine's state, and is in no history.
        if alert.state is not AlertState.PENDING:
            self._keep(Change(alerts=(alert,)))

    def _keep(self, change: Change) -> None:
        if not change.is_empty:
            self._store.keep(change)

    def _now(self) -> datetime:
        """The time of the tick, which all else is reckoned by; the wall's before there was one."""
        latest = self._latest
        return utc_now() if latest is None else latest.timestamp
