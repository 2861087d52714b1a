from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metalscope.script import ScriptNotFoundError, run_module, run_script

DRIVER = Path(__file__).with_name("driver.py")


def nothing_changed() -> tuple[object, ...]:
    return sys.modules["__main__"], sys.argv, list(sys.path)


def test_a_missing_script_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    before = nothing_changed()
    with pytest.raises(ScriptNotFoundError, match=r"cannot open script .*nope\.py: No such file"):
        run_script(tmp_path / "nope.py")
    assert nothing_changed() == before


def test_a_folder_without_main_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    before = nothing_changed()
    with pytest.raises(ScriptNotFoundError, match="no __main__ module in"):
        run_script(tmp_path)
    assert nothing_changed() == before


@pytest.mark.parametrize("name", ["no_such_module", "json.no_such_module", "no.such.module"])
def test_a_missing_module_is_named_and_nothing_is_changed(name: str) -> None:
    before = nothing_changed()
    with pytest.raises(ScriptNotFoundError, match=name.partition(".")[0]):
        run_module(name)
    assert nothing_changed() == before


def test_a_package_that_cannot_be_run_is_named() -> None:
    with pytest.raises(ScriptNotFoundError, match=r"importlib\.metadata.* cannot be .*executed"):
        run_module("importlib.metadata")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_script_is_named(tmp_path: Path) -> None:
    script = tmp_path / "secret.py"
    script.write_text("")
    script.chmod(0)
    with pytest.raises(ScriptNotFoundError, match="Permission denied"):
        run_script(script)


def test_a_missing_script_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DRIVER), "nope.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
