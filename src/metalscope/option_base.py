"""What all groups of options share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Options"]


class Options(BaseModel):
    """Frozen, refuses unknown keys; built from code, a bad value raises a ConfigurationError."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        # A validator takes memory and time to build; a program that sets nothing needs none.
        defer_build=True,
        # Pydantic's own error text quotes the input, which may be a secret.
        hide_input_in_errors=True,
    )

    @classmethod
    def defaults(cls) -> Self:
        """All options as they are where nothing is set; no validator is built for them."""
        return cls.model_construct()  # type: ignore[return-value] # pydantic's plugin loses Self

    if not TYPE_CHECKING:  # type checkers keep the signature that the fields make

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                from metalscope.config.problems import from_code  # noqa: PLC0415 - it imports us

                raise from_code(type(self), error) from None

        # Says to pydantic that groups inside groups need no call of __init__ to be validated,
        # so that all problems of the whole are found at once and keep their place.
        __init__.__pydantic_base_init__ = True
