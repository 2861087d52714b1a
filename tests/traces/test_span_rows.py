from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metalscope.traces.chrome_rows import MOST_ROWS, Lying, Rows

THREAD = (1, "MainThread")

intervals = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 30)).map(lambda one: (one[0], one[0] + one[1])),
    max_size=40,
)


def crossing(one: tuple[int, int], other: tuple[int, int]) -> bool:
    (start, end), (its_start, its_end) = sorted([one, other])
    return start < its_start < end < its_end


def put_all(
    spans: list[tuple[int, int]], *, slack: int = 0
) -> tuple[dict[int, list[tuple[int, int]]], int]:
    rows, found, apart = Rows(slack=slack), {}, 0
    for start, end in spans:
        row = rows.find(Lying(THREAD, 1, start, end))
        if row is None:
            apart += 1
            continue
        assert row.start <= row.end
        assert abs(row.start - start) <= slack
        assert abs(row.end - end) <= slack
        found.setdefault(row.number, []).append((row.start, row.end))
    return found, apart


def assert_nested(found: dict[int, list[tuple[int, int]]]) -> None:
    for row in found.values():
        for place, one in enumerate(row):
            assert not any(crossing(one, other) for other in row[place + 1 :]), row


@given(intervals, st.integers(0, 5))
def test_on_no_row_do_two_spans_cross_in_whatever_order_they_come(
    spans: list[tuple[int, int]], slack: int
) -> None:
    found, apart = put_all(spans, slack=slack)
    assert_nested(found)
    assert sum(map(len, found.values())) + apart == len(spans)


@given(intervals)
def test_what_nests_shares_one_row(spans: list[tuple[int, int]]) -> None:
    kept: list[tuple[int, int]] = []
    for one in spans:
        if not any(crossing(one, other) for other in kept):
            kept.append(one)
    by_end = sorted(kept, key=lambda one: (one[1], -one[0]))
    found, _ = put_all(by_end)
    assert len(found) <= 1


def test_tasks_that_cross_are_on_two_rows_and_threads_have_their_own() -> None:
    rows = Rows()
    first = rows.find(Lying(THREAD, 1, 0, 10))
    second = rows.find(Lying(THREAD, 2, 5, 15))
    other = rows.find(Lying((2, "worker"), 1, 0, 10))
    assert first
    assert second
    assert other
    assert (first.place, first.is_new) == (0, True)
    assert (second.place, second.is_new) == (1, True)
    assert other.number not in {first.number, second.number}


def test_of_spans_that_are_planned_together_each_trace_has_a_row_of_its_own() -> None:
    requests = [Lying(THREAD, n, n, 100 + n) for n in range(4)]
    kernels = [Lying(THREAD, n, 10 * k + n, 10 * k + n + 1) for k in range(1, 5) for n in range(4)]
    later = Lying(THREAD, 9, 200, 210)
    rows = Rows()
    rows.plan([*kernels, *requests, later])
    found = {span: rows.find(span) for span in [*kernels, *requests, later]}
    for trace in range(4):
        assert {row.place for span, row in found.items() if row and span.trace_id == trace} == {
            trace
        }
    assert found[later].place == 0, "which is free by then"  # type: ignore[union-attr]


def test_a_trace_goes_on_where_it_was_when_the_next_spans_are_written() -> None:
    rows = Rows()
    earlier = [Lying(THREAD, 1, 2, 3), Lying(THREAD, 2, 3, 4)]
    requests = [Lying(THREAD, 1, 0, 10), Lying(THREAD, 2, 1, 11)]
    rows.plan([*earlier, Lying(THREAD, 1, 5, 6)])
    before = {one.trace_id: rows.find(one) for one in earlier}
    rows.plan([*requests, Lying(THREAD, 3, 2, 8)])
    for request in requests:
        row = rows.find(request)
        kernel = before[request.trace_id]
        assert row
        assert kernel
        assert row.place == kernel.place


@given(
    st.lists(
        st.builds(
            lambda trace, start, length: Lying(THREAD, trace, start, start + length),
            st.integers(1, 4), st.integers(0, 60), st.integers(0, 30),
        ),
        max_size=30,
    ),
    st.integers(1, 30),
)  # fmt: skip
def test_what_is_planned_does_not_cross_either(spans: list[Lying], at_once: int) -> None:
    rows, found = Rows(slack=2), {}
    for begin in range(0, len(spans), at_once):
        batch = spans[begin : begin + at_once]
        rows.plan(batch)
        for span in sorted(batch, key=lambda one: (one.end, -one.start)):
            row = rows.find(span)
            assert row
            found.setdefault(row.number, []).append((row.start, row.end))
    assert_nested(found)


def test_a_span_that_seems_to_end_a_little_after_the_one_around_it_lies_within_it() -> None:
    found, _ = put_all([(10, 103), (0, 100)], slack=5)
    assert found == {1: [(10, 103), (0, 103)]}
    found, _ = put_all([(10, 106), (0, 100)], slack=5)
    assert len(found) == 2


def test_of_more_crossing_spans_than_there_may_be_rows_the_rest_is_put_apart() -> None:
    spans = [(n, 1000 + n) for n in range(MOST_ROWS + 10)]
    found, apart = put_all(spans)
    assert (len(found), apart) == (MOST_ROWS, 10)


def test_a_long_row_is_remembered_in_part_and_still_nothing_crosses() -> None:
    spans = [(n * 10, n * 10 + 5) for n in range(3000)]
    found, _ = put_all([*spans, (0, 30_000), (12, 31_000)])
    assert len(found[1]) == 3001, "the one around all of them is on their row"
    assert_nested({number: row[-3:] for number, row in found.items()})
    assert len(found) == 2
