"""Sending in parts, whatever the peer makes of each, and reading whatever it answers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from metalscope.logs.sinks.bulk_answer import shipment_of
from metalscope.logs.sinks.halving import Halving
from metalscope.logs.sinks.splunk_answer import Taken, read_answer
from metalscope.sending.http.outcome import HttpAnswer, TransportError
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Refusal, Shipment

KINDS = st.sampled_from(["fine", "fine", "fine", "busy", "wrong", "large", "down"])


@given(
    st.lists(KINDS, max_size=30),
    st.integers(1, 12),
    st.integers(5, 60),
)
def test_each_record_arrives_once_or_is_refused_or_goes_again(
    kinds: list[str], most: int, takes: int
) -> None:
    """``takes`` is what the peer takes at once, in bytes."""
    records = [f"{n:03d}{kind}".encode() for n, kind in enumerate(kinds)]
    taken: Counter[bytes] = Counter()

    def send(part: Sequence[bytes]) -> Shipment | ExportResult | None:
        assert 0 < len(part) <= most
        if sum(map(len, part)) > takes or (len(part) == 1 and part[0].endswith(b"large")):
            return ExportResult.rejected(Reason.TOO_LARGE, "too large")
        if any(one.endswith(b"down") for one in part):
            raise TransportError(Reason.RESET, "gone")
        again = [place for place, one in enumerate(part) if one.endswith(b"busy")]
        refused = [
            Refusal(place, Reason.SCHEMA, "no")
            for place, one in enumerate(part)
            if one.endswith((b"wrong", b"large"))
        ]
        over = {*again, *(one.place for one in refused)}
        taken.update(one for place, one in enumerate(part) if place not in over)
        return Shipment(again, refused, Reason.RATE_LIMITED, "busy") if over else None

    halving = Halving(most=most)
    left = list(range(len(records)))
    refused: list[int] = []
    for _ in range(len(records) + 1):
        result = halving.send([records[place] for place in left], send)
        match result:
            case None:
                left = []
            case Shipment():
                refused += [left[one.place] for one in result.refused]
                assert sorted(result.again) == list(result.again)
                left = [left[place] for place in result.again]
            case ExportResult():
                assert result.verdict is Verdict.RETRY
        if not left:
            break
        # What held it up is well now.
        down = next((place for place in left if records[place].endswith(b"down")), None)
        for place in left:
            if place == down or records[place].endswith(b"busy"):
                records[place] = records[place][:-4] + b"okay"
    assert not left
    assert len(set(refused)) == len(refused)
    arrived = [records[place] for place in range(len(records)) if place not in refused]
    assert taken == Counter(arrived)


def test_what_it_learned_of_the_size_holds_for_the_next_batch() -> None:
    sizes: list[int] = []

    def send(part: Sequence[bytes]) -> ExportResult | None:
        sizes.append(len(part))
        return ExportResult.rejected(Reason.TOO_LARGE, "too large") if len(part) > 4 else None

    halving = Halving(most=100)
    assert halving.send([b"x" * 10] * 16, send) is None
    assert sizes == [16, 8, 4, 4, 8, 4, 4]
    sizes.clear()
    assert halving.send([b"x" * 10] * 16, send) is None
    assert sizes == [4, 4, 4, 4]


MEMBERS = [
    "items", "create", "status", "error", "type", "reason", "caused_by",
    "code", "text", "ackId", "invalid-event-number",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
STATUS = st.sampled_from([200, 201, 400, 404, 409, 413, 429, 503, 0, -1, True, None, "201"])
ITEM = st.fixed_dictionaries({"create": st.fixed_dictionaries({"status": STATUS, "error": JSON})})


@given(
    JSON | st.fixed_dictionaries({"items": st.lists(ITEM | JSON, max_size=4)}), st.integers(1, 4)
)
def test_no_document_counts_as_arrived_unless_a_bulk_answer_says_so(said: Any, count: int) -> None:
    result = shipment_of(said, count, "peer:9200", lambda text: text[:200])
    if isinstance(result, ExportResult):
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.GARBAGE)
        return
    lost = () if result is None else (*result.again, *(one.place for one in result.refused))
    assert len(set(lost)) == len(lost)
    for place in set(range(count)) - set(lost):
        ((_, item),) = said["items"][place].items()
        assert item["status"] in {200, 201, 409}


@given(JSON, st.sampled_from([200, 400, 403, 404, 413, 429, 503]), st.integers(1, 4))
def test_no_event_counts_as_taken_unless_a_collectors_answer_says_so(
    said: Any, status: int, count: int
) -> None:
    answer = HttpAnswer(status, {}, json.dumps(said).encode(), "peer:8088")
    result = read_answer(answer, count, lambda text: text[:200])
    match result:
        case Taken():
            assert said["code"] in {0, 24, 25}
        case Shipment():
            lost = [*result.again, *(one.place for one in result.refused)]
            first = said["invalid-event-number"]
            assert sorted(lost) == list(range(first, count))
        case ExportResult():
            assert not result.ok
