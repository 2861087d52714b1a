"""Put attributes in place of others, and put the others back."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["Patches"]

_ABSENT: Final = object()


class Patches:
    """Replaced attributes of modules and classes, in the order they were replaced."""

    def __init__(self) -> None:
        self._done: list[tuple[Any, str, object, object]] = []

    def replace(self, owner: Any, name: str, replacement: object) -> None:
        """Set ``owner.name``, remembering what its own ``__dict__`` held under that name."""
        # Not getattr: what a class inherits, or a descriptor's result, is not what to put back.
        original = vars(owner).get(name, _ABSENT)
        setattr(owner, name, replacement)
        self._done.append((owner, name, original, replacement))

    def restore(self) -> None:
        """Put back the very objects that were there, last replaced first.

        An attribute that somebody else has replaced since is left alone: theirs may call ours,
        and taking it away would undo what is not ours.
        """
        while self._done:
            owner, name, original, replacement = self._done.pop()
            if vars(owner).get(name, _ABSENT) is not replacement:
                continue
            if original is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, original)
