"""What is asked of a driver, checked once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, prod
from typing import TYPE_CHECKING, Final

from metalscope.errors import InvalidArgumentError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["ITEM_SIZES", "Grid", "Layout", "bytes_of", "check_range", "check_timeout"]

ITEM_SIZES: Final[dict[str, int]] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "uint16": 2,
    "int16": 2,
    "float16": 2,
    "bfloat16": 2,
    "uint32": 4,
    "int32": 4,
    "float32": 4,
    "uint64": 8,
    "int64": 8,
    "complex64": 8,
}
"""Bytes an element, by the name of its type."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The size of a piece of device memory, and how a function of arrays sees it.

    Drivers whose kernels are source text look at ``nbytes`` alone: there the source says what
    the bytes mean.
    """

    nbytes: int
    dtype: str = "uint8"
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, nbytes: int, dtype: str, shape: int | tuple[int, ...] | None) -> Layout:
        """Check the parts against each other; without a shape it is one row.

        Raises:
            InvalidArgumentError: there is nothing to hold, or the parts disagree.
        """
        if not isinstance(nbytes, int) or nbytes <= 0:
            raise InvalidArgumentError(f"nbytes is a positive whole number, not {nbytes!r}")
        size = ITEM_SIZES.get(dtype)
        if size is None:
            raise InvalidArgumentError(f"dtype {dtype!r} is none of {', '.join(ITEM_SIZES)}")
        dimensions = (shape,) if isinstance(shape, int) else shape
        if dimensions is None:
            if nbytes % size:
                raise InvalidArgumentError(f"{nbytes} bytes are no whole number of {dtype}")
            dimensions = (nbytes // size,)
        if prod(dimensions) * size != nbytes:
            raise InvalidArgumentError(
                f"shape {dimensions} of {dtype} takes {prod(dimensions) * size} bytes, not {nbytes}"
            )
        return cls(nbytes, dtype, tuple(dimensions))


@dataclass(frozen=True, slots=True)
class Grid:
    """How many threads run a kernel, and how many of them form one group."""

    threads: tuple[int, int, int]
    group: tuple[int, int, int] | None = None

    @classmethod
    def of(
        cls, threads: int | tuple[int, ...] | None, group: int | tuple[int, ...] | None
    ) -> Grid | None:
        """Fill up to three dimensions; ``None`` where no threads were asked for.

        Raises:
            InvalidArgumentError: a dimension is not a positive whole number, or there are
                more than three.
        """
        if threads is None:
            return None
        return cls(
            _three("threads", threads), _three("group", group) if group is not None else None
        )


def _three(what: str, value: int | tuple[int, ...]) -> tuple[int, int, int]:
    sizes = (value,) if isinstance(value, int) else tuple(value)
    if not 1 <= len(sizes) <= 3 or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise InvalidArgumentError(f"{what} is one to three positive numbers, not {value!r}")
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def bytes_of(data: ReadableBuffer) -> memoryview:
    """See contiguous data as bytes, without a copy where its format allows.

    Raises:
        InvalidArgumentError: it has no buffer, or one with gaps.
    """
    try:
        view = memoryview(data)
    except TypeError as error:
        raise InvalidArgumentError(f"data has no buffer of bytes: {error}") from error
    if not view.c_contiguous:
        raise InvalidArgumentError("data is not contiguous; copy it first")
    try:
        return view.cast("B")
    except (TypeError, ValueError, NotImplementedError):
        # Formats that memoryview does not know, such as NumPy's for complex numbers.
        return memoryview(view.tobytes())


def check_range(size: int, offset: int, nbytes: int) -> None:
    """Refuse bytes that a buffer of ``size`` bytes does not have."""
    if not isinstance(offset, int) or not isinstance(nbytes, int):
        raise InvalidArgumentError(f"offset and size are whole numbers: {offset!r}, {nbytes!r}")
    if offset < 0 or nbytes < 1 or offset + nbytes > size:
        raise InvalidArgumentError(
            f"{nbytes} bytes at offset {offset} do not fit a buffer of {size}"
        )


def check_timeout(timeout: float | None) -> None:
    """Refuse what is no positive number of seconds."""
    if timeout is not None and not (isfinite(timeout) and timeout > 0):
        raise InvalidArgumentError(f"timeout is a positive number of seconds, not {timeout!r}")
