"""A Mac of stand-in libraries for each test that asks for one, with sensors of heat or without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from standin_heat import HotMac
from standin_mac import StandInMac


@pytest.fixture(scope="session")
def built_mac(tmp_path_factory: pytest.TempPathFactory) -> StandInMac:
    return StandInMac(tmp_path_factory.mktemp("standin"))


@pytest.fixture
def mac(built_mac: StandInMac) -> Iterator[StandInMac]:
    """A Mac of which nothing is known; no test may misuse its libraries."""
    built_mac.clear()
    yield built_mac
    assert built_mac.misuses == 0, "Core Foundation or IOKit was misused, see standard error"


@pytest.fixture(scope="module")
def built_hot_mac(built_mac: StandInMac, tmp_path_factory: pytest.TempPathFactory) -> HotMac:
    return HotMac(built_mac, tmp_path_factory.mktemp("heat"))


@pytest.fixture
def hot(mac: StandInMac, built_hot_mac: HotMac) -> Iterator[HotMac]:
    built_hot_mac.clear()
    yield built_hot_mac
    assert built_hot_mac.info_misuses == 0
