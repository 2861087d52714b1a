"""A small transformer at work in MLX: something real to look at when there is nothing yet.

The model has random weights and learns nothing of use; what it does to the device is what a real
one does. It is written against plain MLX, as a user's program would be, so that what telemetry
shows of it comes from ``instrument("mlx")`` and not from this module. Two things are wrong with it
on purpose: every so often one step is slow, and one fails.
"""

from __future__ import annotations

import math
import tempfile
import threading
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from pathlib import Path
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Final

from metalscope.correlating import correlation
from metalscope.errors import MissingExtraError

if TYPE_CHECKING:
    from metalscope.accelerator import MetalAccelerator
    from metalscope.manager import MetalTelemetryManager

__all__ = ["DemoProgress", "DemoResult", "require_mlx", "run_demo"]

SLOW_SECONDS: Final = 0.25
"""How long the deliberately slow step should take; a very slow operation is one over 0.1 s."""

_DIM: Final = 64
_HEADS: Final = 4
_HIDDEN: Final = 4 * _DIM
_VOCABULARY: Final = 256
_BATCH: Final = 2
_TOKENS: Final = 32
_BLOCKS: Final = 2
_STAGED_TOKENS: Final = 64 * 1024
_LEARNING_RATE: Final = 1e-2

_SLOW_SIZE: Final = 256
# Bounds the graph on a device that does one 256 x 256 product in 10 us.
_MOST_PRODUCTS: Final = 25_000

_PAUSE_SECONDS: Final = 0.01
"""Rest between steps: leaves the machine some air, and is where a request to stop is seen."""

Weights = dict[str, Any]


@dataclass(frozen=True, slots=True)
class DemoProgress:
    """Where the demo is: seconds of work done, steps done, and the step it does next."""

    elapsed: float
    steps: int
    doing: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo did in ``seconds`` of work; ``failures`` are the deliberate ones."""

    steps: int
    tokens: int
    failures: int
    first_loss: float | None
    last_loss: float | None
    seconds: float


def require_mlx() -> None:
    """Load MLX.

    Raises:
        MissingExtraError: it cannot be loaded; the text says which extra brings it.
    """
    try:
        import_module("mlx.core")
    except ImportError as error:
        raise MissingExtraError("the demo", "mlx", cause=str(error)) from error


def run_demo(
    telemetry: MetalTelemetryManager,
    *,
    seconds: float,
    stop: threading.Event | None = None,
    on_progress: Callable[[DemoProgress], None] | None = None,
) -> DemoResult:
    """Warm up, work for ``seconds`` or until ``stop`` is set, and return what was done.

    MLX must be instrumented already. Each part of the work runs at least once, however short the
    time is, unless stopped. Weights are saved to and loaded from a temporary folder.

    Args:
        telemetry: takes the demo's own counter of tokens and its events.
        seconds: how long to work, the warm-up not counted: MLX compiles kernels in it.
        stop: set from elsewhere, ends the work after the step under way.
        on_progress: called before each step.

    Raises:
        MissingExtraError: MLX is not installed.
    """
    require_mlx()
    from metalscope.accelerator import MetalAccelerator  # noqa: PLC0415 - loads the drivers

    stop = stop or threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="metalscope-demo-") as folder,
        MetalAccelerator(driver="mlx", telemetry=telemetry) as accelerator,
    ):
        demo = _Demo(telemetry, accelerator, Path(folder))
        return demo.run(seconds, stop, on_progress)


class _Demo:
    """The workload and what it has done so far."""

    def __init__(
        self, telemetry: MetalTelemetryManager, accelerator: MetalAccelerator, folder: Path
    ) -> None:
        import mlx.core as mx  # noqa: PLC0415 - a GPU library

        self._mx = mx
        self._accelerator = accelerator
        self._telemetry = telemetry
        self._checkpoint = folder / "weights.safetensors"
        mx.random.seed(0)
        self._weights = _random_weights(mx)
        self._forward = mx.compile(forward)
        self._loss = mx.compile(loss)
        self._gradient = mx.compile(mx.value_and_grad(loss))
        self._multiply = mx.compile(multiply)
        self._products: int | None = None
        self._tokens = 0
        self._failures = 0
        self._first_loss: float | None = None
        self._last_loss: float | None = None

    def run(
        self,
        seconds: float,
        stop: threading.Event,
        on_progress: Callable[[DemoProgress], None] | None,
    ) -> DemoResult:
        started, steps = monotonic(), 0
        for step, needed in self._plan():
            elapsed = monotonic() - started
            if stop.is_set() or (elapsed >= seconds and not needed):
                break
            if on_progress is not None:
                on_progress(DemoProgress(elapsed, steps, _title(step)))
            with correlation(f"step-{steps}"), self._telemetry.span(_title(step)):
                step()
            steps += 1
            if step == self._warm_up:
                started = monotonic()
            stop.wait(_PAUSE_SECONDS)
        self._telemetry.record_custom_event("demo_finished", {"steps": steps})
        return DemoResult(
            steps=steps,
            tokens=self._tokens,
            failures=self._failures,
            first_loss=self._first_loss,
            last_loss=self._last_loss,
            seconds=monotonic() - started,
        )

    def _plan(self) -> Iterator[tuple[Callable[[], None], bool]]:
        """Steps in their order, and whether the demo would be incomplete without this one."""
        yield self._warm_up, True
        ordinary = [self._forward_pass, self._forward_pass, self._train_step, self._sample_ahead]
        special = [
            self._slow_product,
            self._mismatched_product,
            self._metal_only_kernel,
            self._stage_batch,
            self._save_and_load,
        ]
        for step in [*ordinary, *special]:
            yield step, True
        for step in cycle(special):
            for _ in range(6):
                for usual in ordinary:
                    yield usual, False
            yield step, False

    # -- the steps ---------------------------------------------------------------------------

    def _warm_up(self) -> None:
        mx = self._mx
        self._telemetry.record_custom_event("demo_started", {"blocks": _BLOCKS, "dim": _DIM})
        mx.eval(self._weights)
        tokens = self._some_tokens()
        mx.eval(self._forward(self._weights, tokens), self._loss(self._weights, tokens))
        mx.eval(self._gradient(self._weights, tokens))
        mx.synchronize()

    def _forward_pass(self) -> None:
        mx = self._mx
        logits = self._forward(self._weights, self._some_tokens())
        likeliest = mx.argmax(mx.softmax(logits, axis=-1), axis=-1)
        mx.eval(likeliest)
        self._count_tokens("forward")

    def _train_step(self) -> None:
        mx = self._mx
        tokens = mx.broadcast_to(mx.arange(_TOKENS), (_BATCH, _TOKENS))
        value, gradient = self._gradient(self._weights, tokens)
        self._weights = {
            name: weight - _LEARNING_RATE * gradient[name] for name, weight in self._weights.items()
        }
        mx.eval(value, self._weights)
        self._last_loss = float(value.item())
        if self._first_loss is None:
            self._first_loss = self._last_loss
        self._count_tokens("train")

    def _sample_ahead(self) -> None:
        """Submit the next pass while the one before is still under way, as generation loops do."""
        mx = self._mx
        tokens = self._some_tokens()
        ahead = mx.argmax(self._forward(self._weights, tokens), axis=-1)
        mx.async_eval(ahead)
        for _ in range(3):
            following = mx.argmax(self._forward(self._weights, ahead), axis=-1)
            mx.async_eval(following)
            ahead.tolist()
            ahead = following
            self._count_tokens("generate")
        mx.eval(ahead)
        mx.synchronize()

    def _slow_product(self) -> None:
        """One evaluation of so many products that it takes about SLOW_SECONDS on this device."""
        mx = self._mx
        matrix = mx.random.normal((_SLOW_SIZE, _SLOW_SIZE)) / math.sqrt(_SLOW_SIZE)
        mx.eval(matrix)
        if self._products is None:
            self._products = _products_lasting(SLOW_SECONDS, mx, matrix)
        taken = _time_products(self._products, mx, matrix)
        # A machine that is busier or freer than at the trial changes its pace.
        paced = round(self._products * SLOW_SECONDS / taken)
        self._products = max(1, min(paced, 2 * self._products, _MOST_PRODUCTS))

    def _mismatched_product(self) -> None:
        mx = self._mx
        mx.eval(self._multiply(mx.ones((2, 3)), mx.ones((3, 2))))
        try:
            mx.eval(self._multiply(mx.ones((2, 3)), mx.ones((4, 5))))
        except ValueError as error:
            self._note_failure(error)

    def _metal_only_kernel(self) -> None:
        """A kernel in the Metal language: runs on a Mac; elsewhere there is no device for it."""
        mx = self._mx
        values = mx.arange(1024, dtype=mx.float32)
        try:
            kernel = mx.fast.metal_kernel(
                name="halve",
                input_names=["values"],
                output_names=["halves"],
                source="""
                    uint i = thread_position_in_grid.x;
                    halves[i] = values[i] * 0.5f;
                """,
            )
            (halves,) = kernel(
                inputs=[values],
                grid=(values.size, 1, 1),
                threadgroup=(256, 1, 1),
                output_shapes=[values.shape],
                output_dtypes=[values.dtype],
            )
            mx.eval(halves)
        except RuntimeError as error:
            self._note_failure(error)

    def _stage_batch(self) -> None:
        """Take a batch to device memory and back, by hand."""
        tokens = array("I", range(_STAGED_TOKENS))
        nbytes = len(tokens) * tokens.itemsize
        with self._accelerator.allocate(nbytes, dtype="uint32", name="batch") as buffer:
            self._accelerator.copy_in(buffer, tokens)
            self._accelerator.copy_out(buffer)

    def _save_and_load(self) -> None:
        mx = self._mx
        mx.save_safetensors(str(self._checkpoint), self._weights)
        self._weights = dict(mx.load(str(self._checkpoint)))
        mx.eval(self._weights)

    # -- what they share ---------------------------------------------------------------------

    def _some_tokens(self) -> Any:
        return self._mx.random.randint(0, _VOCABULARY, (_BATCH, _TOKENS))

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        self._telemetry.record_custom_event("demo_failure", {"message": str(error)})

    def _count_tokens(self, phase: str) -> None:
        self._tokens += _BATCH * _TOKENS
        self._telemetry.record_custom_metric(
            "demo_tokens_total", _BATCH * _TOKENS, {"phase": phase}, kind="counter"
        )


# -- the model: module-level functions, so that their names are what telemetry shows ---------------


def forward(weights: Weights, tokens: Any) -> Any:
    """The logits of the token after each of ``tokens``, an array of shape (batch, length)."""
    import mlx.core as mx  # noqa: PLC0415 - a GPU library

    hidden = weights["embedding"][tokens]
    for block in range(_BLOCKS):
        hidden = hidden + _attention(mx, weights, f"{block}.", _norm(mx, weights, hidden, block, 0))
        hidden = hidden + _mlp(mx, weights, f"{block}.", _norm(mx, weights, hidden, block, 1))
    hidden = mx.fast.rms_norm(hidden, weights["norm"], 1e-5)
    return hidden @ weights["embedding"].T


def loss(weights: Weights, tokens: Any) -> Any:
    """The mean cross-entropy of each token after the first, given those before it."""
    import mlx.core as mx  # noqa: PLC0415 - a GPU library

    logits = forward(weights, tokens[:, :-1])
    chosen = mx.take_along_axis(logits, tokens[:, 1:, None], axis=-1)[..., 0]
    return mx.mean(mx.logsumexp(logits, axis=-1) - chosen)


def multiply(left: Any, right: Any) -> Any:
    """The matrix product; MLX refuses shapes that do not fit."""
    return left @ right


def _norm(mx: Any, weights: Weights, hidden: Any, block: int, which: int) -> Any:
    return mx.fast.rms_norm(hidden, weights[f"{block}.norm{which}"], 1e-5)


def _attention(mx: Any, weights: Weights, block: str, hidden: Any) -> Any:
    batch, length, dim = hidden.shape

    def heads(name: str) -> Any:
        projected = hidden @ weights[block + name]
        return projected.reshape(batch, length, _HEADS, dim // _HEADS).transpose(0, 2, 1, 3)

    attended = mx.fast.scaled_dot_product_attention(
        heads("query"),
        heads("key"),
        heads("value"),
        scale=(dim // _HEADS) ** -0.5,
        mask="causal",
    )
    return attended.transpose(0, 2, 1, 3).reshape(batch, length, dim) @ weights[block + "output"]


def _mlp(mx: Any, weights: Weights, block: str, hidden: Any) -> Any:
    gate = hidden @ weights[block + "gate"]
    return (gate * mx.sigmoid(gate)) @ weights[block + "down"]


def _random_weights(mx: Any) -> Weights:
    def matrix(rows: int, columns: int) -> Any:
        return mx.random.normal((rows, columns)) / math.sqrt(rows)

    weights = {"embedding": matrix(_VOCABULARY, _DIM), "norm": mx.ones(_DIM)}
    for block in range(_BLOCKS):
        for name in ("query", "key", "value", "output"):
            weights[f"{block}.{name}"] = matrix(_DIM, _DIM)
        weights[f"{block}.gate"] = matrix(_DIM, _HIDDEN)
        weights[f"{block}.down"] = matrix(_HIDDEN, _DIM)
        weights[f"{block}.norm0"] = mx.ones(_DIM)
        weights[f"{block}.norm1"] = mx.ones(_DIM)
    return weights


def _title(step: Callable[[], None]) -> str:
    return step.__name__.strip("_").replace("_", " ")


def _products_lasting(seconds: float, mx: Any, matrix: Any) -> int:
    """How many products of ``matrix`` with itself, one after the other, take ``seconds`` here."""
    trial = 8
    while True:
        taken = _time_products(trial, mx, matrix)
        # The first evaluation pays for what is set up once, so a short trial says too much.
        if taken > seconds / 8 or trial >= _MOST_PRODUCTS:
            return max(1, min(_MOST_PRODUCTS, math.ceil(trial * seconds / taken)))
        trial *= 4


def _time_products(count: int, mx: Any, matrix: Any) -> float:
    started = perf_counter()
    product = matrix
    for _ in range(count):
        product = product @ matrix
    mx.eval(product)
    return perf_counter() - started
