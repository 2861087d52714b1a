"""What the parameters of a request say, or an error that names the one that is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Any, Final

from starlette.requests import Request

from metalscope.json_values import read_time
from metalscope.server.writing import RefusedError
from metalscope.spelling import nearest

__all__ = [
    "LONGEST_TEXT",
    "MOST_STEPS",
    "check_names",
    "check_steps",
    "chosen",
    "limit_of",
    "moment_of",
    "seconds_of",
    "shown",
    "single",
    "some_time",
    "text_of",
    "time_of",
    "whole_of",
    "wrong",
]

MOST_STEPS: Final = 11_000
"""Steps of time in one answer; as many as Prometheus gives."""

LONGEST_TEXT: Final = 1000
"""Characters of a name or pattern."""

USUAL_SPAN: Final = timedelta(hours=1)

LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Times beyond it are slips, and some sources cannot reckon with them."""

LONGEST_STEP: Final = 366 * 86_400.0
SHORTEST_STEP: Final = 0.001

_SECONDS: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def check_names(given: Collection[str], known: Collection[str]) -> None:
    """Refuse a name that is none of those known.

    Raises:
        RefusedError: 400, with the name and the one it is nearest to.
    """
    for name in given:
        if name not in known:
            like = nearest(name, known)
            hint = f"; did you mean {like}?" if like else f"; there are {', '.join(sorted(known))}"
            raise RefusedError(400, f"{shown(name)} is not known{hint}")


def chosen(request: Request, name: str, known: tuple[Any, ...]) -> Collection[Any]:
    """The words that a parameter, which may be there several times, names; all without it.

    Raises:
        RefusedError: 400, a word is none of those known.
    """
    given = request.query_params.getlist(name)
    for word in given:
        if word not in known:
            raise wrong(name, f"one of {', '.join(known)}", word)
    return given or known


def single(request: Request, name: str, known: tuple[Any, ...] = ()) -> str | None:
    """The value of a parameter that may be there once; ``None`` without it.

    Args:
        request: what is asked.
        name: of the parameter.
        known: the words it may be; any where there are none.

    Raises:
        RefusedError: 400, it is there twice, or none of the words known.
    """
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise RefusedError(400, f"{name} must be there once, not {len(given)} times")
    if not given:
        return None
    if known and given[0] not in known:
        raise wrong(name, f"one of {', '.join(known)}", given[0])
    return given[0]


def text_of(request: Request, name: str, otherwise: str) -> str:
    """The text of a parameter that may be there once.

    Raises:
        RefusedError: 400, it is there twice or too long.
    """
    text = single(request, name)
    if text is None:
        return otherwise
    if len(text) > LONGEST_TEXT:
        raise wrong(name, f"at most {LONGEST_TEXT} characters", text)
    return text


def whole_of(name: str, text: str, least: int, most: int) -> int:
    """A whole number within bounds.

    Raises:
        RefusedError: 400, it is none.
    """
    expected = f"a number from {least} to {most}"
    if not (text.isascii() and text.isdecimal() and len(text) <= max(9, len(str(most)))):
        raise wrong(name, expected, text)
    number = int(text)
    if not least <= number <= most:
        raise wrong(name, expected, text)
    return number


def limit_of(request: Request, usual: int, most: int) -> int:
    """The parameter ``limit``, 1 to ``most``; ``usual`` where it is not given.

    Raises:
        RefusedError: 400, it is none, or given twice.
    """
    given = single(request, "limit")
    return usual if given is None else whole_of("limit", given, 1, most)


def time_of(name: str, value: object) -> datetime:
    """A moment with its zone.

    Raises:
        RefusedError: 400, it is none.
    """
    try:
        return read_time(value)
    except (ValueError, TypeError, OverflowError):
        raise wrong(name, "a time with its zone such as 2026-01-31T12:00:00Z", value) from None


def moment_of(name: str, text: str) -> datetime:
    """A moment from 1970 to 2200, in RFC 3339 or in seconds since 1970.

    Raises:
        RefusedError: 400, it is none.
    """
    expected = "a time from 1970 to 2200: seconds since 1970, or such as 2026-01-31T12:00:00Z"
    try:
        if _SECONDS.fullmatch(text):
            moment = _EPOCH + timedelta(seconds=float(text))
        else:
            moment = read_time(text)
    except (ValueError, OverflowError):
        raise wrong(name, expected, text) from None
    if not _EPOCH <= moment <= LATEST:
        raise wrong(name, expected, text)
    return moment


def seconds_of(name: str, text: str) -> timedelta:
    """A length of time in seconds, from a thousandth to a year.

    Raises:
        RefusedError: 400, it is none.
    """
    seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
    if not SHORTEST_STEP <= seconds <= LONGEST_STEP:
        raise wrong(name, f"seconds from {SHORTEST_STEP} to {LONGEST_STEP:.0f}", text)
    return timedelta(seconds=seconds)


def some_time(request: Request, now: datetime) -> tuple[datetime, datetime]:
    """From ``since`` until ``until``: by themselves the last hour.

    Raises:
        RefusedError: 400, one is no time, or they are the wrong way round.
    """
    given = single(request, "until")
    until = now if given is None else moment_of("until", given)
    given = single(request, "since")
    since = max(_EPOCH, until - USUAL_SPAN) if given is None else moment_of("since", given)
    if since >= until:
        raise wrong("since", f"before until, {until.isoformat()}", since.isoformat())
    return since, until


def check_steps(
    since: datetime, until: datetime, step: timedelta, most: int = MOST_STEPS, why: str = ""
) -> None:
    """Refuse more steps than ``most``; ``why`` ends the sentence that says so.

    Raises:
        RefusedError: 400.
    """
    if ceil((until - since) / step) > most:
        least = (until - since).total_seconds() / most
        expected = f"at least {least:.6g} seconds, for at most {most} steps{why}"
        raise wrong("step", expected, step.total_seconds())


def wrong(name: str, expected: str, value: object) -> RefusedError:
    """The error for a value that is not what it must be."""
    return RefusedError(400, f"{name} must be {expected}, not {shown(value)}")


def shown(value: object) -> str:
    """A value in an error: not all of it, and in ASCII."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 100 else f"{text[:99]}\N{HORIZONTAL ELLIPSIS}"
