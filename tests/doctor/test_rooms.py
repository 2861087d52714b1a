"""Sensors, drivers, instruments, recorder: what each is said to be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from metalscope.doctor import Diagnosis, State
from metalscope.doctor.child import Check, run_check
from metalscope.doctor.drivers import check_auto, check_driver
from metalscope.doctor.sensors import check_sensor

Plug = Callable[[str, str], None]


@pytest.fixture
def plug(install: Callable[..., None], tmp_path: Path) -> Plug:
    """Installs a plugin: an entry point of a group, and the module it names."""

    def add(group: str, code: str) -> None:
        (tmp_path / "a_plugin.py").write_text(code)
        install("a-plugin", "1")
        (tmp_path / "a_plugin-1.dist-info" / "entry_points.txt").write_text(
            f"[{group}]\nlab = a_plugin:thing\n"
        )

    return add


def in_a_child(target: str, **arguments: object) -> list[Diagnosis]:
    return run_check(Check("g", "lab", f"metalscope.doctor.{target}", arguments), 60.0)


SENSOR = """
from metalscope.readings import ResourceKind, ResourceMetrics
from metalscope.sensors.base import Offer, SensorUnavailableError

class Lab:
    name = "lab"
    def read(self):
        return [ResourceMetrics(ResourceKind.TEMPERATURE, "oven", "", 20.0)]

class Telling(Lab):
    def offers(self):
        return [Offer("oven"), Offer("fridge", "it has no door", "buy one")]

def raising(*_):
    raise RuntimeError("no fuse")
"""


def test_a_sensor_of_this_host_works_and_says_what_it_reads():
    (found,) = list(check_sensor("host", False))
    assert (found.name, found.state) == ("host", State.WORKS)
    assert "host_memory/used" in found.facts["readings"]


@pytest.mark.skipif(sys.platform == "darwin", reason="it is there on a Mac")
def test_a_sensor_of_another_system_is_absent_with_the_reason():
    (found,) = list(check_sensor("chip", False))
    assert (found.state, found.why) == (State.ABSENT, "this is not macOS")


def test_a_sensor_the_options_turn_off_is_not_opened(plug: Plug):
    plug("metalscope.sensors", SENSOR + "thing = raising")
    (found,) = list(check_sensor("lab", True))
    assert (found.state, found.remedy) == (State.ABSENT, "take it out of disabled_sensors")


def test_a_sensor_of_another_package_is_looked_at(plug: Plug):
    plug("metalscope.sensors", SENSOR + "thing = Lab")
    (found,) = in_a_child("sensors:check_sensor", name="lab", disabled=False)
    assert (found.name, found.state, found.what) == ("lab", State.WORKS, "temperature")
    assert found.facts == {"readings": ["temperature/oven"]}


def test_a_sensor_that_describes_itself_has_a_line_for_each_thing(plug: Plug):
    plug("metalscope.sensors", SENSOR + "thing = Telling")
    found = in_a_child("sensors:check_sensor", name="lab", disabled=False)
    assert [(one.name, one.state) for one in found] == [
        ("lab: oven", State.WORKS),
        ("lab: fridge", State.ABSENT),
    ]
    assert (found[1].why, found[1].remedy) == ("it has no door", "buy one")


@pytest.mark.parametrize(
    ("thing", "doing"),
    [
        ("thing = raising", "opening it"),
        ("Lab.read = raising\nthing = Lab", "reading it"),
        ("Lab.offers = raising\nthing = Lab", "asking what it offers"),
    ],
)
def test_a_sensor_that_raises_is_broken_with_the_exception(plug: Plug, thing: str, doing: str):
    plug("metalscope.sensors", SENSOR + thing)
    (found,) = in_a_child("sensors:check_sensor", name="lab", disabled=False)
    assert found.state is State.BROKEN
    assert found.why == f"{doing} raised RuntimeError: no fuse"
    assert "add lab to disabled_sensors" in found.remedy


def test_the_mlx_driver_works_and_names_its_device():
    (found,) = list(check_driver("mlx"))
    assert found.state is State.WORKS
    assert found.facts["backend"] == "mlx"
    assert found.facts["device"] in found.what


@pytest.mark.webgpu
def test_the_webgpu_driver_works_in_a_process_of_its_own():
    (found,) = in_a_child("drivers:check_driver", name="webgpu")
    assert found.state is State.WORKS, found
    assert found.facts["properties"]["backend_type"] in found.what


@pytest.mark.skipif(sys.platform == "darwin", reason="it works on a Mac")
def test_the_metal_driver_is_absent_where_there_is_no_metal():
    (found,) = list(check_driver("metal"))
    assert (found.state, found.why) == (State.ABSENT, "Metal is part of macOS alone")


def test_the_driver_that_auto_takes_is_named():
    (found,) = list(check_auto())
    assert found.state is State.WORKS
    assert found.what == f"takes {found.facts['driver']}: {found.facts['device']}"


DRIVER = """
from metalscope.drivers.mlx import MLXDriver
from metalscope.errors import DeviceUnavailableError, MissingExtraError

class Lab(MLXDriver):
    name = "lab"
"""


@pytest.mark.parametrize(
    ("thing", "state", "why"),
    [
        (
            "class thing(Lab):\n    def copy_out(self, memory, offset, nbytes):\n"
            "        return bytes(nbytes)",
            State.BROKEN,
            "bytes written to its memory came back changed",
        ),
        (
            "class thing(Lab):\n    @classmethod\n    def open(cls, *, gpu_only=False):\n"
            "        raise DeviceUnavailableError('it is out for repair')",
            State.ABSENT,
            "it is out for repair",
        ),
        ("raise OSError('libfoo.so: no such file')", State.BROKEN, "libfoo.so"),
        ("import os; os.abort()", State.BROKEN, "SIGABRT"),
    ],
)
def test_a_driver_that_fails_is_said_to(plug: Plug, thing: str, state: State, why: str):
    plug("metalscope.drivers", DRIVER + thing)
    (found,) = in_a_child("drivers:check_driver", name="lab")
    assert found.state is state
    assert why in found.why


@pytest.mark.parametrize(
    ("library", "state", "why"),
    [
        (None, State.ABSENT, "no_such_library is not installed"),
        ("raise ImportError('no symbol', name='half_there')", State.BROKEN, "does not load"),
    ],
)
def test_a_drivers_library_is_missing_or_broken(
    plug: Plug, tmp_path: Path, library: str | None, state: State, why: str
):
    module = "half_there" if library else "no_such_library"
    if library:
        (tmp_path / "half_there.py").write_text(library)
    plug(
        "metalscope.drivers",
        DRIVER + "from metalscope.drivers.base import load\n"
        "class thing(Lab):\n    @classmethod\n    def open(cls, *, gpu_only=False):\n"
        f"        load({module!r}, what='it', extra='lab')",
    )
    (found,) = in_a_child("drivers:check_driver", name="lab")
    assert found.state is state
    assert why in found.why
    assert found.remedy == "pip install --upgrade 'metalscope[lab]'"


def test_an_instrument_works_where_its_hooks_can_be_put_in():
    (found,) = in_a_child("instruments:check_instrument", name="mlx")
    assert (found.state, found.what) == (State.WORKS, f"mlx {version('mlx')}")
    assert found.facts["version"] == version("mlx")


def test_an_instrument_of_a_library_older_than_tested_says_so(install):
    install("metalscope", "9", "Provides-Extra: mlx\nRequires-Dist: mlx>=99; extra == 'mlx'\n")
    # The entry points are another distribution's; the hooks are tried all the same.
    (found,) = in_a_child("instruments:check_instrument", name="mlx")
    assert (found.state, found.why) == (State.WORKS, "older than is tested: mlx>=99")


INSTRUMENT = """
class Lab:
    module = "colorsys"
    def install(self, telemetry): {install}
    def remove(self): pass
    def settle(self, timeout): return True
thing = Lab()
"""


@pytest.mark.parametrize(
    ("install_body", "why"),
    [
        ("raise AttributeError('eval')", "the hooks cannot be put in: AttributeError: eval"),
        (
            "telemetry.internal_error('instrument.lab', ValueError())",
            "putting the hooks in failed inside: instrument.lab",
        ),
    ],
)
def test_an_instrument_whose_hooks_do_not_fit_is_broken(plug: Plug, install_body: str, why: str):
    plug("metalscope.instruments", INSTRUMENT.format(install=install_body))
    (found,) = in_a_child("instruments:check_instrument", name="lab")
    assert (found.state, found.why) == (State.BROKEN, why)


def test_an_instrument_of_a_library_that_is_not_there_is_absent(plug: Plug):
    plug("metalscope.instruments", INSTRUMENT.format(install="pass").replace("colorsys", "nope"))
    (found,) = in_a_child("instruments:check_instrument", name="lab")
    assert (found.state, found.why) == (State.ABSENT, "nope is not installed")


def test_the_recorder_in_use_is_named():
    from metalscope.recorder import IMPLEMENTATION

    (found,) = in_a_child("recorder:check_recorder")
    assert (found.state, found.name) == (State.WORKS, IMPLEMENTATION)


def test_a_recorder_asked_to_be_pure_says_what_asked_for_it(monkeypatch):
    monkeypatch.setenv("METALSCOPE_PURE_PYTHON", "1")
    (found,) = in_a_child("recorder:check_recorder")
    assert (found.state, found.name) == (State.WORKS, "pure")
    assert found.why == "METALSCOPE_PURE_PYTHON is set"


@pytest.mark.parametrize(
    ("how", "state", "why"),
    [("absent", State.WORKS, "was not built"), ("unfit", State.BROKEN, "does not load: old ABI")],
)
def test_a_compiled_recorder_that_is_missing_or_unfit_is_told_apart(
    tmp_path: Path, monkeypatch, how: str, state: State, why: str
):
    # A finder before Python's own, as a package built for another Python looks.
    (tmp_path / "sitecustomize.py").write_text(
        "import sys, importlib.machinery as machinery\n"
        "class Other:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'metalscope._core':\n"
        f"            if {how!r} == 'absent': raise ModuleNotFoundError(name)\n"
        "            return machinery.ModuleSpec(name, self)\n"
        "    def create_module(self, spec): raise ImportError('old ABI')\n"
        "    def exec_module(self, module): pass\n"
        "sys.meta_path.insert(0, Other())\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    (found,) = in_a_child("recorder:check_recorder")
    assert found.state is state
    assert why in found.why


def test_a_free_threaded_python_has_the_pure_recorder_for_a_reason(monkeypatch):
    from metalscope.doctor import recorder

    monkeypatch.delenv("METALSCOPE_PURE_PYTHON", raising=False)
    monkeypatch.setattr(recorder.sysconfig, "get_config_var", {"Py_GIL_DISABLED": 1}.get)
    found = recorder._pure()
    assert (found.state, found.why) == (State.WORKS, "this Python is free-threaded")
