"""Maintenance is by the clock on the wall, over midnight and over changes of the clock too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.alert_options import MaintenanceOptions
from metalscope.alerts.engine.maintenance import MaintenanceWindow

BERLIN = ZoneInfo("Europe/Berlin")
STEP = timedelta(minutes=5)


def window(start, end, days=(), timezone="UTC", **more):
    return MaintenanceWindow.of(
        MaintenanceOptions(name="night", start=start, end=end, days=days, timezone=timezone, **more)
    )


def opened(one, first, hours):
    """The spans of UTC, as ``HH:MM`` with the day where it is another, in which it was open."""
    spans, begun = [], None
    for step in range(hours * 12 + 1):
        moment = first + step * STEP
        if one.is_open(moment) and begun is None:
            begun = moment
        if not one.is_open(moment) and begun is not None:
            spans.append((f"{begun:%d %H:%M}", f"{moment:%d %H:%M}"))
            begun = None
    return spans


MONDAY = datetime(2026, 6, 1, tzinfo=UTC)
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
"""Noon of the day before 29 March, when Berlin's clocks went from 02:00 to 03:00, 01:00 UTC."""
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)
"""Noon of the day before 25 October, when they went from 03:00 to 02:00, 01:00 UTC."""


def test_a_window_is_open_from_its_start_until_just_before_its_end():
    one = window("22:00", "23:30")
    assert opened(one, MONDAY, 48) == [("01 22:00", "01 23:30"), ("02 22:00", "02 23:30")]


def test_a_window_may_go_over_midnight():
    spans = opened(window("22:30", "01:15"), MONDAY + timedelta(hours=12), 48)
    assert spans == [("01 22:30", "02 01:15"), ("02 22:30", "03 01:15")]


def test_days_are_those_on_which_it_begins():
    spans = opened(window("22:00", "02:00", ("sun", "wed")), MONDAY - timedelta(hours=12), 8 * 24)
    assert spans == [("31 22:00", "01 02:00"), ("03 22:00", "04 02:00"), ("07 22:00", "08 02:00")]


@pytest.mark.parametrize(
    ("start", "end", "spans"),
    [
        ("00:00", "24:00", [("02 00:00", "03 00:00")]),
        ("00:00", "00:00", [("02 00:00", "03 00:00")]),
        ("12:00", "12:00", [("02 12:00", "03 12:00")]),
        ("20:00", "24:00", [("02 20:00", "03 00:00")]),
        ("24:00", "02:00", [("03 00:00", "03 02:00")]),
        ("24:00", "24:00", [("03 00:00", "04 00:00")]),
    ],
)
def test_a_day_ends_at_24_00(start, end, spans):
    assert opened(window(start, end, ("tue",)), MONDAY, 5 * 24) == spans


def test_a_window_is_by_its_own_time_zone():
    # CEST is two hours ahead of UTC.
    spans = opened(window("01:00", "03:00", ("tue",), "Europe/Berlin"), MONDAY, 48)
    assert spans == [("01 23:00", "02 01:00")]


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("01:30", "03:30", ("29 00:30", "29 01:30")),  # an hour of it is skipped
        ("02:30", "04:00", ("29 01:00", "29 02:00")),  # its beginning is: it begins at the skip
        ("22:00", "02:30", ("28 21:00", "29 01:30")),  # its end is: it is as long as any night
        ("02:15", "02:45", ("29 01:00", "29 01:45")),  # both are
        ("03:00", "04:00", ("29 01:00", "29 02:00")),
    ],
)
def test_where_the_clock_is_put_forward(start, end, span):
    assert opened(window(start, end, timezone="Europe/Berlin"), SPRING, 24)[0] == span


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("01:30", "03:30", ("24 23:30", "25 02:30")),  # an hour of it comes twice
        ("02:30", "04:00", ("25 00:30", "25 03:00")),  # it begins when 02:30 is first shown
        ("22:00", "02:30", ("24 20:00", "25 01:30")),  # and ends when it is last shown
        ("02:15", "02:45", ("25 00:15", "25 01:45")),
    ],
)
def test_where_the_clock_is_put_back(start, end, span):
    spans = opened(window(start, end, timezone="Europe/Berlin"), AUTUMN, 24)
    assert spans == [span]


def test_an_island_that_moves_its_clock_by_half_an_hour():
    # Lord Howe, 4 October 2026: 02:00 becomes 02:30, at 15:30 UTC the day before.
    one = window("02:10", "03:00", timezone="Australia/Lord_Howe")
    assert opened(one, datetime(2026, 10, 3, 12, tzinfo=UTC), 6) == [("03 15:30", "03 16:00")]


def test_only_alerts_that_fulfil_its_matchers_are_meant():
    one = window("22:00", "23:00", matchers=['component="memory"'])
    assert one.matches({"component": "memory"})
    assert not one.matches({"component": "kernel"})
    assert window("22:00", "23:00").matches({})


minutes = st.integers(0, 24 * 60 - 1)


@given(minutes, minutes, st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 5)))
def test_far_from_changes_of_the_clock_it_is_open_while_the_clock_shows_it(start, end, moment):
    now = moment.replace(tzinfo=UTC)
    if any(abs(now - at) < timedelta(days=2) for at in (SPRING, AUTUMN)):
        return
    one = window(
        f"{start // 60:02}:{start % 60:02}",
        f"{end // 60:02}:{end % 60:02}",
        timezone="Europe/Berlin",
    )
    local = now.astimezone(BERLIN)
    shown = local.hour * 60 + local.minute
    inside = start <= shown < end if start < end else shown >= start or shown < end
    assert one.is_open(now) == inside
