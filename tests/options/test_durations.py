from datetime import time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.durations import LONGEST, format_duration, parse_duration

durations = st.timedeltas(timedelta(0), LONGEST)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (5, timedelta(seconds=5)),
        (0.25, timedelta(milliseconds=250)),
        ("5", timedelta(seconds=5)),
        ("1.5", timedelta(seconds=1.5)),
        ("1e3", timedelta(seconds=1000)),
        ("30s", timedelta(seconds=30)),
        ("5m", timedelta(minutes=5)),
        ("250ms", timedelta(milliseconds=250)),
        ("7us", timedelta(microseconds=7)),
        ("1h30m", timedelta(minutes=90)),
        (" 1h 30m ", timedelta(minutes=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("PT5M", timedelta(minutes=5)),
        ("P7D", timedelta(days=7)),
        ("P2W", timedelta(weeks=2)),
        ("P1DT2H3M4.5S", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("00:05:00", timedelta(minutes=5)),
        ("7.00:00:00", timedelta(days=7)),
        ("1.02:03:04.1234567", timedelta(days=1, hours=2, minutes=3, seconds=4.123457)),
        ("-00:05:00", timedelta(minutes=-5)),
        ("-5m", timedelta(minutes=-5)),
        (time(0, 5), timedelta(minutes=5)),
        (timedelta(hours=2), timedelta(hours=2)),
    ],
)
def test_each_form_is_read(written: object, meant: timedelta) -> None:
    assert parse_duration(written) == meant


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "-",
        "m",
        "5 minutes",
        "5M",
        "30m1h",
        "5m5m",
        "1,5",
        "nan",
        "inf",
        "P",
        "PT",
        "P1DT",
        "P1M",
        "P1Y",
        "00:05",
        "0:60:00",
        "24:00:00",
        "00:00:60",
        "00:00:00.12345678",
        "--5m",
        "\u0665m",
        True,
        None,
        [5],
        float("nan"),
        float("inf"),
        1e300,
        "1e300",
        "9999999999d",
        LONGEST + timedelta(microseconds=1),
    ],
)
def test_what_is_no_duration_is_refused_in_words(written: object) -> None:
    with pytest.raises(ValueError, match=r"^must "):
        parse_duration(written)


def test_a_day_of_24_hours_on_the_clock_says_how_to_write_a_day() -> None:
    with pytest.raises(ValueError, match=r"a day is '1\.00:00:00' or '1d'"):
        parse_duration("24:00:00")


@given(durations)
def test_what_is_formatted_reads_back_the_same(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration
    assert parse_duration(format_duration(-duration)) == -duration


@given(durations)
def test_the_iso_form_reads_back_the_same(duration: timedelta) -> None:
    seconds = f"{duration.seconds}.{duration.microseconds:06}"
    assert parse_duration(f"P{duration.days}DT{seconds}S") == duration


@given(durations)
def test_the_net_form_reads_back_the_same(duration: timedelta) -> None:
    minutes, seconds = divmod(duration.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours:02}:{minutes:02}:{seconds:02}.{duration.microseconds * 10:07}"
    assert parse_duration(f"{duration.days}.{clock}") == duration


@given(durations.map(lambda d: d - d % timedelta(seconds=1)))
def test_seconds_read_back_the_same_as_number_and_text(duration: timedelta) -> None:
    seconds = duration.total_seconds()
    assert parse_duration(seconds) == duration
    assert parse_duration(str(int(seconds))) == duration


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text: str) -> None:
    try:
        duration = parse_duration(text)
    except ValueError as error:
        outcome = str(error)
    else:
        outcome = f"must be within {LONGEST}" if abs(duration) <= LONGEST else "too long"
    assert outcome.startswith("must ")
