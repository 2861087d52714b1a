"""Options of alerts: rules, how long they hold, who is told, when nobody is."""

from __future__ import annotations

import re
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from metalscope.alert_report import Matcher
from metalscope.export_options import RetryOptions
from metalscope.operation import Component, ErrorSeverity
from metalscope.option_base import Options
from metalscope.option_types import (
    Count,
    Duration,
    DurationOrZero,
    Endpoint,
    Milliseconds,
    NotificationTarget,
    Percent,
    Port,
    Rate,
    with_different_names,
)
from metalscope.peer_options import ReachingOptions, SecretSourceText, TlsOptions

__all__ = [
    "NOTIFIER_ENTRY_POINTS",
    "AlertRuleOptions",
    "AlertsOptions",
    "ChannelOptions",
    "InhibitionOptions",
    "MaintenanceOptions",
    "SmtpOptions",
]

NOTIFIER_ENTRY_POINTS: Final = "metalscope.notifiers"
"""Entry points of this group make channel types of other packages known by name."""


def _alert_name(name: str) -> str:
    if not re.fullmatch(r"[a-zA-Z_][a-zA-Z0-9_]*", name):
        raise ValueError("must be a name such as MetalQueueFull: letters, digits, underscores")
    return name


def _expression(text: str) -> str:
    from metalscope.alerts.expression import check  # noqa: PLC0415 - only where there are rules

    check(text)
    return text


def _matcher(text: str) -> str:
    Matcher.parse(text)
    return text


def _labels(labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if not re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name):
            raise ValueError(f"must have names of labels, not {name!r}")
        if name in {"alertname", "severity", "component"}:
            raise ValueError(f"must not hold {name}, which is the rule's own")
    return labels


def _time_of_day(value: object) -> object:
    if isinstance(value, time):
        return value.strftime("%H:%M")
    if not isinstance(value, str) or not re.fullmatch(r"([01]?\d|2[0-3]):[0-5]\d|24:00", value):
        raise ValueError("must be a time of day such as '22:30'")
    return value


def _timezone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - where one is named

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone such as 'UTC' or 'Europe/Berlin'") from None
    return name


_Expression = Annotated[str, AfterValidator(_expression)]
_MatcherText = Annotated[str, AfterValidator(_matcher)]
_RuleLabels = Annotated[dict[str, str], AfterValidator(_labels)]
_TimeOfDay = Annotated[str, BeforeValidator(_time_of_day)]


class AlertRuleOptions(Options):
    """An alert rule of your own: an expression, and what is said where it gives something."""

    name: Annotated[str, AfterValidator(_alert_name)] = Field(
        description="The alert's name, `alertname` in Prometheus; that of a built-in rule takes "
        "its place."
    )
    expr: _Expression = Field(
        description="What raises it, in the [language of rules](alert-rules.md), such as "
        "`avg_over_time(metal_gpu_utilization_percent[5m]) > 90`."
    )
    # Prometheus's own word is a keyword of Python.
    __annotations__["for"] = DurationOrZero
    vars()["for"] = Field(
        timedelta(), description="How long the expression must hold before the alert fires."
    )
    severity: ErrorSeverity = Field(
        ErrorSeverity.MEDIUM, description="How grave it is: low, medium, high or critical."
    )
    severities: dict[ErrorSeverity, _Expression] = Field(
        default_factory=dict,
        description="Expressions that make it graver where they hold too, by severity.",
    )
    keep_firing_while: _Expression | None = Field(
        None,
        description="Once it fires, it goes on as long as this expression holds, so that a value "
        "near the threshold does not raise it again and again.",
    )
    keep_firing_for: DurationOrZero = Field(
        timedelta(),
        description="How long it goes on firing after the expression last held.",
    )
    summary: str = Field(
        "",
        description="Its title; `{value}` and `{label}` stand for what was found, see "
        "[titles](alerts.md#titles).",
    )
    description: str = Field("", description="More about it, written like the summary.")
    component: Component | None = Field(
        None, description="What it is about: memory, device, kernel, compiler or system."
    )
    labels: _RuleLabels = Field(default_factory=dict, description="Labels put on its alerts.")
    actions: tuple[str, ...] = Field((), description="What to do about it, a sentence each.")
    runbook: str = Field(
        "", description="The URL of a page that says what to do; `{label}` stands for a label."
    )
    enabled: bool = Field(True, description="Whether it is looked at.")

    @property
    def hold(self) -> timedelta:
        """``for``, which is a keyword of Python."""
        length: timedelta = getattr(self, "for")
        return length

    @field_validator("severities")
    @classmethod
    def _graver(cls, severities: dict[ErrorSeverity, str], info: Any) -> dict[ErrorSeverity, str]:
        base: ErrorSeverity | None = info.data.get("severity")
        if base is not None and any(one.rank <= base.rank for one in severities):
            raise ValueError(f"must be graver than its severity, which is {base}")
        return severities


class InhibitionOptions(Options):
    """While an alert that fulfils `source` fires, those that fulfil `target` tell nobody."""

    source: tuple[_MatcherText, ...] = Field(
        min_length=1, description="Matchers of the alert that explains the others."
    )
    target: tuple[_MatcherText, ...] = Field(
        min_length=1, description="Matchers of those that it explains."
    )
    equal: tuple[str, ...] = Field(
        (), description="Labels that must be the same in both where both have them."
    )


class MaintenanceOptions(Options):
    """A time, each week or each day, in which alerts tell nobody."""

    name: str = Field(min_length=1, description="Its name, shown on alerts it keeps quiet.")
    start: _TimeOfDay = Field(description="When it begins, as `HH:MM`.")
    end: _TimeOfDay = Field(
        description="When it ends, as `HH:MM`; the next day where that is no later than `start`."
    )
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        (), description="Days on which it begins, such as `sat`; each day where none is named."
    )
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "UTC", description="The time zone of all this."
    )
    matchers: tuple[_MatcherText, ...] = Field(
        (), description="Which alerts; all where there are none."
    )


class SmtpOptions(Options):
    """The server that takes e-mail."""

    host: str = Field("localhost", min_length=1, description="The server's name.")
    port: Port = Field(
        0, description="Its TCP port; 0 is 25, with `tls` 465, and where there is a user 587."
    )
    security: Literal["none", "starttls", "tls"] | None = Field(
        None,
        description="How the connection is secured: not, by STARTTLS, or TLS from the start; where "
        "nothing is set, by STARTTLS, where the port is 465 by TLS, and not at all to this machine "
        "itself.",
    )
    user: str | None = Field(None, min_length=1, description="Who logs in.")
    password: SecretStr | None = Field(None, description="The password; secret.")
    password_from: SecretSourceText | None = Field(
        None, description="Where it is read from, as `api_key_from` of an exporter."
    )
    sender: str | None = Field(
        None,
        description="The address mails come from; where none is set, metalscope@ this machine.",
    )
    tls: TlsOptions = Field(TlsOptions.defaults(), description="Its secure connection.")

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if self.password is not None and self.password_from is not None:
            raise ValueError("has both password and password_from; give one of them")
        has_password = self.password is not None or self.password_from is not None
        if has_password != (self.user is not None):
            raise ValueError("needs both a user and a password, or neither")
        return self


class ChannelOptions(ReachingOptions):
    """One place that is told of alerts."""

    name: str = Field(min_length=1, description="The name in logs and in metrics.")
    type: str | None = Field(
        None,
        description="What it is: slack, teams, email, pagerduty, webhook, alertmanager, macos, "
        "apprise, or the name another package registered; where none is set, the target tells.",
    )
    target: SecretStr | None = Field(
        None,
        description="The webhook's URL, e-mail addresses with commas between them, PagerDuty's "
        "integration key, or Apprise's URL; secret.",
    )
    enabled: bool = Field(True, description="Whether it is told.")
    min_severity: ErrorSeverity = Field(
        ErrorSeverity.LOW, description="Milder alerts are not told here."
    )
    matchers: tuple[_MatcherText, ...] = Field(
        (), description="Only alerts that fulfil all of these are told here."
    )
    send_resolved: bool = Field(True, description="Tell when it is over, too.")
    escalate_after: DurationOrZero = Field(
        timedelta(),
        description="Told only of alerts that nobody has acknowledged for this long; 0 is at once.",
    )
    rate_limit: Count = Field(
        20,
        description="Most messages a minute; the rest wait, and of one group the newest is sent.",
    )
    title: str | None = Field(
        None, description="A Jinja2 template of the title; see [notifications](notifications.md)."
    )
    body: str | None = Field(None, description="A Jinja2 template of the text.")
    timeout: Duration = Field(
        timedelta(seconds=10), description="Longest time one message may take."
    )
    signing_key: SecretStr | None = Field(
        None, min_length=8, description="Key of the HMAC-SHA256 that signs a webhook; secret."
    )

    @property
    def endpoint(self) -> str | None:
        """The target, where something is sent to it over HTTP."""
        return self.target.get_secret_value() if self.target is not None else None

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return f"alerts channel {self.name}"


class AlertsOptions(Options):
    """When an alert is raised, how long it is kept, and who is told.

    These thresholds raise alerts. Those of the same name in the top group mark a value as high in
    the report, and raise nothing.
    """

    enabled: bool = Field(True, description="Whether the rules are looked at.")
    evaluation_interval: Duration = Field(
        timedelta(minutes=1), description="Time between two evaluations of the rules."
    )
    sampling_interval: Duration = Field(
        timedelta(seconds=15),
        description="Time between two samples of what the rules look at; at least a tick.",
    )
    cleanup_interval: Duration = Field(
        timedelta(hours=1), description="Time between two removals of old alerts."
    )
    alert_retention_period: Duration = Field(
        timedelta(days=7), description="How long a resolved alert is kept."
    )
    max_alerts: Count = Field(
        1000, description="Most alerts at a time; what would be more is counted as dropped."
    )
    path: Path | None = Field(
        None,
        description="The SQLite file in which alerts, silences and messages that wait survive the "
        "end of the program; where none is set, beside `history.path`, or in memory without one.",
    )
    enable_notifications: bool = Field(False, description="Tell the channels and endpoints.")
    notification_endpoints: tuple[NotificationTarget, ...] = Field(
        (),
        description="Channels in short: webhook URLs and e-mail addresses, each told apart by "
        "[what it looks like](notifications.md); secret, as a webhook's path is its key.",
    )
    channels: Annotated[tuple[ChannelOptions, ...], AfterValidator(with_different_names)] = Field(
        (), description="The places that are told."
    )
    smtp: SmtpOptions = Field(SmtpOptions.defaults(), description="The server for e-mail.")
    group_by: tuple[str, ...] = Field(
        ("component",),
        description="Labels by which alerts are put together in one message; `alertname` and "
        "`severity` are labels too.",
    )
    group_wait: DurationOrZero = Field(
        timedelta(seconds=30),
        description="How long the first message of a group waits for alerts that belong to it.",
    )
    group_interval: DurationOrZero = Field(
        timedelta(minutes=5), description="Least time between two messages of a group."
    )
    group_updates: Literal["worse", "all"] = Field(
        "worse",
        description="When a group that was told of is told of again before it is over: when it is "
        "graver than was said, or at each alert that comes to it.",
    )
    repeat_interval: DurationOrZero = Field(
        timedelta(hours=12),
        description="How long until what still fires and nobody acknowledged is told again; 0 is "
        "never.",
    )
    inhibitions: tuple[InhibitionOptions, ...] = Field(
        (), description="Which alerts keep others quiet, beside the [built-in](alerts.md) ones."
    )
    maintenance: tuple[MaintenanceOptions, ...] = Field(
        (), description="Times in which nobody is told."
    )
    flapping_threshold: Count = Field(
        3,
        description="An alert that fires so many times within `flapping_window` flaps: it is held "
        "as one that goes on, and over when it was quiet for half of it. A count.",
    )
    flapping_window: Duration = Field(
        timedelta(hours=1), description="The window in which those times are counted."
    )
    retry: RetryOptions = Field(RetryOptions.defaults(), description="Messages that failed.")
    shutdown_timeout: DurationOrZero = Field(
        timedelta(seconds=5), description="How long the end of the program waits for messages."
    )
    dashboard_url: Endpoint | None = Field(
        None,
        description="The dashboard that messages link to, with `{from_ms}`, `{to_ms}` and `{id}` "
        "filled in; where none is set, the page this program serves, if it serves one.",
    )
    runbook_url: str = Field(
        "",
        description="The page that runbooks of built-in rules are on; the alert's name is put "
        "after it. Where none is set, this program's own, if it serves one.",
    )
    disabled_rules: tuple[str, ...] = Field(
        (), description="Built-in rules that are not looked at; shell globs such as `MetalGpu*`."
    )
    rules: Annotated[tuple[AlertRuleOptions, ...], AfterValidator(with_different_names)] = Field(
        (), description="Rules of your own."
    )
    memory_allocation_failure_threshold: Count = Field(
        3, description="Failed allocations within the window that raise an alert; a count."
    )
    memory_allocation_failure_window: Duration = Field(
        timedelta(minutes=5), description="The window failed allocations are counted in."
    )
    kernel_execution_failure_threshold: Count = Field(
        5, description="Failures of one kernel within the window that raise an alert; a count."
    )
    kernel_execution_failure_window: Duration = Field(
        timedelta(minutes=5), description="The window failed kernels are counted in."
    )
    failing_share_threshold: Rate = Field(
        0.05,
        description="Share of operations, 0 to 1, that must fail besides for failures to raise an "
        "alert: five of a million are no incident. 0 goes by the counts alone.",
    )
    slow_operation_threshold_ms: Milliseconds = Field(
        100.0,
        description="An operation that takes longer, in ms, counts towards the alert; the next "
        "bound of the histogram is taken.",
    )
    slow_operation_alert_threshold: Count = Field(
        10, description="Slow runs of one operation that raise an alert; a count."
    )
    slow_operation_window: Duration = Field(
        timedelta(minutes=15), description="The window slow runs are counted in."
    )
    slow_share_threshold: Rate = Field(
        0.1,
        description="Share of an operation's runs, 0 to 1, that must be slow besides. 0 goes by "
        "the count alone.",
    )
    high_gpu_utilization_threshold: Percent = Field(
        90.0, description="GPU utilisation in percent above which an alert is raised."
    )
    high_gpu_utilization_window: Duration = Field(
        timedelta(minutes=5), description="The window its mean is taken over."
    )
    high_memory_utilization_threshold: Percent = Field(
        85.0, description="Memory utilisation in percent above which an alert is raised."
    )
    high_resource_utilization_threshold: Percent = Field(
        85.0,
        description="Utilisation of the host's memory in percent above which an alert is raised.",
    )
    error_rate_alert_threshold: Count = Field(
        10, description="Errors of one type within the window that raise an alert; a count."
    )
    error_rate_window: Duration = Field(
        timedelta(minutes=10), description="The window errors of one type are counted in."
    )
