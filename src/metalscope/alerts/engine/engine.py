"""AlertEngine: looks at all rules, and follows each alert from its beginning to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from metalscope.alert_report import Acknowledgement, Alert, Labels, Matcher, Silence
from metalscope.alerts.engine.book import Book, gravest_first_key
from metalscope.alerts.engine.clock import SteadyClock, microseconds_of
from metalscope.alerts.engine.evidence import EvidenceSource
from metalscope.alerts.engine.faults import Faults
from metalscope.alerts.engine.flapping import Flapping
from metalscope.alerts.engine.inhibiting import Inhibition
from metalscope.alerts.engine.life import Track, Turn, begun, held_again, is_over, resolved
from metalscope.alerts.engine.looking import fingerprint_of, holdings, kept
from metalscope.alerts.engine.maintenance import MaintenanceWindow
from metalscope.alerts.engine.muting import Muting
from metalscope.alerts.engine.remembering import remembered, state_of
from metalscope.alerts.engine.room import Found, make_room
from metalscope.alerts.engine.silencing import Silences

if TYPE_CHECKING:
    from metalscope.alert_options import AlertsOptions, InhibitionOptions
    from metalscope.alerts.expression.samples import Samples
    from metalscope.alerts.rule import AlertRule
    from metalscope.alerts.storing import Kept
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["AlertEngine", "Evaluation"]

DOCUMENT: Final = "engine"
_LEFT_OUT: Final = "there was no room for it beside graver alerts; it may still hold"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation came to.

    ``active`` are pending and firing, gravest first. ``changed`` are those that must be kept: that
    fired, were resolved, or changed in more than count and value; none that is pending.
    ``documents`` is to be kept with them.
    """

    at: datetime
    active: tuple[Alert, ...] = ()
    changed: tuple[Alert, ...] = ()
    documents: dict[str, Any] = field(default_factory=dict)


class AlertEngine:
    """Evaluates rules over samples. It has no clock and no thread, and keeps nothing on disk.

    Who owns it sees to it that one thread at a time is inside; :attr:`active` may be read by any.

    Args:
        rules: the rules, whose names must differ.
        options: how many alerts at most, flapping, maintenance, retention.
        inhibitions: which alerts explain others.
        link: makes the link of an alert that begins to fire.
        runbook: and the link of what to do about it.
        on_error: told of what goes wrong inside, as (room, exception).

    Raises:
        ValueError: two rules have one name.
    """

    def __init__(
        self,
        rules: Sequence[AlertRule],
        options: AlertsOptions,
        *,
        inhibitions: Sequence[InhibitionOptions],
        link: Callable[[Alert], str] = lambda _alert: "",
        runbook: Callable[[Alert], str] = lambda alert: alert.runbook,
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        self._rules = {rule.name: rule for rule in rules}
        if len(self._rules) < len(rules):
            raise ValueError("rules: must have different names")
        self._windows = {
            rule.name: microseconds_of(max((one.longest for one in rule.expressions), default=0))
            for rule in rules
        }
        self._link = link
        self._runbook = runbook
        self._faults = Faults(on_error)
        self._most = options.max_alerts
        self._clock = SteadyClock(options.evaluation_interval)
        self._flapping = Flapping(
            threshold=options.flapping_threshold,
            window=microseconds_of(options.flapping_window.total_seconds()),
            most=max(options.max_alerts, 1000),
        )
        self._silences = Silences(options.alert_retention_period)
        self._muting = Muting(
            self._silences,
            map(MaintenanceWindow.of, options.maintenance),
            map(Inhibition.of, inhibitions),
        )
        self._book = Book()
        self._orphans: list[tuple[Alert, str]] = []
        self._refused: set[str] = set()
        self.active: tuple[Alert, ...] = ()
        """Alerts that are pending or firing, gravest first, as of the last evaluation."""
        self.dropped = 0
        """Alerts there was no room for."""

    def restore(self, kept: Kept) -> None:
        """Go on from what was kept, before the first evaluation.

        Data that cannot be read is reported; then alerts that fired go on as far as they are known
        themselves. Those of rules that are no more are resolved at the first evaluation.
        """
        self._silences.restore(kept.silences)
        state = kept.documents.get(DOCUMENT)
        try:
            tracks = self._remembered(state, kept.alerts)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._faults.tell("the state of alerts that was kept cannot be read", error)
            tracks = self._remembered(None, kept.alerts)
        for track in sorted(tracks, key=lambda one: one.alert.active_since, reverse=True):
            alert = track.alert
            if alert.rule not in self._rules:
                if track.is_firing:
                    self._orphans.append((alert, f"the rule {alert.rule} is no longer looked at"))
            elif alert.labels in self._book.of(alert.rule):
                self._orphans.append((alert, "a later alert took its place"))
            else:
                self._book.add(track)
        self.active = self._book.gravest_first()

    def evaluate(
        self, now: datetime, samples: Samples, snapshot: MetalTelemetrySnapshot
    ) -> Evaluation:
        """Look at every rule as of ``now``.

        A rule that cannot be evaluated is reported, once until it can be again, and its alerts stay
        as they were.
        """
        time, at = self._clock.turn(now), now.timestamp()
        turns: list[tuple[Turn, AlertRule, Track]] = []
        new: list[Found] = []
        over: list[Alert] = []
        for rule in self._rules.values():
            tracks = self._book.of(rule.name)
            try:
                found = holdings(rule, samples, at)
                keeping: frozenset[Labels] = frozenset()
                if rule.keep_while is not None and any(one.is_firing for one in tracks.values()):
                    keeping = kept(rule, samples, at)
            except Exception as error:  # noqa: BLE001 - a rule may be anybody's
                self._faults.rule_failed(rule.name, error)
                continue
            self._faults.rule_works(rule.name)
            for one in found:
                track = tracks.get(one.labels)
                if track is None:
                    new.append((rule, one))
                else:
                    turns.append((held_again(track, rule, one, now=now, time=time), rule, track))
            if tracks:
                held = {one.labels for one in found}
                over += self._let_go(rule, held, keeping, now=now, time=time)
        turns += self._take_in(new, now=now, time=time)
        over += [resolved(alert, now, why) for alert, why in self._orphans]
        self._orphans = []
        self._look_at(turns, snapshot)
        self._flapping.forget(self._clock.passed)
        self._silences.forget(now)
        self._mute(now)
        changed = (*sorted(over, key=gravest_first_key), *self._book.changed(time))
        state = state_of(self._clock, self._flapping, self._book)
        return Evaluation(now, self.active, changed, {DOCUMENT: state})

    def acknowledge(self, alert_id: str, *, by: str, comment: str = "", now: datetime) -> Alert:
        """Take down that somebody looks after an alert, until it gets worse or is over.

        Raises:
            KeyError: no alert of this id is active.
        """
        return self._acknowledged(alert_id, Acknowledgement(by, now, comment))

    def unacknowledge(self, alert_id: str) -> Alert:
        """Take down that nobody does.

        Raises:
            KeyError: no alert of this id is active.
        """
        return self._acknowledged(alert_id, None)

    @property
    def silences(self) -> tuple[Silence, ...]:
        """Those that hold, will hold, or ended within the retention period."""
        return self._silences.all

    def add_silence(
        self,
        matchers: Iterable[Matcher | str],
        *,
        starts_at: datetime,
        ends_at: datetime,
        created_by: str,
        comment: str,
        now: datetime | None = None,
    ) -> Silence:
        """Have alerts that fulfil all matchers tell nobody from one moment to another.

        It is seen on alerts at once where ``now`` is given, else from the next evaluation on.

        Raises:
            ValueError: no matcher asks for a label that is there, it ends before it begins, a time
                has no zone, or there are too many silences.
        """
        silence = self._silences.add(
            matchers,
            starts_at=starts_at,
            ends_at=ends_at,
            created_by=created_by,
            comment=comment,
        )
        if now is not None:
            self._mute(now)
        return silence

    def expire_silence(self, silence_id: str, now: datetime) -> Silence:
        """End a silence now. One that has ended already stays as it is.

        Raises:
            KeyError: there is none of this id.
        """
        silence = self._silences.expire(silence_id, now)
        self._mute(now)
        return silence

    # -- the steps of an evaluation -------------------------------------------------------------

    def _let_go(
        self,
        rule: AlertRule,
        held: set[Labels],
        keeping: frozenset[Labels],
        *,
        now: datetime,
        time: int,
    ) -> Iterator[Alert]:
        """What becomes of a rule's alerts whose condition does not hold; those that are over."""
        for labels, track in list(self._book.of(rule.name).items()):
            if labels in held:
                continue
            if not track.is_firing:
                self._book.remove(track)
            elif labels in keeping:
                track.since, track.quiet = {}, None
            elif not self._clock.has_seen(self._windows[rule.name]):
                # The clock leapt, and took what was in the window with it.
                track.since = {}
            elif why := is_over(track, rule, time=time, flaps_for=self._flapping.quiet):
                self._book.remove(track)
                yield resolved(track.alert, now, why)

    def _take_in(
        self, new: Sequence[Found], *, now: datetime, time: int
    ) -> Iterator[tuple[Turn, AlertRule, Track]]:
        """Begin the alerts there is room for."""
        taken, gone, left_out = make_room(list(self._book), new, self._most)
        for track in gone:
            self._book.remove(track)
            if track.is_firing:
                self._orphans.append((track.alert, _LEFT_OUT))
        refused = {track.alert.fingerprint for track in gone}
        refused.update(fingerprint_of(rule.name, one.labels) for rule, one in left_out)
        # One that goes on being left out is one.
        self.dropped += len(refused - self._refused)
        self._refused = refused
        for rule, one in taken:
            track = begun(rule, one, now)
            self._book.add(track)
            yield held_again(track, rule, one, now=now, time=time), rule, track

    def _look_at(
        self, turns: Iterable[tuple[Turn, AlertRule, Track]], snapshot: MetalTelemetrySnapshot
    ) -> None:
        """Draw the evidence of alerts that fire or got graver."""
        source = EvidenceSource(snapshot)
        for turn, rule, track in turns:
            if turn is Turn.FIRES:
                flaps = self._flapping.fires(track.alert.fingerprint, self._clock.passed)
                track.alter(flapping=flaps, **self._linked(track.alert))
            if turn is not Turn.GOES_ON:
                try:
                    track.alter(evidence=source.of(rule, track.alert))
                except Exception as error:  # noqa: BLE001 - it is an alert without evidence still
                    self._faults.tell(f"the evidence of {rule.name} cannot be drawn", error)

    # -- what they share ------------------------------------------------------------------------

    def _remembered(self, state: Any, alerts: Iterable[Alert]) -> list[Track]:
        return remembered(state, alerts, self._rules, clock=self._clock, flapping=self._flapping)

    def _mute(self, now: datetime) -> None:
        self._muting.mute(list(self._book), now)
        self.active = self._book.gravest_first()

    def _acknowledged(self, alert_id: str, by: Acknowledgement | None) -> Alert:
        track = self._book.find(alert_id)
        track.alter(acknowledged=by)
        self.active = self._book.gravest_first()
        return track.alert

    def _linked(self, alert: Alert) -> dict[str, str]:
        try:
            return {"link": self._link(alert), "runbook": self._runbook(alert)}
        except Exception as error:  # noqa: BLE001 - an alert without a link is one still
            self._faults.tell(f"the link of an alert of {alert.rule} cannot be made", error)
            return {}
