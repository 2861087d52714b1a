"""How much a counter has grown, from its first operation on."""

from __future__ import annotations

from metalscope.semconv import START_TIME

__all__ = ["ON_A_TARGET", "growth", "increase", "milliseconds"]

ON_A_TARGET = "on (job, instance)"
"""Two series are of one program."""


def milliseconds(seconds: float) -> str:
    """A duration of PromQL; at least a millisecond."""
    return f"{max(1, round(seconds * 1000))}ms"


def increase(series: str, window: float) -> str:
    """What Prometheus itself says that the counters of a selector have grown by in some seconds."""
    return f"increase({series}[{milliseconds(window)}])"


def growth(series: str, window: float, *, scrape: float) -> str:
    """What the counters of a selector have grown by in the ``window`` seconds until a moment.

    ``increase()`` alone does not know where a counter came from: the first failure of a kind, whose
    series begins with a 1, is an increase of 0, and ten operations become 10.3. So, in this order:

    * a counter that began again has its ``increase()``; it is looked for a little further back, as
      a reset between two scrapes is otherwise in no window;
    * one that was there before, with no more than now, has what is between the two values;
    * one that was not there, of a program that was scraped before, or that started since or two
      scrapes before, began at 0 and has its value;
    * of any other nobody knows what it was when it was first scraped: it has its ``increase()``.

    Args:
        series: a selector.
        window: seconds.
        scrape: seconds between two scrapes.
    """
    span, wider = milliseconds(window), milliseconds(window + 2 * scrape)
    start = START_TIME.name
    # What started shortly before may be scraped only within.
    was_known = f"{start} offset {span} or {start} > time() - {window + 2 * scrape:.3f}"
    return (
        f"((increase({series}[{span}]) and resets({series}[{wider}]) > 0)"
        f" or (last_over_time({series}[{span}]) - {series} offset {span}) >= 0"
        f" or (last_over_time({series}[{span}]) and {ON_A_TARGET} ({was_known}))"
        f" or increase({series}[{span}]))"
    )
