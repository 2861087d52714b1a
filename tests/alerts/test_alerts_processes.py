"""Alerts of several processes: raised once, over what all of them count."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep

from metalscope import MetalTelemetryManager
from metalscope.options import MetalTelemetryOptions

WORKER = """
import sys
import metalscope
tel = metalscope.add_metal_telemetry(processes_directory=sys.argv[1], alerts={"enabled": False})
for _ in range(3):
    tel.record("execute", "attention", duration_ns=1000, error="timeout", device="m1")
tel.shutdown()
"""


def test_what_no_process_alone_would_raise_is_raised_over_all_of_them(tmp_path: Path) -> None:
    options = MetalTelemetryOptions(
        tick_interval="50ms",
        processes_directory=tmp_path,
        server={"enabled": True, "port": 0},
        alerts={"evaluation_interval": "100ms", "sampling_interval": "100ms"},
    )
    with MetalTelemetryManager(options) as telemetry:
        workers = [
            subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path)]) for _ in range(2)
        ]
        assert [worker.wait(60) for worker in workers] == [0, 0]
        until = monotonic() + 20
        while not telemetry.get_snapshot().alerts and monotonic() < until:
            sleep(0.02)
        (alert,) = (a for a in telemetry.get_snapshot().alerts if a.rule == "MetalKernelFailures")
        assert alert.value == 6
        assert telemetry.server is not None
        assert alert.link == f"{telemetry.server.url}/#alert={alert.id}"
        assert alert.runbook == f"{telemetry.server.url}/runbooks.html#metalkernelfailures"


def test_a_forked_child_leaves_alerts_to_the_parent_that_serves(tmp_path: Path) -> None:
    code = """
import os, sys
import metalscope
tel = metalscope.add_metal_telemetry(
    processes_directory=sys.argv[1], server={"enabled": True, "port": 0},
    alerts={"enable_notifications": True, "notification_endpoints": ["http://127.0.0.1:1/"]},
)
assert tel.alerts is not None
child = os.fork()
if child == 0:
    os._exit(0 if tel.alerts is None and tel.is_running else 1)
assert os.waitpid(child, 0)[1] == 0
tel.shutdown(5)
assert tel.alerts is None
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_child_that_is_forked_amid_an_evaluation_looks_at_nothing_and_does_not_hang() -> None:
    code = """
import os, threading
import metalscope
from metalscope.options import AlertsOptions
def raising(room, error): raise error
alerts = metalscope.MetalAlertsManager(AlertsOptions(), on_error=raising)
tel = metalscope.MetalTelemetryManager()
inside, over = threading.Event(), threading.Event()
class Slow:
    @property
    def timestamp(self):
        if threading.current_thread() is not threading.main_thread() and alerts._lock._is_owned():
            inside.set()
            over.wait()
        return first.timestamp
    def __getattr__(self, name): return getattr(first, name)
first = tel.get_snapshot()
threading.Thread(target=alerts.observe, args=(Slow(),), daemon=True).start()
assert inside.wait(20)
child = os.fork()
if child == 0:
    alerts.observe(tel.get_snapshot())
    alerts.close()
    os._exit(0 if alerts.active == () else 1)
assert os.waitpid(child, 0)[1] == 0
over.set()
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
