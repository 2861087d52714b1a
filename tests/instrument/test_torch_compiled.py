"""torch.compile, torch.jit, torch.export and torch.fx under instrumentation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._dynamo
from torch import nn
from torch._dynamo.utils import counters

from metalscope import (
    MetalError,
    MetalTelemetryManager,
    MetalTelemetryOptions,
    instrument,
    uninstrument,
)
from recorded import Recorded


@pytest.fixture(params=[0, 1], ids=["calls", "operations"])
def recorded(request: pytest.FixtureRequest) -> Iterator[Recorded]:
    torch._dynamo.reset()
    counters.clear()
    options = MetalTelemetryOptions(torch={"operations_every": request.param})
    telemetry = MetalTelemetryManager(options)
    instrument("torch", telemetry)
    yield Recorded(telemetry)
    uninstrument("torch")
    torch._dynamo.reset()


def calls(recorded: Recorded) -> dict[tuple[str, str], int]:
    """What is counted, less the single operations."""
    return {key: n for key, n in recorded.counts().items() if not key[1].startswith("aten::")}


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x)) + x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block() for _ in range(2)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x.to(torch.float64).sum()


def test_a_compiled_model_is_one_graph_and_each_compilation_counts(recorded: Recorded) -> None:
    net = Net()
    compiled = torch.compile(net, fullgraph=True, backend="aot_eager")
    shapes = (4, 4, 6, 4, 7)
    for size in shapes:
        x = torch.ones(size, 8)
        assert torch.equal(compiled(x), net.forward(x))
    assert dict(counters["graph_break"]) == {}
    # Of a second size Dynamo makes a graph for all sizes.
    assert counters["stats"]["unique_graphs"] == 2
    # net.forward is not the model's call, but each block in it is.
    assert calls(recorded) == {
        ("compile", "Net"): 2,
        ("execute", "Net"): len(shapes),
        ("execute", "Block"): 2 * len(shapes),
    }


def test_the_execute_that_compiles_is_without_the_compilation(recorded: Recorded) -> None:
    compiled = torch.compile(Net(), backend="aot_eager")
    compiled(torch.ones(2, 8))
    compilation = recorded.one("compile", "Net").durations.sum_ns
    execution = recorded.one("execute", "Net").durations.sum_ns
    assert 0 < execution < compilation


def test_a_compiled_function_counts_its_calls_and_its_compilations(recorded: Recorded) -> None:
    @torch.compile(fullgraph=True, backend="eager")
    def product(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x @ y.cpu()

    for _ in range(3):
        product(torch.ones(2, 2), torch.ones(2, 2))
    name = "test_a_compiled_function_counts_its_calls_and_its_compilations.<locals>.product"
    assert calls(recorded) == {("compile", "product"): 1, ("execute", name): 3}


def test_a_model_compiled_in_place_counts_once(recorded: Recorded) -> None:
    net = Net()
    net.compile(backend="eager", fullgraph=True)
    for _ in range(3):
        net(torch.ones(2, 8))
    assert calls(recorded) == {("compile", "Net"): 1, ("execute", "Net"): 3}


def test_the_backward_of_a_compiled_model_is_a_compilation_of_its_own(recorded: Recorded) -> None:
    compiled = torch.compile(Net(), fullgraph=True, backend="aot_eager")
    for _ in range(2):
        compiled(torch.ones(2, 8)).backward()
    counts = calls(recorded)
    assert counts["execute", "backward"] == 2
    assert counts["compile", "Net"] == 1
    assert dict(counters["graph_break"]) == {}


def graph_breaks() -> Counter[str]:
    """Where Dynamo breaks a function that reads a value in the middle, and a step.

    How many graphs there are is not asked: now and then it compiles one anew, by itself.
    """
    torch._dynamo.reset()
    counters.clear()
    block = Block()
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)

    def reads(x: torch.Tensor) -> torch.Tensor:
        y = block(x)
        y = y + 1 if y.sum().item() > 0 else y - 1
        return block(y)

    compiled = torch.compile(reads, backend="eager")
    step = torch.compile(optimizer.step, backend="eager")
    for _ in range(2):
        compiled(torch.ones(2, 8)).sum().backward()
        step()
    return Counter(counters["graph_break"])


def test_graphs_break_where_they_would_break_anyway_and_nowhere_else(recorded: Recorded) -> None:
    ours = graph_breaks()
    uninstrument("torch")
    assert ours == graph_breaks()
    assert len(ours) == 2


def test_a_compilation_that_fails_is_an_error_and_raises_as_before(recorded: Recorded) -> None:
    @torch.compile(fullgraph=True, backend="eager")
    def breaks(x: torch.Tensor) -> torch.Tensor:
        torch._dynamo.graph_break()
        return x

    with pytest.raises(torch._dynamo.exc.Unsupported):
        breaks(torch.ones(1))
    assert recorded.one("compile", "breaks").errors == {MetalError.COMPILATION_ERROR: 1}


def test_compile_gives_back_what_torch_gives_back(recorded: Recorded) -> None:
    def function(x: Any) -> Any:
        """Doubles."""
        return x * 2

    compiled = torch.compile(function, backend="eager")
    assert (compiled.__name__, compiled.__doc__) == ("function", "Doubles.")
    assert compiled._torchdynamo_orig_callable is function
    assert torch.compile(function, disable=True)(torch.ones(1)).item() == 2
    inner = torch.compile(function, backend="eager", fullgraph=True)
    outer = torch.compile(lambda x: inner(x) + 1, backend="eager", fullgraph=True)
    assert outer(torch.ones(1)).item() == 3


def test_a_compiled_function_records_no_more_after_uninstrument(recorded: Recorded) -> None:
    compiled = torch.compile(Net(), backend="eager")
    double = torch.compile(lambda x: x * 2, backend="eager")
    uninstrument("torch")
    compiled(torch.ones(2, 8))
    assert double(torch.ones(1)).item() == 2
    assert recorded.counts() == {}


def test_tracing_for_jit_export_and_fx_works_and_export_executes_nothing(
    recorded: Recorded,
) -> None:
    net, x = Net(), torch.ones(2, 8)
    expected = net.forward(x)
    before = calls(recorded)
    exported = [torch.export.export(net, (x,), strict=strict) for strict in (False, True)]
    graph = torch.fx.symbolic_trace(net)
    assert {key: n for key, n in calls(recorded).items() if key[0] == "execute"} == before
    scripted, traced = torch.jit.script(net), torch.jit.trace(net, x)
    models = [one.module() for one in exported] + [graph, scripted, traced]
    assert all(torch.equal(model(x), expected) for model in models)
    again = torch.vmap(nn.Linear(8, 8))(x)
    assert again.shape == (2, 8)


SCRIPT = """
    import json, sys, torch
    from torch import nn
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 1))
    compiled = torch.compile(net, fullgraph=True)
    optimizer = torch.optim.Adam(net.parameters())
    losses = []
    for _ in range(3):
        loss = compiled(torch.randn(4, 8)).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(json.dumps(losses))
"""


@pytest.mark.timeout(300)
def test_a_script_compiled_by_inductor_gives_the_same_numbers_under_metalscope_run(
    tmp_path: Path,
) -> None:
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))

    # No processes that compile for it; the second run finds what the first one made.
    of_inductor = {
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }

    def run(*how: str) -> list[float]:
        done = subprocess.run(
            [sys.executable, *how, str(script)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **of_inductor},
        )
        assert done.returncode == 0, done.stderr
        losses: list[float] = json.loads(done.stdout.splitlines()[0])
        return losses

    assert run("-m", "metalscope", "run", "--no-server", "--quiet") == run()
