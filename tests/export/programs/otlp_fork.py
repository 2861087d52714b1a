"""Exports by gRPC, forks, exports in the child, and once more in the parent."""

import os
import sys

from contexts import context
from snapshots import full

from metalscope.export.otlp.exporter import OtlpExporter

exporter = OtlpExporter(context("opentelemetry", endpoint=sys.argv[1], protocol="grpc"))
print(exporter.export(full()).ok, flush=True)
child = os.fork()
if child == 0:
    ok = exporter.export(full()).ok
    exporter.shutdown()
    print("child" if ok else "failed", flush=True)
    os._exit(0 if ok else 1)
_, status = os.waitpid(child, 0)
print(exporter.export(full()).ok, flush=True)
exporter.shutdown()
sys.exit(os.waitstatus_to_exitcode(status))
