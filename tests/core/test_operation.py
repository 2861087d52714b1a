from __future__ import annotations

import asyncio

import pytest

from metalscope.errors import (
    CompilationError,
    InvalidArgumentError,
    MetalOperationError,
    OutOfMemoryError,
    classify,
)
from metalscope.operation import Component, ErrorSeverity, MetalError, PerformanceCategory


@pytest.mark.parametrize(
    ("duration_ns", "category"),
    [
        (0, PerformanceCategory.FAST),
        (999_999, PerformanceCategory.FAST),
        (1_000_000, PerformanceCategory.NORMAL),
        (9_999_999, PerformanceCategory.NORMAL),
        (10_000_000, PerformanceCategory.SLOW),
        (100_000_000, PerformanceCategory.SLOW),
        (100_000_001, PerformanceCategory.VERY_SLOW),
    ],
)
def test_the_boundaries_of_the_categories_are_where_the_design_puts_them(duration_ns, category):
    assert PerformanceCategory.of(duration_ns) is category


def test_every_error_has_a_component_and_a_severity():
    assert {error.component for error in MetalError} == set(Component)
    assert MetalError.DEVICE_LOST.severity is ErrorSeverity.CRITICAL
    assert MetalError.OUT_OF_MEMORY.severity is ErrorSeverity.HIGH
    assert MetalError.INVALID_ARGUMENT.severity is ErrorSeverity.LOW


def test_every_operation_error_class_names_its_own_word():
    words = {cls.metal_error for cls in MetalOperationError.__subclasses__()}
    assert words == set(MetalError)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (CompilationError("x"), MetalError.COMPILATION_ERROR),
        (OutOfMemoryError("x"), MetalError.OUT_OF_MEMORY),
        (InvalidArgumentError("x"), MetalError.INVALID_ARGUMENT),
        (MemoryError(), MetalError.OUT_OF_MEMORY),
        (TimeoutError(), MetalError.TIMEOUT),
        (RuntimeError("[metal_kernel] No Metal back-end."), MetalError.DEVICE_UNAVAILABLE),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), MetalError.OUT_OF_MEMORY),
        (
            RuntimeError("[metal::Device] Unable to build metal library"),
            MetalError.COMPILATION_ERROR,
        ),
        (ValueError("[matmul] Last dimension must match"), MetalError.INVALID_ARGUMENT),
        (KeyError("name"), MetalError.INVALID_ARGUMENT),
        (NotImplementedError(), MetalError.INVALID_OPERATION),
        (RuntimeError("who knows"), MetalError.INTERNAL_ERROR),
    ],
)
def test_an_exception_is_read_as_the_error_it_means(error, word):
    assert classify(error) is word


@pytest.mark.parametrize(
    "ending", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), asyncio.CancelledError()]
)
def test_what_only_ends_a_block_is_no_failure_of_it(ending):
    assert classify(ending) is None
