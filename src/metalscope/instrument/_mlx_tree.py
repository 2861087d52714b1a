"""What is in the trees of arrays that MLX's functions take."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["MAX_FOLLOWED", "MAX_LEAVES", "Trees"]

MAX_LEAVES: Final = 1024
"""How far into a tree bytes are counted; a larger tree counts as its first so many leaves."""

MAX_FOLLOWED: Final = 64
"""How many arrays of one asynchronous evaluation its completion is read from."""

_NODES: Final = (tuple, list, dict)


class Trees:
    """Walks trees as MLX does: lists, tuples and dicts are nodes, leaves that are no array nothing.

    Args:
        array: the class ``mx.array``.
    """

    __slots__ = ("_array",)

    def __init__(self, array: type[Any]) -> None:
        self._array = array

    def nbytes(self, tree: Any) -> int:
        """The bytes of the arrays in ``tree``."""
        array: Any = self._array
        total = 0
        # The common case, mx.eval(a, b), without a list of leaves.
        if type(tree) is tuple and len(tree) <= 4:
            for leaf in tree:
                if type(leaf) is not array:
                    break
                total += leaf.nbytes
            else:
                return total
        return sum(leaf.nbytes for leaf in self.arrays(tree, MAX_LEAVES))

    def arrays(self, tree: Any, most: int) -> list[Any]:
        """The first ``most`` arrays in ``tree``, in MLX's order."""
        array = self._array
        found: list[Any] = []
        nodes = [iter((tree,))]
        while nodes:
            for one in nodes[-1]:
                if isinstance(one, array):
                    found.append(one)
                    if len(found) == most:
                        return found
                elif isinstance(one, _NODES):
                    nodes.append(iter(one.values() if isinstance(one, dict) else one))
                    break
            else:
                nodes.pop()
        return found
