"""PyTorch instrumented: what is counted, and that the program does not notice."""

from __future__ import annotations

import copy
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, Dataset

from metalscope import (
    MetalError,
    MetalTelemetryManager,
    MetalTelemetryOptions,
    instrument,
    uninstrument,
)
from recorded import Recorded

Counts = dict[tuple[str, str], int]


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    telemetry = MetalTelemetryManager()
    instrument("torch", telemetry)
    yield Recorded(telemetry)
    uninstrument("torch")


@pytest.fixture
def detailed() -> Iterator[Recorded]:
    """All operations within forwards, backwards and steps are recorded too."""
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(torch={"operations_every": 1}))
    instrument("torch", telemetry)
    yield Recorded(telemetry)
    uninstrument("torch")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x)) + x


class Net(nn.Module):
    """A model that gives its own loss, so that all operations are within its forward."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block() for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x.pow(2).mean()


def train(steps: int) -> list[float]:
    """A training run that counts nothing; the same numbers each time."""
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = net(torch.randn(4, 8))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


# -- what is counted -----------------------------------------------------------------------------


def test_forwards_backwards_steps_and_reads_are_as_many_as_the_program_makes(
    recorded: Recorded,
) -> None:
    train(7)
    assert recorded.counts() == {
        ("execute", "Net"): 7,
        ("execute", "backward"): 7,
        ("execute", "Adam.step"): 7,
        ("synchronize", "item"): 7,
    }
    assert {one.device for one in recorded.all().values()} == {"cpu:0"}
    assert recorded.one("synchronize", "item").nbytes == 7 * 4


def test_the_numbers_are_the_very_same_with_and_without(detailed: Recorded) -> None:
    ours = train(5)
    uninstrument("torch")
    assert ours == train(5)


def test_modules_within_modules_are_part_of_the_outermost(recorded: Recorded) -> None:
    nn.Sequential(Block(), nn.Sequential(Block(), Block()))(torch.ones(2, 8))
    Block()(torch.ones(2, 8))
    assert recorded.counts() == {("execute", "Sequential"): 1, ("execute", "Block"): 1}


def test_the_duration_of_a_forward_contains_its_work(recorded: Recorded) -> None:
    class Slow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.05)
            return x

    started = time.perf_counter_ns()
    Slow()(torch.ones(1))
    took = time.perf_counter_ns() - started
    assert 50_000_000 <= recorded.one("execute", "Slow").durations.sum_ns <= took


def test_every_way_to_go_backward_is_one_execute(recorded: Recorded) -> None:
    x = torch.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    torch.autograd.backward([(x * 2).sum()])
    torch.autograd.grad((x * 2).sum(), x)
    assert recorded.counts() == {("execute", "backward"): 2, ("execute", "grad"): 1}


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_a_checkpoint_computes_again_is_part_of_the_backward(
    reentrant: bool, recorded: Recorded
) -> None:
    x = torch.ones(2, 8, requires_grad=True)
    checkpoint(Net(), x, use_reentrant=reentrant).backward()
    assert recorded.counts() == {("execute", "Net"): 1, ("execute", "backward"): 1}


def test_a_closure_s_forwards_count_within_a_step(recorded: Recorded) -> None:
    net, x = Net(), torch.ones(2, 8)
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3)
    calls = 0

    def closure() -> torch.Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = net(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    counts = recorded.counts()
    assert counts["execute", "LBFGS.step"] == 1
    assert counts["execute", "Net"] == counts["execute", "backward"] == calls > 1


def test_optimizers_made_before_and_of_the_program_s_own_classes_are_seen() -> None:
    class Own(torch.optim.Optimizer):
        def __init__(self, parameters: Any) -> None:
            super().__init__(parameters, {"lr": 1.0})

        def step(self, closure: Any = None) -> Any:
            return closure

    early = torch.optim.SGD(Net().parameters())
    telemetry = MetalTelemetryManager()
    instrument("torch", telemetry)
    try:
        own = Own(Net().parameters())
        scheduler = torch.optim.lr_scheduler.StepLR(own, 1)
        for _ in range(2):
            early.step()
            own.step()
            scheduler.step()
    finally:
        uninstrument("torch")
    assert Recorded(telemetry).counts() == {
        ("execute", "SGD.step"): 2,
        ("execute", "Own.step"): 2,
    }


def test_a_step_that_fails_is_an_error(recorded: Recorded) -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter])

    def closure() -> float:
        raise torch.OutOfMemoryError("MPS backend out of memory (MPS allocated: 20 GB)")

    with pytest.raises(torch.OutOfMemoryError):
        optimizer.step(closure)
    assert recorded.one("execute", "SGD.step").errors == {MetalError.OUT_OF_MEMORY: 1}
    optimizer.step()
    assert recorded.one("execute", "SGD.step").executions == 2


READS: dict[str, tuple[Callable[[Any], object], object]] = {
    "item": (lambda x: x.item(), 3),
    "tolist": (lambda x: x.tolist(), 3),
    "numpy": (lambda x: x.numpy().tolist(), 3),
    "bool": (bool, True),
    "float": (float, 3.0),
    "int": (lambda x: [0, 1, 2, int(x)][x], 3),
    "complex": (complex, 3 + 0j),
    "repr": (repr, "tensor(3)"),
    "format": (lambda x: f"{x}", "3"),
}


@pytest.mark.parametrize("name", READS)
def test_reading_a_value_is_a_synchronize(name: str, recorded: Recorded) -> None:
    read, value = READS[name]
    assert read(torch.tensor(3)) == value
    counts = recorded.counts()
    reads = counts.pop(("synchronize", name))
    assert reads == (2 if name == "int" else 1)
    assert counts == {}
    assert recorded.one("synchronize", name).nbytes == reads * 8


def test_a_read_is_counted_once_under_a_function_mode(recorded: Recorded) -> None:
    with torch.device("cpu"):
        assert torch.ones(()).item() == 1
    assert recorded.counts() == {("synchronize", "item"): 1}


def test_reading_the_host_s_own_tensors_within_a_forward_is_no_event(recorded: Recorded) -> None:
    class Looks(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum().item() else -x

    Looks()(torch.ones(2))
    assert recorded.counts() == {("execute", "Looks"): 1}


def test_moves_count_only_where_the_device_changes(recorded: Recorded) -> None:
    x = torch.ones(4)
    assert x.to("cpu") is x.to(torch.float32) is x.cpu() is x
    x.to(torch.float64)
    assert recorded.counts() == {}
    x.to("meta")
    moved = recorded.one("transfer", "to")
    assert (moved.executions, moved.nbytes, moved.device) == (1, 16, "meta:0")


def test_a_device_that_is_not_there_is_an_error_of_the_transfer(recorded: Recorded) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is a Metal device")
    with pytest.raises(RuntimeError, match="mps"):
        torch.ones(2).to("mps")
    assert recorded.one("transfer", "to").errors == {MetalError.DEVICE_UNAVAILABLE: 1}


def test_saves_and_loads_are_transfers_with_the_bytes_of_their_tensors(
    recorded: Recorded, tmp_path: Path
) -> None:
    state = {"a": torch.ones(10, 10), "b": [torch.zeros(5), "no tensor"]}
    torch.save(state, tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt")["b"][0].shape == (5,)
    net = Net()
    torch.save(net, tmp_path / "net.pt")
    transfers = recorded.all()
    assert {key: one.executions for key, one in transfers.items()} == {
        ("transfer", "save"): 2,
        ("transfer", "load"): 1,
    }
    size = sum(one.nbytes for one in net.parameters())
    assert transfers["transfer", "save"].nbytes == 420 + size
    assert transfers["transfer", "load"].nbytes == 420
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nope.pt")
    assert recorded.one("transfer", "load").error_count == 1


# -- the operations within -----------------------------------------------------------------------


class Counting(TorchDispatchMode):
    """An independent count of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counts = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        key = ("execute", func._schema.name)
        self.counts[key] = self.counts.get(key, 0) + 1
        return func(*args, **(kwargs or {}))


def operations(counts: Counts) -> Counts:
    return {key: count for key, count in counts.items() if key[1].startswith("aten::")}


def test_all_operations_are_as_many_as_an_independent_mode_counts(detailed: Recorded) -> None:
    torch.manual_seed(0)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    with Counting() as counting:
        for _ in range(4):
            x = torch.empty(4, 8)
            net(x.detach()).backward()
            optimizer.step()
    expected = operations(counting.counts)
    for made_outside in ("aten::empty", "aten::detach"):
        key = ("execute", made_outside)
        expected[key] = expected.get(key, 0) - 4
    counted = operations(detailed.counts())
    assert sum(counted.values()) > 100
    assert counted == {key: count for key, count in expected.items() if count}


def test_of_every_third_call_the_operations_are_recorded() -> None:
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(torch={"operations_every": 3}))
    instrument("torch", telemetry)
    try:
        net = Net()
        for _ in range(7):
            net(torch.ones(1, 8))
    finally:
        uninstrument("torch")
    counts = Recorded(telemetry).counts()
    assert counts["execute", "Net"] == 7
    # The first, the fourth and the seventh, with three blocks each.
    assert counts["execute", "aten::relu"] == 3 * 3


def test_an_operation_that_fails_is_an_error_and_so_is_its_forward(detailed: Recorded) -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Net()(torch.ones(2, 5))
    for name in ("Net", "aten::addmm"):
        assert detailed.one("execute", name).errors == {MetalError.INVALID_ARGUMENT: 1}


# -- being invisible -----------------------------------------------------------------------------


def _tracebacks(directory: Path) -> list[list[tuple[str, str]]]:
    class Failing(nn.Module):
        def __init__(self, inner: nn.Module | None = None) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.inner is not None:
                return self.inner(x)
            raise ValueError("in the model")

    def closure() -> float:
        raise ValueError("in the closure")

    calls: list[Callable[[], object]] = [
        lambda: Failing(Failing(Failing()))(torch.ones(1)),
        lambda: torch.ones(1).backward(),
        lambda: torch.autograd.grad(torch.ones(1), torch.ones(1)),
        lambda: torch.optim.SGD([nn.Parameter(torch.ones(1))]).step(closure),
        lambda: torch.ones(2).item(),
        lambda: torch.ones(2).to("nowhere"),
        lambda: torch.load(directory / "nope.pt"),
        lambda: torch.save(lambda: None, directory / "function.pt"),
        lambda: torch.compile(lambda x: x, mode="default", options={}),
        lambda: nn.Linear(2, 2)(torch.ones(1, 3)),
        torch.mps.synchronize,
        lambda: torch.mps.compile_shader("kernel"),
    ]
    found = []
    for call in calls:
        with pytest.raises(Exception) as failure:  # noqa: PT011 - all of them, as they are
            call()
        frames = traceback.extract_tb(failure.value.__traceback__)
        found.append([(one.filename, one.name) for one in frames])
    return found


def test_tracebacks_are_the_very_ones_of_torch_alone(detailed: Recorded, tmp_path: Path) -> None:
    ours = _tracebacks(tmp_path)
    uninstrument("torch")
    assert ours == _tracebacks(tmp_path)


def held() -> dict[tuple[str, str], object]:
    owners = (
        torch,
        torch.Tensor,
        torch.autograd,
        torch.mps,
        torch.mps.Event,
        nn.Module,
        torch.optim.Optimizer,
        torch.optim.Adam,
        torch.optim.SGD,
    )
    return {(repr(owner), name): value for owner in owners for name, value in vars(owner).items()}


def test_uninstrument_puts_back_the_very_objects() -> None:
    train(1)
    before = held()
    telemetry = MetalTelemetryManager()
    instrument("torch", telemetry)
    between = held()
    assert sum(between[key] is not before.get(key) for key in between) > 20
    torch.optim.SGD(Net().parameters())
    uninstrument("torch")
    after = held()
    # SGD's step is PyTorch's own replacement, made when the first of its kind was.
    step = (repr(torch.optim.SGD), "step")
    assert not hasattr(torch.optim.SGD.step, "_metalscope")
    assert after.keys() == before.keys()
    assert [key for key in before if after[key] is not before[key] and key != step] == []
    assert telemetry.get_snapshot().total_operations == 0


def test_instrumenting_twice_counts_once_and_other_telemetry_takes_over() -> None:
    first, second = MetalTelemetryManager(), MetalTelemetryManager()
    instrument("torch", first)
    instrument("torch", first)
    train(1)
    instrument("torch", second)
    try:
        train(2)
    finally:
        uninstrument("torch")
        uninstrument("torch")
    assert first.get_snapshot().total_operations == 4
    assert second.get_snapshot().total_operations == 8


def test_what_the_program_kept_goes_on_working_and_records_no_more(recorded: Recorded) -> None:
    net = Net()
    forward, item, load = net.__call__, torch.Tensor.item, torch.load
    optimizer = torch.optim.Adam(net.parameters())
    step = optimizer.step
    uninstrument("torch")
    loss = forward(torch.ones(2, 8))
    loss.backward()
    step()
    assert item(loss) > 0
    with pytest.raises(FileNotFoundError):
        load("/no/such/file.pt")
    assert recorded.counts() == {}


def test_telemetry_that_is_off_records_nothing_and_changes_nothing() -> None:
    bare = train(3)
    telemetry = MetalTelemetryManager(MetalTelemetryOptions(enabled=False))
    instrument("torch", telemetry)
    try:
        assert train(3) == bare
    finally:
        uninstrument("torch")
    assert telemetry.get_snapshot().total_operations == 0


def test_models_and_tensors_are_copied_and_pickled_as_before(recorded: Recorded) -> None:
    net = Net()
    x = torch.ones(2, 8)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert torch.equal(twin(x), net(x))
    optimizer = torch.optim.Adam(twin.parameters())
    assert type(pickle.loads(pickle.dumps(optimizer))) is torch.optim.Adam


# -- threads and processes -----------------------------------------------------------------------


def test_threads_at_once_are_all_counted(recorded: Recorded) -> None:
    net = Net()
    threads = [
        threading.Thread(target=lambda: [net(torch.ones(2, 8)).backward() for _ in range(50)])
        for _ in range(4)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    counts = recorded.counts()
    assert counts == {("execute", "Net"): 200, ("execute", "backward"): 200}


def test_a_data_parallel_thread_inside_a_forward_is_a_call_of_its_own(recorded: Recorded) -> None:
    class Parallel(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            thread = threading.Thread(target=Block(), args=(x,))
            thread.start()
            thread.join()
            return x

    Parallel()(torch.ones(2, 8))
    assert recorded.counts() == {("execute", "Parallel"): 1, ("execute", "Block"): 1}


class Computed(Dataset[torch.Tensor]):
    """Items that a model computes, in the worker."""

    def __init__(self) -> None:
        self.net = Block()
        nn.init.eye_(self.net.linear.weight)
        nn.init.zeros_(self.net.linear.bias)

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.net(torch.full((8,), float(index))).detach()


def test_workers_of_a_data_loader_work_as_before_and_are_not_the_parent_s_counts(
    detailed: Recorded,
) -> None:
    net = Net()
    net(torch.ones(1, 8))
    before = detailed.counts()["execute", "Net"]
    loader = DataLoader(Computed(), batch_size=2, num_workers=2, multiprocessing_context="fork")
    batches = list(loader)
    assert torch.stack(batches).sum().item() == 2 * 8 * sum(range(8))
    counts = detailed.counts()
    assert counts["execute", "Net"] == before == 1
    assert ("execute", "Block") not in counts


# -- memory and device ---------------------------------------------------------------------------


def test_without_a_metal_device_there_is_no_memory_reading_and_the_host_is_named(
    recorded: Recorded,
) -> None:
    if torch.backends.mps.is_available():
        pytest.skip("there is a Metal device")
    snapshot = recorded.telemetry.get_snapshot()
    assert [one for one in snapshot.resources if one.name.startswith("torch")] == []
    assert snapshot.system is not None
    (device,) = snapshot.system.devices
    assert (device.name, device.backend) == ("cpu", "torch")
    facts = dict(device.properties)
    assert facts["device"] == "cpu:0"
    assert facts["torch"] == torch.__version__
