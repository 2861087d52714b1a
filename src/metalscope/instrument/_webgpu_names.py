"""What shaders, pipelines and submitted work are called, and how a name gets from one to the next.

A pipeline is named when it is made, and a pass notes the pipelines set in it. The notes are an
attribute on wgpu's own objects: they live as long, and cost a dictionary entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

__all__ = [
    "MAX_NAMES",
    "begin_work",
    "compute_name",
    "hand_on",
    "name_pipeline",
    "name_shader",
    "note_bundles",
    "note_pipeline",
    "render_name",
    "shader_name",
    "submission_name",
]

MAX_NAMES: Final = 4
"""How many pipelines the name of a submission tells; an ellipsis stands for those after them."""

MAX_SOURCE: Final = 200_000
"""How many characters of a shader's source are looked through for its entry points."""

_NOTE: Final = "_metalscope"
_COMMENT: Final = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_ENTRY: Final = re.compile(
    r"@\s*(compute|vertex|fragment)\b(?:\s*@\s*\w+(?:\s*\([^()]*\))?)*\s*fn\s+(\w+)"
)

Stage = Mapping[str, Any]


def _entries(code: object) -> list[tuple[str, str]]:
    if not isinstance(code, str):
        return []
    return _ENTRY.findall(_COMMENT.sub(" ", code[:MAX_SOURCE]))


def shader_name(kwargs: Stage) -> str:
    """``shader`` and its label, or else its entry points."""
    label = kwargs.get("label")
    entries = [name for _, name in _entries(kwargs.get("code"))]
    return f"shader {label or '/'.join(entries[:MAX_NAMES])}".rstrip()


def name_shader(module: Any, kwargs: Stage) -> None:
    """Note the entry points of a module that was made, for pipelines that do not say theirs."""
    setattr(module, _NOTE, _entries(kwargs.get("code")))


def compute_name(kwargs: Stage) -> str:
    """The label of a compute pipeline, or else its entry point."""
    label = kwargs.get("label")
    return str(label or _entry(kwargs.get("compute"), "compute") or "compute pipeline")


def render_name(kwargs: Stage) -> str:
    """The label of a render pipeline, or else its entry points."""
    stages = (
        _entry(kwargs.get("vertex"), "vertex"),
        _entry(kwargs.get("fragment"), "fragment"),
    )
    return str(kwargs.get("label") or "/".join(filter(None, stages)) or "render pipeline")


def _entry(stage: Any, kind: str) -> str:
    if not stage:
        return ""
    named = stage.get("entry_point")
    if named:
        return str(named)
    entries = getattr(stage.get("module"), _NOTE, ())
    fitting = [name for of, name in entries if of == kind]
    return fitting[0] if len(fitting) == 1 else ""


def name_pipeline(pipeline: Any, name: str) -> None:
    """Note what a pipeline is called."""
    setattr(pipeline, _NOTE, name)


def begin_work(encoder: Any, encoded: Any) -> None:
    """Let a pass note its pipelines with the encoder it writes to."""
    setattr(encoded, _NOTE, _names(encoder))


def note_pipeline(encoder: Any, pipeline: Any) -> None:
    """Note that a pass, or a bundle, uses a pipeline."""
    names = _names(encoder)
    name = getattr(pipeline, _NOTE, None) or pipeline.label or "pipeline"
    if name not in names and len(names) <= MAX_NAMES:
        names.append(name)


def note_bundles(encoder: Any, bundles: Any) -> None:
    """Note that a pass runs bundles."""
    # Anything else may be an iterator, and looking at it would use it up.
    if isinstance(bundles, (list, tuple)):
        for bundle in bundles:
            _add(_names(encoder), getattr(bundle, _NOTE, ()))


def hand_on(encoder: Any, finished: Any) -> None:
    """Give what an encoder noted, or else its label, to what it was finished to."""
    names = getattr(encoder, _NOTE, None)
    if not names:
        label = finished.label or encoder.label
        names = [label] if label else []
    setattr(finished, _NOTE, names)


def submission_name(command_buffers: Any) -> str:
    """The pipelines used in the buffers, in the order of their first use."""
    if not isinstance(command_buffers, (list, tuple)):
        return "submit"
    if len(command_buffers) == 1:
        only: list[str] = getattr(command_buffers[0], _NOTE, [])
        if len(only) == 1:
            return only[0]
    names: list[str] = []
    for one in command_buffers:
        _add(names, getattr(one, _NOTE, ()))
    if len(names) > MAX_NAMES:
        return "+".join((*names[:MAX_NAMES], "…"))
    return "+".join(names) or "submit"


def _names(encoder: Any) -> list[str]:
    try:
        names: list[str] = encoder._metalscope
    except AttributeError:
        names = encoder._metalscope = []
    return names


def _add(names: list[str], more: Iterable[str]) -> None:
    for name in more:
        if len(names) <= MAX_NAMES and name not in names:
            names.append(name)
