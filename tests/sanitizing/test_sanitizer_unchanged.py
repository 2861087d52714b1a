"""What is told quickly to be unchanged is what the walk through all fields leaves as it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metalscope.export_options import Audience
from metalscope.logs.record import LogRecord, Severity
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing_options import SanitizingOptions

SANITIZERS = [
    Sanitizer(SanitizingOptions(), secrets=["tuna-and-rice"]),
    Sanitizer(
        SanitizingOptions(
            mode="hash", keys=("*_card",), keep=("email",), patterns={"order": "order-[0-9]+"},
            external_fields=("size*", "token_count"),
        )
    ),
]  # fmt: skip

NAMES = st.one_of(
    st.sampled_from(
        ["size", "size_card", "email", "password", "token_count", "name", "value", "api_key",
         "trace_id", "metal.operation.name", "metal.event.properties", "route", "passwd",
         "tuna-and-rice"]
    ),
    st.text(max_size=5),
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        ["/v1/items", "ok", "tuna-and-rice", "me@example.org", "order-17", "a" * 9000, "\ud800",
         "0af7651916cd43dd8448eb211c80319c", "password", "Bearer abcdefghijkl12345"]
    ),
    st.text(max_size=8),
)  # fmt: skip
VALUES = st.one_of(
    TEXTS, st.integers(), st.floats(), st.booleans(), st.none(), st.just(2**300),
    st.lists(TEXTS, max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("sanitizer", SANITIZERS, ids=["redact", "hash"])
@pytest.mark.parametrize("audience", Audience)
@given(data=st.data())
def test_a_record_is_what_each_of_its_parts_is(
    sanitizer: Sanitizer, audience: Audience, data: st.DataObject
) -> None:
    fields: dict[str, Any] = data.draw(st.dictionaries(NAMES, VALUES, max_size=4))
    body = data.draw(TEXTS)
    record = LogRecord(1, 2, Severity.INFO, body, attributes=fields)
    for _ in range(2):  # the second time from memory
        found = sanitizer.record(record, audience)
        assert repr(found.attributes) == repr(sanitizer.attributes(fields, audience))
        if audience is Audience.INTERNAL:
            assert found.body == sanitizer.text(body)


def test_a_record_with_nothing_to_take_out_is_not_copied() -> None:
    record = LogRecord(
        1, 2, Severity.INFO, "said", attributes={"size": 3, "route": "/v1", "ok": True, "ms": 1.5},
        correlation_id="0af76519-16cd-43dd-8448-eb211c80319c",
    )  # fmt: skip
    assert SANITIZERS[0].record(record, Audience.INTERNAL) is record
    assert SANITIZERS[0].record(record, Audience.EXTERNAL) is not record


def test_a_secret_that_becomes_known_is_taken_out_of_what_was_clean_before() -> None:
    sanitizer = Sanitizer(SanitizingOptions())
    record = LogRecord(
        1, 2, Severity.INFO, "salmon-sushi", attributes={"salmon-sushi": 1},
        correlation_id="salmon-sushi",
    )  # fmt: skip
    assert sanitizer.record(record, Audience.INTERNAL) is record
    sanitizer.add_secret("salmon-sushi")
    assert "salmon" not in repr(sanitizer.record(record, Audience.INTERNAL))
