"""Forecasters by name: metalscope's own, those of other packages, those that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalscope.errors import ConfigurationError
from metalscope.forecast.forecasters import forecaster_names, forecaster_of
from metalscope.forecast.robust import RobustForecaster

THEIRS = """
from metalscope.forecast.base import Forecast, Forecaster

class Last(Forecaster):
    def forecast(self, series, steps, *, confidence=0.9):
        last = [series.values[-1]] * steps
        return Forecast(0, series.step, last, last, last, confidence)

def none():
    return object()
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_forecasters.py").write_text(THEIRS)
    folder = tmp_path / "theirs-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(
        "[metalscope.forecasters]\n"
        "last = their_forecasters:Last\nnothing = their_forecasters:none\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_the_default_is_the_robust_one():
    assert isinstance(forecaster_of("robust"), RobustForecaster)
    assert forecaster_names()[:2] == ("robust", "statsmodels")


def test_an_unknown_name_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigurationError, match="'oracle'; there are robust, statsmodels"):
        forecaster_of("oracle")


@pytest.mark.usefixtures("theirs")
def test_another_package_adds_its_own():
    from metalscope.forecast.base import Series

    assert "last" in forecaster_names()
    found = forecaster_of("last").forecast(Series(0, 1, [1, 2, 3]), 2)
    assert found.values == [3, 3]


@pytest.mark.usefixtures("theirs")
def test_what_makes_no_forecaster_is_refused():
    with pytest.raises(ConfigurationError, match="'nothing' makes object"):
        forecaster_of("nothing")


def test_without_its_library_the_extra_is_named(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class NotInstalled:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'statsmodels':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, NotInstalled())\n"
    )
    program = (
        "from metalscope.errors import MissingExtraError\n"
        "from metalscope.forecast.forecasters import forecaster_of\n"
        "try:\n    forecaster_of('statsmodels')\n"
        "except MissingExtraError as error:\n    print(error.extra, '|', error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("ml | ")
    assert "pip install 'metalscope[ml]'" in ran.stdout


def test_predicting_by_the_robust_one_loads_nothing_heavy():
    program = (
        "import sys\n"
        "import metalscope.forecast.predictions, metalscope.forecast.robust\n"
        "import metalscope.objectives\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules}\n"
        "      & {'numpy', 'scipy', 'pandas', 'statsmodels', 'sqlite3', 'pydantic'}))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
