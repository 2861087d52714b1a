from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import metalscope
from metalscope import MetalTelemetryManager
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.instrument import instruments, uninstrument


def test_an_unknown_library_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown library 'mxl'.*did you mean 'mlx'\?"):
        metalscope.instrument("mxl", MetalTelemetryManager())
    with pytest.raises(ConfigurationError, match=r"unknown library 'zzz' to instrument \(known: "):
        uninstrument("zzz")


def test_without_telemetry_it_says_how_to_get_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metalscope.default._default", None)
    assert metalscope.get_telemetry() is None
    with pytest.raises(ConfigurationError, match="add_metal_telemetry"):
        metalscope.instrument("mlx")


def run(source: str, cwd: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)],
        cwd=cwd,
        env={"PYTHONPATH": ":".join(map(str, path)), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_default_telemetry_is_used_where_none_is_given(tmp_path: Path) -> None:
    done = run(
        """
        import metalscope
        telemetry = metalscope.add_metal_telemetry()
        metalscope.instrument("mlx")
        import mlx.core as mx
        mx.eval(mx.ones(3) + 1)
        print(telemetry.get_snapshot().total_operations)
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("first", ["metalscope.script", "metalscope.instrument", "metalscope.cli"])
def test_the_function_can_be_called_whatever_was_imported_before(
    first: str, tmp_path: Path
) -> None:
    done = run(
        f"""
        import {first}
        import metalscope
        telemetry = metalscope.MetalTelemetryManager()
        metalscope.instrument("mlx", telemetry)
        from metalscope import instrument, uninstrument
        instrument("mlx", telemetry=telemetry)
        uninstrument("mlx")
        metalscope.uninstrument("mlx")
        import metalscope.instrument
        metalscope.instrument("mlx", telemetry)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_library_that_is_not_installed_is_named_with_its_extra(tmp_path: Path) -> None:
    done = run(
        """
        import sys
        sys.modules["mlx"] = None
        import metalscope
        from metalscope.errors import MissingExtraError
        try:
            metalscope.instrument("mlx", metalscope.MetalTelemetryManager())
        except MissingExtraError as error:
            print(error.extra, "metalscope[mlx]" in str(error))
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("mlx True\n", "")
    assert issubclass(MissingExtraError, ImportError)


def test_knowing_the_names_loads_no_library(tmp_path: Path) -> None:
    done = run(
        """
        import sys
        from metalscope import MetalTelemetryManager
        from metalscope.instrument import instruments, instrument_on_import
        telemetry = MetalTelemetryManager()
        instrument_on_import(telemetry)
        heavy = {"mlx", "mlx.core", "numpy", "torch"}
        print("mlx" in instruments(), sorted(heavy & {*sys.modules}))
        """,
        tmp_path,
    )
    assert (done.stdout, done.stderr) == ("True []\n", "")


def package_with_entry_point(folder: Path, source: str) -> None:
    """A library, its instrument, and the metadata an installer would have written."""
    (folder / "gpu_library.py").write_text("def launch(): return 'launched'\n")
    (folder / "gpu_library_hooks.py").write_text(textwrap.dedent(source))
    info = folder / "gpu_library-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: gpu-library\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[metalscope.instruments]\ngpu_library = gpu_library_hooks:HOOKS\n"
    )


HOOKS = """
    class Hooks:
        module = "gpu_library"
        def install(self, telemetry):
            import gpu_library
            self.bare = gpu_library.launch
            def launch():
                with telemetry.operation("execute", "launch"):
                    return self.bare()
            gpu_library.launch = launch
        def remove(self):
            import gpu_library
            gpu_library.launch = self.bare
        def settle(self, timeout):
            return True
    HOOKS = Hooks()
    """


def test_another_package_adds_its_library_by_entry_point(tmp_path: Path) -> None:
    package_with_entry_point(tmp_path, HOOKS)
    done = run(
        """
        import metalscope
        from metalscope.instrument import instruments, instrument_on_import, settle
        print("gpu_library" in instruments())
        telemetry = metalscope.MetalTelemetryManager()
        instrument_on_import(telemetry)
        from gpu_library import launch
        print(launch(), telemetry.get_snapshot().total_operations, settle(1))
        metalscope.uninstrument("gpu_library")
        import gpu_library
        print(gpu_library.launch(), telemetry.get_snapshot().total_operations)
        """,
        tmp_path,
        tmp_path,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["True", "launched 1 True", "launched 1"]


def test_hooks_that_fail_do_not_make_the_import_fail(tmp_path: Path) -> None:
    package_with_entry_point(tmp_path, HOOKS.replace("self.bare = gpu_library.launch", "1 / 0"))
    done = run(
        """
        import metalscope
        from metalscope.instrument import instrument_on_import
        telemetry = metalscope.MetalTelemetryManager()
        instrument_on_import(telemetry)
        from gpu_library import launch
        print(launch(), dict(telemetry.get_snapshot().internals.errors))
        """,
        tmp_path,
        tmp_path,
    )
    assert done.stdout == "launched {'instrument.gpu_library': 1}\n"
    assert "ZeroDivisionError" in done.stderr, "it is logged"


def test_an_entry_point_that_does_not_load_disturbs_no_other(tmp_path: Path) -> None:
    package_with_entry_point(tmp_path, "raise RuntimeError('broken')")
    done = run(
        """
        import metalscope
        from metalscope.instrument import instrument_on_import
        telemetry = metalscope.MetalTelemetryManager()
        instrument_on_import(telemetry)
        import gpu_library
        from mlx.core import eval, ones
        eval(ones(3))
        snapshot = telemetry.get_snapshot()
        print(gpu_library.launch(), snapshot.total_operations, dict(snapshot.internals.errors))
        """,
        tmp_path,
        tmp_path,
    )
    assert done.stdout == "launched 1 {'instrument.gpu_library': 1}\n"


def test_the_built_in_table_needs_no_installed_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mlx" in instruments()
    assert importlib.metadata.entry_points(group="metalscope.instruments", name="mlx") == ()
