"""Batches as bytes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from metalscope.sending.shipping.base import Batch
from metalscope.sending.shipping.packing import pack, unpack, weigh

BATCHES = st.builds(
    Batch,
    st.text("0123456789abcdef-", max_size=40),
    st.lists(st.binary(max_size=50), min_size=1, max_size=20).map(tuple),
)


@given(BATCHES)
@settings(max_examples=50)
def test_what_is_packed_is_unpacked_as_it_was(batch: Batch) -> None:
    packed = pack(batch)
    assert unpack(packed) == batch
    assert weigh(packed) == len(batch.records)


@given(BATCHES, st.data())
@settings(max_examples=100)
def test_a_batch_that_lost_its_end_is_none(batch: Batch, data: st.DataObject) -> None:
    packed = pack(batch)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]
    assert unpack(cut) is None
    assert weigh(cut) >= 1


@given(BATCHES, st.data())
@settings(max_examples=100)
def test_damaged_bytes_never_raise(batch: Batch, data: st.DataObject) -> None:
    packed = bytearray(pack(batch))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    unpack(bytes(packed))
    assert weigh(bytes(packed)) >= 1


@given(st.binary(max_size=100))
@settings(max_examples=50)
def test_other_bytes_are_no_batch(data: bytes) -> None:
    assert unpack(data) is None
    assert weigh(data) == 1
