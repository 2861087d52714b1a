"""Run a program with telemetry on, and write what was recorded to the file in RECORDED."""

import json
import os
import sys
from pathlib import Path

from metalscope import MetalTelemetryManager
from metalscope.instrument import instrument_on_import, settle
from metalscope.script import run_module, run_script

telemetry = MetalTelemetryManager()


def write() -> None:
    settle(10)
    Path(os.environ["RECORDED"]).write_text(json.dumps(telemetry.get_snapshot().to_dict()))


if __name__ == "__main__":
    instrument_on_import(telemetry)
    if sys.argv[1] == "-m":
        status = run_module(sys.argv[2], sys.argv[3:], flush=write)
    else:
        status = run_script(sys.argv[1], sys.argv[2:], flush=write)
    write()
    sys.exit(status)
