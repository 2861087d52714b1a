"""Writes frames to FILE and says the number of each when it is written."""

import sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from metalscope import MetalTelemetryManager
from metalscope.session import SessionHeader, SessionWriter
from metalscope.session.format import SessionSource

header = SessionHeader(datetime.now(UTC), SessionSource.RUN, 1.0)
writer = SessionWriter(Path(sys.argv[1]), header)
telemetry = MetalTelemetryManager()
for number in count(1):
    telemetry.record("execute", f"kernel {number % 40}", duration_ns=number)
    writer.write(telemetry.get_snapshot())
    print(number, flush=True)
