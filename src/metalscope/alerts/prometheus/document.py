"""Documents as YAML, the way people write rules files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

__all__ = ["yaml_text"]

# Texts are not folded: a folded expression cannot be copied into a query.
WIDTH: Final = 10_000


def yaml_text(document: Any, *, comment: Sequence[str] = ()) -> str:
    """A document as YAML, with a comment above it; what has several lines is a block."""
    import yaml  # noqa: PLC0415 - only where something is exported

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and indents lists; has no references."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            return super().increase_indent(flow, False)

        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    body = yaml.dump(document, Dumper=Dumper, sort_keys=False, width=WIDTH, allow_unicode=True)
    return "".join(f"# {line}\n" if line else "#\n" for line in comment) + body
