"""What tests of spans share: a recorder of either kind with a tracer, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from metalscope.operation import OK
from metalscope.trace_options import TracesOptions
from metalscope.traced import TracedRecording
from metalscope.traces.span import FinishedSpan
from metalscope.traces.tracer import Tracer


class Kept:
    """A sink that keeps all spans."""

    def __init__(self) -> None:
        self.spans: list[FinishedSpan] = []

    def take(self, span: FinishedSpan) -> None:
        self.spans.append(span)

    def one(self, name: str) -> FinishedSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def parents(self) -> dict[str, str | None]:
        """The name of each span's parent; ``None`` where it is none of these."""
        by_id = {(span.trace_id, span.span_id): span.name for span in self.spans}
        return {span.name: by_id.get((span.trace_id, span.parent_id)) for span in self.spans}


class Tracing:
    """A tracer, and with a recorder's module what is recorded by it."""

    def __init__(
        self,
        module: Any = None,
        *,
        exemplars: bool = False,
        watch_above_ns: int | None = None,
        source: Any = None,
        sample_rate: float = 1.0,
        **options: Any,
    ) -> None:
        self.errors: list[tuple[str, BaseException]] = []
        self.kept, self.always = Kept(), Kept()
        self.notable: list[tuple[tuple[str, ...], tuple[str, str] | None]] = []

        options.setdefault("sample_ratio", 1.0)
        self.tracer = Tracer(
            TracesOptions(enabled=True, **options), on_error=self.on_error, sinks=[self.kept],
            always=[self.always], source=source,
        )  # fmt: skip
        self.span = self.tracer.span
        if module is not None:
            self.recorder = module.Recorder(
                max_series=100, on_error=self.on_error, sample_rate=sample_rate
            )
            self.traced = TracedRecording(
                self.recorder, self.on_error, tracer=self.tracer, exemplars=exemplars
            )
            above = self.traced.threshold_ns if watch_above_ns is None else watch_above_ns

            def told(series: Any, *what: Any) -> None:
                self.notable.append((tuple(series), self.traced.notable(series, *what)))

            self.recorder.watch(above, told)
            self.operation: Callable[..., Any] = self.recorder.operation
            self.record: Callable[..., None] = self.recorder.record

    def on_error(self, *what: Any) -> None:
        self.errors.append(what)  # type: ignore[arg-type]

    def record_plainly(self, module: Any) -> None:
        """Record by a recorder that hands nothing over."""
        self.recorder = module.Recorder(max_series=100, on_error=self.on_error)
        self.operation, self.record = self.recorder.operation, self.recorder.record

    @property
    def spans(self) -> list[FinishedSpan]:
        return self.kept.spans

    def counts(self) -> dict[str, int]:
        """Operations by name, those that failed by name and outcome."""
        found = {}
        for series, totals in self.recorder.collect().items():
            name = series.name if series.outcome == OK else f"{series.name} {series.outcome}"
            found[name] = totals.operations
        return found
