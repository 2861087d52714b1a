from __future__ import annotations

from collections.abc import Iterator

import pytest

from health_source import Source


@pytest.fixture
def source() -> Iterator[Source]:
    made = Source()
    yield made
    made.go_on.set()
