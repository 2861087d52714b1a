"""What telemetry counted, for tests to look up."""

from __future__ import annotations

from metalscope import MetalTelemetryManager
from metalscope.instrument import settle
from metalscope.snapshot import OperationMetrics


class Recorded:
    """Looks up what telemetry counted, once all asynchronous work has been."""

    def __init__(self, telemetry: MetalTelemetryManager) -> None:
        self.telemetry = telemetry

    def all(self) -> dict[tuple[str, str], OperationMetrics]:
        assert settle(30)
        snapshot = self.telemetry.get_snapshot()
        assert dict(snapshot.internals.errors) == {}
        return {(str(one.kind), one.name): one for one in snapshot.operations}

    def counts(self) -> dict[tuple[str, str], int]:
        return {key: one.executions for key, one in self.all().items()}

    def one(self, kind: str, name: str) -> OperationMetrics:
        return self.all()[kind, name]
