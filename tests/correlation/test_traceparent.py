"""The W3C's two headers, by its text and against OpenTelemetry's reading of them."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from metalscope.correlating import SpanContext, UnsampledContext
from metalscope.propagation.traceparent import (
    MOST_STATE_CHARACTERS,
    parse_traceparent,
    traceparent_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{SPAN}-01"


def test_the_example_of_the_specification_is_read() -> None:
    span = parse_traceparent(GOOD, "congo=t61rcWkgMzE")
    assert span is not None
    assert (span.trace_id_text, span.span_id_text, span.sampled) == (TRACE, SPAN, True)
    assert (span.trace_state, span.live) == ("congo=t61rcWkgMzE", None)
    assert type(span) is SpanContext


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ("00", UnsampledContext),
        ("01", SpanContext),
        ("02", UnsampledContext),
        ("03", SpanContext),
        ("09", SpanContext),
        ("fe", UnsampledContext),
        ("ff", SpanContext),
    ],
)
def test_only_the_lowest_flag_says_whether_the_trace_is_kept(
    flags: str, kind: type[SpanContext]
) -> None:
    span = parse_traceparent(f"00-{TRACE}-{SPAN}-{flags}")
    assert type(span) is kind
    assert traceparent_of(span) == f"00-{TRACE}-{SPAN}-0{int(kind.sampled)}", "the others are zero"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01-what-the-future-will-be-like",
        f"00-{TRACE}-{SPAN}-01.",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-0A",
        f"0A-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}1-{SPAN}-01",
        f"00-{TRACE}-{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN}1-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-will-be-like",
        f"cc-{TRACE}-{SPAN}",
        f"{GOOD},{GOOD}",
        f"00-{'٣' * 32}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-" + "a" * 10_000,
    ],
)
def test_what_is_no_traceparent_begins_a_new_trace(text: str) -> None:
    assert parse_traceparent(text, "foo=1") is None


@pytest.mark.parametrize("version", ["01", "cc", "fe"])
@pytest.mark.parametrize("rest", ["", "-", "-what-the-future-will-be-like", "-01-é"])
def test_a_later_version_is_read_as_far_as_it_is_known(version: str, rest: str) -> None:
    span = parse_traceparent(f"{version}-{TRACE}-{SPAN}-01{rest}")
    assert span is not None
    assert traceparent_of(span) == GOOD, "and handed on as version 00"


@pytest.mark.parametrize("around", [(" ", ""), ("\t", ""), ("", " "), ("", "\t"), ("\t ", " \t")])
def test_white_space_around_it_is_no_part_of_it(around: tuple[str, str]) -> None:
    assert parse_traceparent(around[0] + GOOD + around[1]) is not None


KEY_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(map(chr, [*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)]))


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("", ""),
        (" , ,\t", ""),
        ("foo=1,,bar=2,", "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3"),
        ("foo= 1", "foo= 1"),
        (f"{KEY_CHARACTERS}={VALUE}", f"{KEY_CHARACTERS}={VALUE}"),
        (f"{KEY_CHARACTERS}@a-z0-9_-*/={VALUE}", f"{KEY_CHARACTERS}@a-z0-9_-*/={VALUE}"),
        ("foo=1,foo=1", "foo=1"),
        ("foo=1,bar=1,foo=2", "foo=1,bar=1"),
        ("foo =1", ""),
        ("FOO=1", ""),
        ("foo.bar=1", ""),
        ("foo@=1,bar=2", "foo@=1,bar=2"),
        ("@foo=1,bar=2", ""),
        ("foo@bar@baz=1,bar=2", "foo@bar@baz=1,bar=2"),
        ("1=1", "1=1"),
        ("foo=bar=baz", ""),
        ("foo=,bar=3", ""),
        ("foo", ""),
        ("foo=1\r\nX-Evil: 1", ""),
        ("foo=é", ""),
        ("foo=1," + "z" * 256 + "=1", "foo=1," + "z" * 256 + "=1"),
        ("foo=1," + "z" * 257 + "=1", ""),
        ("t" * 241 + "@" + "v" * 14 + "=1", "t" * 241 + "@" + "v" * 14 + "=1"),
        ("t" * 255 + "@=1", "t" * 255 + "@=1"),
        ("t" * 256 + "@=1", ""),
        ("a=" + "v" * 256, "a=" + "v" * 256),
        ("a=" + "v" * 257, ""),
    ],
)
def test_a_tracestate_is_kept_whole_or_not_at_all(given_: str, kept: str) -> None:
    span = parse_traceparent(GOOD, given_)
    assert span is not None
    assert span.trace_state == kept


def members(count: int, length: int = 8) -> list[str]:
    return [f"bar{number:02}={'x' * (length - 6)}" for number in range(count)]


def test_thirty_two_members_are_a_list_and_thirty_three_are_none() -> None:
    for count, kept in [(32, ",".join(members(32))), (33, "")]:
        span = parse_traceparent(GOOD, ",".join(members(count)))
        assert span is not None
        assert span.trace_state == kept


def test_of_a_list_too_long_to_keep_long_members_go_first_and_then_the_last() -> None:
    long = "long=" + "y" * 200
    short = members(20, length=30)
    span = parse_traceparent(GOOD, ",".join([short[0], long, *short[1:]]))
    assert span is not None
    assert span.trace_state == ",".join(short[:16])
    assert len(span.trace_state) <= MOST_STATE_CHARACTERS < len(span.trace_state) + 31

    span = parse_traceparent(GOOD, ",".join([long, *members(32, length=9)]))
    assert span is not None
    assert span.trace_state == "", "thirty-three are none, whatever their length"

    span = parse_traceparent(GOOD, ",".join([long, *members(31, length=13)]))
    assert span is not None
    assert span.trace_state == ",".join(members(31, length=13))


contexts = st.builds(
    lambda kind, trace_id, span_id: kind(trace_id, span_id),
    st.sampled_from([SpanContext, UnsampledContext]),
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
)


@given(contexts)
def test_what_is_written_is_read_back(span: SpanContext) -> None:
    text = traceparent_of(span)
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", text)
    read = parse_traceparent(text)
    assert read is not None
    assert (type(read), read.trace_id, read.span_id) == (type(span), span.trace_id, span.span_id)


ALPHABET = "0af9- \t,=@x*/_\n\r\x00\x7fé٣\ud800"


@given(st.text() | st.text(ALPHABET), st.text() | st.text(ALPHABET))
def test_garbage_raises_nothing(text: str, state: str) -> None:
    parse_traceparent(text, state)
    span = parse_traceparent(GOOD, state)
    assert span is not None
    assert len(span.trace_state) <= MOST_STATE_CHARACTERS
    assert span.trace_state.isprintable()


def nearly(length: int) -> st.SearchStrategy[str]:
    """So many hexadecimal digits, or about so many, or zeros, or others."""
    return st.one_of(
        st.text("0123456789abcdef", min_size=length, max_size=length),
        st.text("0123456789abcdefAF.", min_size=length - 1, max_size=length + 1),
        st.just("0" * length),
    )


traceparents = st.one_of(
    st.builds(
        lambda version, trace_id, span_id, flags, rest, before: (
            f"{before}{version}-{trace_id}-{span_id}-{flags}{rest}"
        ),
        st.sampled_from(["00", "00", "00", "01", "cc", "fe", "ff", "0", "0A"]),
        nearly(32),
        nearly(16),
        nearly(2),
        st.sampled_from(["", "", "", "-", "-more", ".more", " ", "\t"]),
        st.sampled_from(["", "", " ", "\t", "x"]),
    ),
    st.text(ALPHABET),
)
member = st.builds(
    lambda before, key, value, after: f"{before}{key}={value}{after}",
    st.sampled_from(["", "", " ", "\t"]),
    st.text("abz09_-*/@", min_size=1, max_size=6) | st.text("aA.=", max_size=3),
    st.text("abz09 ~!", min_size=1, max_size=6) | st.text("a,=é\t", max_size=3),
    st.sampled_from(["", "", " ", "\t", ","]),
)
tracestates = st.lists(member, max_size=36).map(",".join)


def by_level_1(state: str) -> bool:
    """Whether its keys are those of the W3C's Level 1, and each comes once."""
    members = [one.strip(" \t") for one in state.split(",")]
    keys = [one.partition("=")[0] for one in members if one]
    key = "[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}"
    return len({*keys}) == len(keys) and all(re.fullmatch(key, one) for one in keys)


@given(traceparents, tracestates)
def test_opentelemetry_reads_the_same(text: str, state: str) -> None:
    logging.getLogger("opentelemetry.trace.span").setLevel(logging.ERROR)
    carrier = {"traceparent": text, "tracestate": state}
    theirs = trace.get_current_span(
        TraceContextTextMapPropagator().extract(carrier)
    ).get_span_context()
    ours = parse_traceparent(text, state)
    if ours is None:
        # Theirs is a regular expression ended by "$", before which a line break may stand.
        assert not theirs.is_valid or text.endswith("\n")
        return
    assert (ours.trace_id, ours.span_id) == (theirs.trace_id, theirs.span_id)
    assert ours.sampled == theirs.trace_flags.sampled
    if not by_level_1(state):
        # Theirs forgets all of it.
        assert not theirs.trace_state
    elif len(state) <= MOST_STATE_CHARACTERS:
        assert ours.trace_state == theirs.trace_state.to_header()
    else:
        assert set(filter(None, ours.trace_state.split(","))) <= {
            f"{key}={value}" for key, value in theirs.trace_state.items()
        }
