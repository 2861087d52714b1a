import os

import pytest


@pytest.fixture(autouse=True)
def _no_options_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("METALSCOPE_"):
            monkeypatch.delenv(variable)
