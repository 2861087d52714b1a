"""Options of what is taken out of text before it leaves the process."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from metalscope.option_base import Options
from metalscope.peer_options import SecretSourceText

__all__ = ["SanitizingOptions"]


class SanitizingOptions(Options):
    """What is taken out of log records, events and spans before they leave the process.

    What looks like a secret, and what has the name of one, is always taken out; these options say
    what else, and what is put in its place.
    """

    mode: Literal["redact", "hash"] = Field(
        "redact",
        description="Put `…` in its place, or a keyed hash, so that equal values can still be told "
        "to be equal.",
    )
    hash_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="Key of that HMAC-SHA256; a random one for each process where none is set; "
        "secret.",
    )
    hash_key_from: SecretSourceText | None = Field(
        None, description="Where it is read from, as `api_key_from` of an exporter."
    )
    keys: tuple[str, ...] = Field(
        (),
        description="Globs of further field names whose values are taken out, such as `*_card`; "
        "case, `-`, `_` and `.` do not matter.",
    )
    patterns: dict[str, str] = Field(
        default_factory=dict,
        description="Further regular expressions whose matches are taken out, by a name of yours.",
    )
    keep: tuple[str, ...] = Field(
        (),
        description="Globs of field names that are left as they are although a rule of ours would "
        "take them out, such as `client.address`; never those of secrets.",
    )
    external_fields: tuple[str, ...] = Field(
        (),
        description="Globs of field names that external sinks may be sent beside metalscope's own; "
        "all other fields of yours stay in.",
    )

    @field_validator("patterns")
    @classmethod
    def _compile(cls, patterns: dict[str, str]) -> dict[str, str]:
        for name, pattern in patterns.items():
            try:
                found = re.compile(pattern)
            except re.error as error:
                raise ValueError(f"must be regular expressions: {name}: {error}") from None
            if found.search(""):
                raise ValueError(f"must not match what is empty: {name}")
        return patterns

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if self.hash_key is not None and self.hash_key_from is not None:
            raise ValueError("has both hash_key and hash_key_from; give one of them")
        return self
