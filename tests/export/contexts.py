"""What an exporter is made from, without a program around it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from metalscope.export.base import ExporterContext
from metalscope.export.view import MetricView
from metalscope.export_options import ExporterOptions, SelectionOptions
from metalscope.sending.http.transport import HttpTransport


def context(
    type: str = "custom",  # noqa: A002 - the name of the option
    *,
    view: MetricView | None = None,
    **options: Any,
) -> ExporterContext:
    """A context of these options; its view and its transport are those of the product."""
    made = ExporterOptions(type=type, **options)
    timeout = made.timeout or timedelta(seconds=5)
    if view is None:
        chosen: tuple[SelectionOptions, ...] = (made.metrics,)
        view = MetricView(chosen, labels=made.labels)
    return ExporterContext(
        options=made,
        view=view,
        timeout=timeout,
        open_http=partial(HttpTransport.of, made, timeout=timeout),
    )
