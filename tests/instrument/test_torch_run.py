"""PyTorch in a script of its own, under ``metalscope run``."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

TRAINING = """
    import json
    import torch
    from torch import nn
    from torch.autograd import backward
    from torch.utils.data import DataLoader, TensorDataset

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    data = TensorDataset(torch.randn(32, 8), torch.randn(32, 1))
    made = {"Sequential": 0, "backward": 0, "AdamW.step": 0, "item": 0}
    losses = []
    for epoch in range(2):
        for x, y in DataLoader(data, batch_size=8, num_workers=1):
            loss = nn.functional.mse_loss(net(x), y)
            made["Sequential"] += 1
            optimizer.zero_grad()
            backward([loss])
            made["backward"] += 1
            optimizer.step()
            made["AdamW.step"] += 1
            losses.append(loss.item())
            made["item"] += 1
    print(json.dumps([losses, made]))
"""

FAILING = """
    import torch
    from torch import nn

    class Inner(nn.Module):
        def forward(self, x):
            return x @ torch.ones(5, 5)

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(x)

    Outer()(torch.ones(1, 3))
"""


def run(script: Path, *how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *how, str(script)], capture_output=True, text=True, check=False
    )


def under_metalscope(script: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    report = script.with_suffix(".json")
    options = ("--no-server", "--quiet", "--report", str(report), "--report-format", "json")
    done = run(script, "-m", "metalscope", "run", *options)
    found: dict[str, Any] = json.loads(report.read_text())
    return done, found


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def test_a_script_is_recorded_as_it_counts_itself_and_gives_the_same_numbers(
    script: Path,
) -> None:
    script.write_text(textwrap.dedent(TRAINING))
    bare = run(script)
    ours, report = under_metalscope(script)
    assert (ours.returncode, ours.stderr) == (0, bare.stderr)
    assert ours.stdout == bare.stdout
    _losses, made = json.loads(ours.stdout)
    operations = report["snapshot"]["operations"]
    recorded = {one["name"]: one["executions"] for one in operations}
    # A DataLoader reads the seed of its workers, once an epoch.
    made["item"] += 2
    assert {name: recorded[name] for name in made} == made
    assert report["snapshot"]["internals"]["errors"] == {}


def test_a_script_that_fails_fails_with_the_same_traceback(script: Path) -> None:
    script.write_text(textwrap.dedent(FAILING))
    bare = run(script)
    ours, report = under_metalscope(script)
    assert ours.returncode == bare.returncode == 1
    assert ours.stderr == bare.stderr
    assert "Inner" not in [one["name"] for one in report["snapshot"]["operations"]]
    (outer,) = report["snapshot"]["operations"]
    assert (outer["name"], outer["errors"]) == ("Outer", {"invalid_argument": 1})


def test_importing_metalscope_and_naming_torch_loads_no_torch() -> None:
    code = """
        import sys
        import metalscope
        from metalscope.instrument import instruments, require
        require("torch")
        print("torch" in instruments(), "torch" in sys.modules)
        telemetry = metalscope.MetalTelemetryManager()
        metalscope.instrument("torch", telemetry)
        import torch
        torch.nn.Identity()(torch.ones(1))
        print([one.name for one in telemetry.get_snapshot().operations])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True False\n['Identity']\n", "")
