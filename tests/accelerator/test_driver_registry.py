"""Which driver is taken, and what is said where none is."""

from __future__ import annotations

import subprocess
import sys

import languages
import pytest

from metalscope.accelerator import MetalAccelerator
from metalscope.drivers import Driver, driver_names, open_driver
from metalscope.drivers.mlx import MLXDriver
from metalscope.drivers.webgpu import WebGPUDriver
from metalscope.errors import ConfigurationError, DeviceUnavailableError, MissingExtraError

PLUGIN = """
from metalscope.drivers import Driver
from metalscope.errors import DeviceUnavailableError
from metalscope.snapshot import DeviceInfo

class Paper(Driver):
    name, language = "paper", "ink"
    device_info = DeviceInfo("a sheet", "paper")

    @classmethod
    def open(cls, *, gpu_only=False):
        if gpu_only:
            raise DeviceUnavailableError("paper is no GPU")
        return cls()

    allocate = free = copy_in = copy_out = compile = launch = None
    synchronize = lambda self, timeout: None
    close = lambda self: None
"""


@pytest.fixture
def without(monkeypatch):
    """Make libraries missing."""

    def remove(*modules):
        for module in modules:
            monkeypatch.setitem(sys.modules, module, None)

    return remove


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    (tmp_path / "paper_driver.py").write_text(PLUGIN)
    info = tmp_path / "paper_driver-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper-driver\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[metalscope.drivers]\npaper = paper_driver:Paper\ntorn = paper_driver:NotThere\n"
        "mlx = paper_driver:Paper\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("paper_driver", None)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [("mxl", "mlx"), ("WebGL", "webgpu"), ("Metall", "metal"), ("autos", "auto")],
)
def test_an_unknown_driver_is_answered_with_the_nearest_known(asked, meant):
    with pytest.raises(ConfigurationError, match=f"did you mean '{meant}'"):
        MetalAccelerator(asked)


def test_a_driver_like_none_is_answered_with_all_there_are():
    with pytest.raises(ConfigurationError) as raised:
        MetalAccelerator("zzzz")
    assert "did you mean" not in str(raised.value)
    assert all(name in str(raised.value) for name in ("auto", "metal", "webgpu", "mlx"))


@pytest.mark.parametrize(
    ("driver", "module", "extra"),
    [("mlx", "mlx.core", "mlx"), ("webgpu", "wgpu", "webgpu")],
)
def test_a_missing_library_is_answered_with_its_extra(without, driver, module, extra):
    without(module)
    with pytest.raises(MissingExtraError, match=rf"pip install 'metalscope\[{extra}\]'"):
        MetalAccelerator(driver)


def test_a_mac_without_pyobjc_is_answered_with_its_extra(without, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    without("Metal")
    with pytest.raises(MissingExtraError, match=r"metalscope\[metal\]"):
        MetalAccelerator("metal")


def test_auto_takes_metal_where_there_is_one(monkeypatch, tel):
    languages.stand_in(monkeypatch)
    with MetalAccelerator("auto", tel) as acc:
        assert acc.driver_name == "metal"


def only_on(kind, monkeypatch, *, gpu):
    """Have a driver find a GPU, or the processor alone, without opening anything."""

    def fake_open(cls, *, gpu_only=False):
        if gpu_only and not gpu:
            raise DeviceUnavailableError(f"{cls.name} computes on the processor")
        return object.__new__(cls)

    monkeypatch.setattr(kind, "open", classmethod(fake_open))


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Metal")
@pytest.mark.parametrize(
    ("webgpu_on_gpu", "mlx_on_gpu", "taken"),
    [
        (True, True, "webgpu"),
        (True, False, "webgpu"),
        (False, True, "mlx"),
        (False, False, "mlx"),
    ],
)
def test_auto_prefers_a_gpu_and_then_the_driver(monkeypatch, webgpu_on_gpu, mlx_on_gpu, taken):
    only_on(WebGPUDriver, monkeypatch, gpu=webgpu_on_gpu)
    only_on(MLXDriver, monkeypatch, gpu=mlx_on_gpu)
    assert open_driver().name == taken


@pytest.mark.webgpu
@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Metal")
def test_auto_takes_webgpu_where_mlx_is_missing(without, tel):
    languages.need("wgpu")
    without("mlx", "mlx.core")
    with MetalAccelerator("auto", tel) as acc:
        assert acc.driver_name == "webgpu"


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Metal")
def test_where_nothing_opens_every_drivers_reason_is_told(without):
    without("mlx.core", "wgpu")
    with pytest.raises(DeviceUnavailableError) as raised:
        MetalAccelerator()
    text = str(raised.value)
    assert "metal: Metal is part of macOS alone" in text
    assert "metalscope[webgpu]" in text
    assert "metalscope[mlx]" in text


def test_a_driver_of_another_package_joins_by_its_entry_point(plugin, tel):
    assert driver_names() == ("metal", "webgpu", "mlx", "paper", "torn")
    with MetalAccelerator("paper", tel) as acc:
        assert (acc.driver_name, acc.language, acc.device_info.name) == ("paper", "ink", "a sheet")
        acc.synchronize()
    assert tel.get_snapshot().total_operations == 1


def test_a_driver_of_another_package_does_not_replace_one_of_ours(plugin):
    languages.need("mlx")
    driver = open_driver("mlx")
    assert isinstance(driver, MLXDriver)
    driver.close()


def test_a_driver_of_another_package_that_does_not_load_says_why(plugin):
    with pytest.raises(DeviceUnavailableError, match="NotThere"):
        open_driver("torn")


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has Metal")
def test_auto_comes_to_the_drivers_of_other_packages_last(plugin, without):
    without("mlx.core", "wgpu")
    assert open_driver().name == "paper"


def test_an_opened_driver_may_be_handed_over(plugin, tel):
    driver = open_driver("paper")
    assert isinstance(driver, Driver)
    with MetalAccelerator(driver, tel) as acc:
        assert acc.driver_name == "paper"


def test_naming_the_accelerator_loads_no_gpu_library():
    code = (
        "import sys, metalscope.accelerator, metalscope.drivers;"
        "print([m for m in ('mlx', 'wgpu', 'numpy', 'Metal', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
