"""The words of a message by templates in the options, checked when they are read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from metalscope.alerts.notify.default_wording import DefaultWording
from metalscope.alerts.notify.phrases import (
    duration_phrase,
    lines,
    number_phrase,
    one_line,
    shortened,
    time_phrase,
)
from metalscope.alerts.notify.sample_notification import sample_notification
from metalscope.errors import ConfigurationError, MissingExtraError

if TYPE_CHECKING:
    from jinja2 import Template

    from metalscope.alert_options import ChannelOptions
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.wording import Wording

__all__ = ["MAX_OUTPUT", "MAX_TEMPLATE", "TemplateWording", "wording_of"]

MAX_OUTPUT: Final = 16 * 1024
"""Characters of a text that a template makes; what is more is cut off."""

MAX_TEMPLATE: Final = 16 * 1024
"""Characters of a template."""

logger = logging.getLogger("metalscope")


def wording_of(options: ChannelOptions) -> Wording:
    """The words of a channel: by its templates, and where it has none the usual ones.

    Raises:
        ConfigurationError: a template is wrong; the text names the channel, ``title`` or ``body``,
            the line, and what is wrong.
        MissingExtraError: there is a template, and Jinja2 is not installed.
    """
    if options.title is None and options.body is None:
        return DefaultWording()
    return TemplateWording(options)


class TemplateWording:
    """Writes messages by templates. One that fails when it counts is replaced by the usual words.

    Args:
        options: whose ``title`` and ``body`` they are.
    """

    def __init__(self, options: ChannelOptions) -> None:
        self._usual = DefaultWording()
        self._title = _Text(options, "title", options.title) if options.title is not None else None
        self._body = _Text(options, "body", options.body) if options.body is not None else None

    @property
    def failures(self) -> int:
        """How often the usual words stood in for a template that failed."""
        return sum(one.failures for one in (self._title, self._body) if one is not None)

    def title(self, notification: Notification) -> str:
        """One line."""
        written = self._title.written(notification) if self._title is not None else None
        return one_line(written or "") or self._usual.title(notification)

    def body(self, notification: Notification) -> str:
        """Some lines."""
        written = self._body.written(notification) if self._body is not None else None
        return self._usual.body(notification) if written is None else lines(written)


class _Text:
    """One template, compiled, and tried on samples."""

    def __init__(self, options: ChannelOptions, name: str, source: str) -> None:
        self._who = f"{options.who}: {name}"
        self.failures = 0
        if len(source) > MAX_TEMPLATE:
            raise ConfigurationError(
                f"{self._who} must have at most {MAX_TEMPLATE} characters, not {len(source)}"
            )
        sample = sample_notification(options.name)
        try:
            self._template = _compiled(source)
            self._rendered(sample)
            self._rendered(_over(sample))
        except MissingExtraError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a template does wrong
            line = _line_of(error)
            where = f", line {line}" if line else ""
            raise ConfigurationError(
                f"{self._who} is no usable template{where}: {_what(error)}"
            ) from None

    def written(self, notification: Notification) -> str | None:
        """The text; ``None`` where the template failed, which is logged the first time."""
        try:
            return self._rendered(notification)
        except Exception as error:  # noqa: BLE001 - the message must go out whatever happens
            self.failures += 1
            if self.failures == 1:
                logger.warning(
                    "%s failed, and the usual words were sent: %s", self._who, _what(error)
                )
            return None

    def _rendered(self, notification: Notification) -> str:
        from metalscope.alerts.notify.template_sandbox import bounded  # noqa: PLC0415 - jinja2

        parts: list[str] = []
        left = MAX_OUTPUT
        with bounded():
            for part in self._template.generate(_variables(notification)):
                parts.append(part)
                left -= len(part)
                if left < 0:
                    break
        return shortened("".join(parts), MAX_OUTPUT, len)


class _Names(dict[str, str]):
    """Labels and links: one that is not there is empty, as for matchers."""

    def __missing__(self, name: str) -> str:
        return ""


def _compiled(source: str) -> Template:
    try:
        from metalscope.alerts.notify.template_sandbox import Sandbox  # noqa: PLC0415 - jinja2
    except ImportError as error:
        raise MissingExtraError(
            "a template of a notification", "alerts", cause=str(error)
        ) from error
    from jinja2 import pass_context  # noqa: PLC0415

    filters: dict[str, Callable[..., Any]] = {
        "duration": pass_context(_duration),
        "time": _time,
        "bytes": lambda value: number_phrase(_number(value), "bytes"),
        "percent": lambda value: number_phrase(_rounded(_number(value)), "percent"),
    }
    return Sandbox(filters).from_string(source)


def _variables(notification: Notification) -> dict[str, Any]:
    usual = DefaultWording()
    data = notification.to_dict()
    for part, name in (
        (data, "group"),
        (data, "links"),
        *((one, "labels") for one in data["alerts"]),
    ):
        part[name] = _Names(part[name])
    by_id = {one["id"]: one for one in data["alerts"]}
    return {
        "notification": data,
        "alerts": data["alerts"],
        "firing": [by_id[one.id] for one in notification.firing],
        "resolved": [by_id[one.id] for one in notification.resolved],
        "kind": data["kind"],
        "status": data["status"],
        "severity": data["severity"],
        "source": data["source"],
        "links": data["links"],
        "default_title": usual.title(notification),
        "default_body": usual.body(notification),
    }


def _over(sample: Notification) -> Notification:
    from metalscope.alerts.notification import NotificationKind  # noqa: PLC0415 - used once

    return replace(sample, kind=NotificationKind.RESOLVED, alerts=sample.resolved)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _moment(value: Any) -> datetime | None:
    return None if value is None else datetime.fromisoformat(str(value))


def _time(value: Any, form: str | None = None) -> str:
    """A time in UTC, in a form of ``strftime`` where one is given."""
    moment = _moment(value)
    if moment is None or form is None:
        return time_phrase(moment)
    return moment.strftime(form[:200])


def _duration(context: Any, value: Any, until: Any = None) -> str:
    """Seconds; or from a time until another, or until the message was made."""
    if value is None or isinstance(value, int | float):
        return duration_phrase(None if value is None else timedelta(seconds=value))
    began = _moment(value)
    ended = _moment(until or context["notification"]["created_at"])
    return duration_phrase(None if began is None or ended is None else ended - began)


def _what(error: Exception) -> str:
    text = getattr(error, "message", None) or str(error)
    named = f"{type(error).__name__}: {text}" if type(error).__module__ == "builtins" else text
    return shortened(one_line(named), 300)


def _line_of(error: Exception) -> int | None:
    """The line of the template an error is about."""
    line = getattr(error, "lineno", None)
    if isinstance(line, int):
        return line
    trace = error.__traceback__
    while trace is not None:
        # Jinja2 gives frames of a template this name and the template's own lines.
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
