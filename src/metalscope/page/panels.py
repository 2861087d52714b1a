"""The panels of a page of one's own: what each shows, as it is written in the page's file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from metalscope.history.answers import Reading
from metalscope.operation import OperationKind
from metalscope.option_base import Options
from metalscope.page.labels import parts_of_label
from metalscope.page.panel_values import durations_of, lines_of
from metalscope.page.source import MEASURES, Durations, Lines, Measure, PageSource, TimeRange
from metalscope.readings import ResourceKind
from metalscope.spelling import nearest

__all__ = ["Panel", "PanelType", "Series", "Thresholds"]

PanelType = Literal["line", "stat", "heatmap", "histogram", "table", "text"]

_By = Literal["all", "operation", "host"]

# What is wrong with a value where only the whole says so: where it is, the value, the words.
_Problem = tuple[tuple[str | int, ...], object, str]


def _one_of(*known: str) -> BeforeValidator:
    """A text among these; the error names the nearest."""

    def check(value: object) -> object:
        if value in known:
            return value
        near = nearest(value, known) if isinstance(value, str) else None
        raise ValueError(
            f"must be one of {', '.join(known)}" + (f"; the nearest is {near}" if near else "")
        )

    return BeforeValidator(check)


def _label(text: str) -> str:
    for _ in parts_of_label(text):
        pass
    return text


def _not_zero(value: float) -> float:
    if value == 0:
        raise ValueError("must not be 0")
    return value


def _refuse(who: str, problems: Iterator[_Problem]) -> None:
    """Tell all of them, each at its place."""
    if found := [
        InitErrorDetails(type=PydanticCustomError("page", text), loc=place, input=value)
        for place, value, text in problems
    ]:
        raise ValidationError.from_exception_data(who, found)


class Series(Options):
    """Lines of one panel: what is asked of the past, and how the answer is written."""

    measure: Annotated[Measure | None, _one_of(*MEASURES)] = Field(
        None, description="What is measured; left out in a heatmap and a histogram."
    )
    by: Annotated[_By, _one_of(*get_args(_By))] = Field(
        "all", description="Operations together, each on its own, or together by host."
    )
    kind: str = Field(
        "*",
        min_length=1,
        max_length=200,
        description="Pattern of the kind; * any text, ? one character.",
    )
    name: str = Field("*", min_length=1, max_length=200, description="Pattern of the name.")
    device: str = Field("*", min_length=1, max_length=200, description="Pattern of the device.")
    reading: Annotated[Reading, _one_of(*get_args(Reading))] = Field(
        "mean", description="Which of the readings in a step, of resource and custom."
    )
    label: Annotated[str, AfterValidator(_label)] = Field(
        "",
        max_length=200,
        description="What lines are called: text with {kind}, {name}, {device}, {host}, {measure}.",
    )
    rate: bool = Field(
        False,
        description="The growth a second of a counter, in place of its total; of custom only.",
    )
    scale: Annotated[float, AfterValidator(_not_zero)] = Field(
        1.0, description="What values are multiplied by; not 0."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _refuse("Series", self._contradictions())
        return self

    def _contradictions(self) -> Iterator[_Problem]:
        given = self.model_fields_set
        is_reading = self.measure in {"resource", "custom"}
        if is_reading and "by" in given:
            yield ("by",), self.by, f"is of operations; each line of {self.measure} is given anyway"
        if not is_reading and "reading" in given:
            yield ("reading",), self.reading, "is only for the measures resource and custom"
        if self.rate and self.measure != "custom":
            yield ("rate",), self.rate, "is only for the measure custom"
        elif self.rate and "reading" in given:
            yield ("reading",), self.reading, "is the last of each step where rate is true"
        if re.search(r"[*?]", self.kind):
            return
        kinds = {"resource": tuple(ResourceKind), "custom": ("custom",)}
        known: tuple[str, ...] = kinds.get(self.measure or "", tuple(OperationKind))
        if self.kind not in known:
            near = nearest(self.kind, known)
            text = f"must be a pattern, or one of {', '.join(known)}"
            yield ("kind",), self.kind, text + (f"; the nearest is {near}" if near else "")


class Thresholds(Options):
    """From where on a value is one to look at. Where ``warn`` is above ``bad``, low ones are."""

    warn: float | None = Field(None, description="From here on a value is shown as a warning.")
    bad: float | None = Field(None, description="From here on a value is shown as bad.")

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if self.warn is None and self.bad is None:
            raise ValueError("must have warn, bad, or both")
        return self


class Panel(Options):
    """One panel of a page."""

    title: str = Field(min_length=1, max_length=120, description="What stands above it.")
    type: Annotated[PanelType, _one_of(*get_args(PanelType))] = Field(
        "line", description="How it is drawn."
    )
    width: int = Field(2, ge=1, le=4, description="Columns it takes, of 4.")
    unit: str = Field("", max_length=20, description="Unit that is shown; else that of the series.")
    about: str = Field("", max_length=500, description="A sentence on what it shows.")
    series: tuple[Series, ...] = Field((), max_length=20, description="What it shows.")
    query: str | None = Field(
        None,
        min_length=1,
        max_length=8192,
        description="PromQL in place of series, where the past is read from a Prometheus.",
    )
    text: str | None = Field(
        None, min_length=1, max_length=20_000, description="Plain text, of the type text."
    )
    thresholds: Thresholds | None = Field(None, description="From where on values are bad.")
    limit: int = Field(
        20, ge=1, le=200, description="Most lines of each series, the highest; of all it is 200."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        _refuse("Panel", self._contradictions())
        return self

    def _contradictions(self) -> Iterator[_Problem]:
        if self.type == "text":
            if self.text is None:
                yield ("text",), None, "is required in a panel of the type text"
            yield from self._not_for("series", "query", "unit", "thresholds", "limit")
            return
        yield from self._not_for("text")
        if self.type in {"heatmap", "histogram"}:
            yield from self._not_for("query", "unit", "thresholds", "limit")
            if not self.series and self.query is None:
                yield ("series",), None, f"is required in a panel of the type {self.type}"
            for at, one in enumerate(self.series):
                yield from self._not_of_durations(at, one)
            return
        if self.query is not None and self.series:
            yield ("query",), self.query, "stands in place of series; give one of them"
        if self.query is None and not self.series:
            yield ("series",), None, "is required, or query in its place"
        for at, one in enumerate(self.series):
            if one.measure is None:
                text = f"is required in a panel of the type {self.type}"
                yield ("series", at, "measure"), None, text

    def _not_for(self, *names: str) -> Iterator[_Problem]:
        for name in names:
            if name in self.model_fields_set:
                yield (name,), getattr(self, name), f"is not for a panel of the type {self.type}"

    def _not_of_durations(self, at: int, one: Series) -> Iterator[_Problem]:
        if one.measure not in {None, "duration_ms"}:
            text = f"must be left out: a {self.type} is of durations"
            yield ("series", at, "measure"), one.measure, text
        for name in ("by", "label", "rate", "scale"):
            if name in one.model_fields_set:
                text = f"is not for a panel of the type {self.type}"
                yield ("series", at, name), getattr(one, name), text

    def lines(
        self, source: PageSource, within: TimeRange, *, host: str = ""
    ) -> tuple[Lines, tuple[str, ...]]:
        """The lines that this shows, those of each series together, and a label for each.

        ``host`` is one of a fleet, all where it is empty; a query is asked as it is written.

        Raises:
            ValueError: this is no panel of lines, or the source does not understand its query.
            SourceError: the past cannot be read now.
        """
        if self.type not in {"line", "stat", "table"}:
            raise ValueError(
                f"the panel {self.title!r} is of the type {self.type}: it has no lines"
            )
        return lines_of(self, source, within, host=host)

    def durations(self, source: PageSource, within: TimeRange, *, host: str = "") -> Durations:
        """How long the operations took that the series name, those of all series together.

        Raises:
            ValueError: this is no panel of durations.
            SourceError: the past cannot be read now.
        """
        if self.type not in {"heatmap", "histogram"}:
            raise ValueError(
                f"the panel {self.title!r} is of the type {self.type}: it has no durations"
            )
        return durations_of(self, source, within, host=host)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data: what is needed to draw it, without what is asked for."""
        limits = self.thresholds
        return {
            "title": self.title,
            "type": self.type,
            "width": self.width,
            "unit": self.unit,
            "about": self.about,
            "text": self.text or "",
            "thresholds": None if limits is None else {"warn": limits.warn, "bad": limits.bad},
            "labels": [one.label for one in self.series],
        }
