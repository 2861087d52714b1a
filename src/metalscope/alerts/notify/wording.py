"""The title and the text of a message, where nobody wrote a template of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from metalscope.alerts.notification import Notification

__all__ = ["Wording"]


class Wording(Protocol):
    """How a message is put into words. What it gives is plain text of any length."""

    def title(self, notification: Notification) -> str:
        """One line."""
        ...

    def body(self, notification: Notification) -> str:
        """Some lines: what, how bad, since when, the evidence, what to do, links."""
        ...
