"""Titles and descriptions of rules as templates of Prometheus."""

from __future__ import annotations

import re
from typing import Final

from metalscope.alerts.engine.text import PLACEHOLDER

__all__ = ["literally", "template"]

_VALUE: Final = {
    "percent": '{{ printf "%.3g" $value }} %',
    "ratio": "{{ $value | humanizePercentage }}",
    "bytes": "{{ $value | humanize1024 }}B",
    "duration": "{{ $value | humanizeDuration }}",
}
_PLAIN_VALUE: Final = '{{ printf "%.5g" $value }}'


def template(text: str) -> str:
    """A text with placeholders as a template of Go, in Prometheus's words."""
    parts: list[str] = []
    end = 0
    for found in PLACEHOLDER.finditer(text):
        parts += [literally(text[end : found.start()]), _placeholder(found)]
        end = found.end()
    return "".join([*parts, literally(text[end:])])


def literally(text: str) -> str:
    """A text as a template that gives just that text."""
    return text.replace("{", '{{ "{" }}')


def _placeholder(found: re.Match[str]) -> str:
    name, form, before = found.groups()
    if name is None:
        return literally(found[0][0])
    if name == "value":
        return literally(before or "") + _VALUE.get(form or "", _PLAIN_VALUE)
    if before:
        return f"{{{{ with $labels.{name} }}}}{literally(before)}{{{{ . }}}}{{{{ end }}}}"
    return f"{{{{ $labels.{name} }}}}"
