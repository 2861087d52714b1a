"""All that Apprise can tell: Discord, Telegram, ntfy, Opsgenie, Pushover and 100 more.

The library is that of https://github.com/caronc/apprise; its URLs say which service, and how.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from metalscope.alerts.notification import NotificationKind
from metalscope.alerts.notify.base import Notifier
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.operation import ErrorSeverity
from metalscope.sending.http.masking import Mask
from metalscope.sending.result import ExportResult, Reason

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification
    from metalscope.alerts.notify.base import NotifierContext

__all__ = ["AppriseNotifier"]

_LOGS: Final = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
"""Its own log, and those of what most of its services are asked with, which name the URL."""

_MOST_WORDS: Final = 20
"""Lines of Apprise's log that are kept of one message."""


class AppriseNotifier(Notifier):
    """Tells one service that Apprise knows.

    Raises:
        ConfigurationError: Apprise takes no such URL.
        MissingExtraError: Apprise is not installed.
    """

    def __init__(self, context: NotifierContext) -> None:
        try:
            import apprise  # noqa: PLC0415 - takes long to load, and may not be there
        except ImportError as error:
            raise MissingExtraError(context.options.who, "alerts", cause=str(error)) from error
        url = context.options.endpoint or ""
        seconds = context.options.timeout.total_seconds()
        self._apprise, self._wording = apprise, context.wording
        self._mask = _mask_of(url)
        asset = apprise.AppriseAsset(
            app_id="metalscope", app_desc="metalscope", app_url="", async_mode=False
        )
        # With a time limit of its own it sends on a thread that the end of the program waits for.
        # Older versions have none, and no argument for it.
        asset._service_timeout = 0.0
        with _listening():
            service = _instance(apprise, url, asset)
        if service is None:
            raise ConfigurationError(
                f"{context.options.who}: target must be a URL that Apprise knows, such as "
                f"'discord://id/token'; {_scheme(url)} is none, or lacks something"
            )
        # What the URL itself says is first.
        if not re.search(r"[?&]cto=", url):
            service.socket_connect_timeout = seconds
        if not re.search(r"[?&]rto=", url):
            service.socket_read_timeout = seconds
        self._name = str(service.service_name or _scheme(url))
        self._sender = apprise.Apprise(asset=asset)
        self._sender.add(service)

    def send(self, notification: Notification) -> ExportResult:
        """Send it by Apprise."""
        with _listening() as words:
            sent = self._sender.notify(
                title=self._wording.title(notification),
                body=self._wording.body(notification),
                notify_type=_kind(self._apprise.NotifyType, notification),
                body_format=self._apprise.NotifyFormat.TEXT,
            )
        if sent:
            return ExportResult.delivered(1)
        said = self._mask.shown(words[-1]) if words else "it does not say why"
        return ExportResult.retry(
            Reason.SERVER_ERROR, f"Apprise could not tell {self._name}: {said}"
        )


def _instance(apprise: Any, url: str, asset: Any) -> Any:
    try:
        return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    except Exception:  # noqa: BLE001 - whatever a plugin raises, its text may hold the URL
        return None


def _kind(types: Any, notification: Notification) -> Any:
    match notification.kind:
        case NotificationKind.RESOLVED:
            return types.SUCCESS
        case NotificationKind.TEST:
            return types.INFO
    match notification.severity:
        case ErrorSeverity.CRITICAL | ErrorSeverity.HIGH:
            return types.FAILURE
        case ErrorSeverity.MEDIUM:
            return types.WARNING
        case _:
            return types.INFO


def _scheme(url: str) -> str:
    # Without the separator it may be a key.
    scheme, separator, _ = url.partition("://")
    return scheme + separator if separator else "this"


def _mask_of(url: str) -> Mask:
    """Masks all parts of the URL: which of them are keys only the service's plugin knows."""
    mask = Mask()
    mask.add(url)
    for part in re.split(r"[/:@?&=#,]+", url.partition("://")[2]):
        mask.add(part)
        mask.add(unquote(part))
    return mask


@contextmanager
def _listening() -> Iterator[list[str]]:
    """What Apprise logs on this thread in the block; the program's own log gets none of it.

    Lines of it may quote the URL, and with it the key.
    """
    words: list[str] = []
    me = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != me:
            return True
        if record.name == _LOGS[0] and record.levelno >= logging.WARNING:
            words.append(record.getMessage())
            del words[:-_MOST_WORDS]
        return False

    for name in _LOGS:
        logging.getLogger(name).addFilter(keep)
    try:
        yield words
    finally:
        for name in _LOGS:
            logging.getLogger(name).removeFilter(keep)
