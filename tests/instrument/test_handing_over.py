"""A program under `metalscope run` that sets up telemetry of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_asking_for_telemetry_without_options_gives_the_running_default():
    assert (
        run("""
        import metalscope
        first = metalscope.add_metal_telemetry(tick_interval=300)
        print(metalscope.add_metal_telemetry() is first, first.is_running)
        """)
        == "True True\n"
    )


def test_a_new_default_takes_over_what_the_old_one_instrumented():
    assert (
        run("""
        import metalscope
        first = metalscope.add_metal_telemetry(tick_interval=300)
        metalscope.instrument("mlx")
        import mlx.core as mx
        mx.eval(mx.ones(3))
        second = metalscope.add_metal_telemetry(tick_interval=200)
        mx.eval(mx.ones(3))
        mx.eval(mx.ones(3))
        print(first.get_snapshot().total_operations, second.get_snapshot().total_operations)
        """)
        == "1 2\n"
    )


def test_libraries_imported_later_are_recorded_to_the_new_default():
    assert (
        run("""
        import metalscope
        from metalscope.instrument import instrument_on_import
        first = metalscope.add_metal_telemetry(tick_interval=300)
        instrument_on_import(first)
        second = metalscope.add_metal_telemetry(tick_interval=200)
        import mlx.core as mx
        mx.eval(mx.ones(3))
        print(first.get_snapshot().total_operations, second.get_snapshot().total_operations)
        """)
        == "0 1\n"
    )
