"""YAML, read strictly. A module of its own, so that only those load PyYAML who have such a file."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

from metalscope.config.files import SyntaxProblem

__all__ = ["parse_yaml"]

_QUOTED: Final = "text that begins with * stands in quotes"


class _Loader(yaml.SafeLoader):
    """YAML without the silent 'last one wins' of keys given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        # Before merge keys (<<) are unfolded, which may rightly be overridden.
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise SyntaxProblem(
                    f"the key {key.value!r} stands twice in one mapping", _mark(key.start_mark)
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _LoaderWithoutAliases(_Loader):
    """The same, for text of which no part may stand for another: a few aliases can mean much."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise SyntaxProblem(
                f"has an alias, which is not allowed here; {_QUOTED}",
                _mark(self.peek_event().start_mark),  # type: ignore[no-untyped-call]
            )
        return super().compose_node(parent, index)


def parse_yaml(text: str, *, aliases: bool = True) -> Any:
    """Read YAML; where not ``aliases``, without them.

    Raises:
        SyntaxProblem: it is not YAML, has an alias where none may be, or a key stands twice in one
            mapping.
    """
    try:
        return yaml.load(text, Loader=_Loader if aliases else _LoaderWithoutAliases)  # noqa: S506 - SafeLoaders
    except yaml.MarkedYAMLError as error:
        raise SyntaxProblem(f"is not YAML: {_reason(error)}", _mark(error.problem_mark)) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        place = f" character {position}" if position is not None else ""
        raise SyntaxProblem("is not YAML: a character that YAML does not allow", place) from None
    except ValueError as error:
        # Such as the date 2020-13-45, which only looks like one.
        raise SyntaxProblem(f"is not YAML: {error}") from None


def _reason(error: yaml.MarkedYAMLError) -> str:
    # The text of the whole error quotes the file; that of some problems a tag or an alias, which
    # may be a secret that begins with "!" or "*".
    if isinstance(error, yaml.constructor.ConstructorError):
        return "a tag or a key that cannot be used here"
    if isinstance(error, yaml.composer.ComposerError):
        another = "document" in str(error.problem)
        return "a second document begins here" if another else "an alias without its anchor"
    if isinstance(error, yaml.scanner.ScannerError) and error.context == "while scanning an alias":
        return f"a name is expected behind *; {_QUOTED}"
    return str(error.problem)


def _mark(mark: yaml.Mark | None) -> str:
    return f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
