"""Where options come from: arguments, environment, a file, the defaults; in this order.

What stands in an earlier place wins, option by option; a list is taken as a whole. All problems
are told at once, each on one line that begins with where the value was given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from metalscope.config.files import read_file
from metalscope.config.layers import Layer, argument_layer, environment_layer, file_layer
from metalscope.config.problems import explain
from metalscope.config.schema import Keys
from metalscope.config.unavailable import unavailable_features
from metalscope.errors import ConfigurationError
from metalscope.options import MetalTelemetryOptions

__all__ = ["CONFIG_VARIABLE", "load_options", "override", "unavailable_features"]

CONFIG_VARIABLE: Final = "METALSCOPE_CONFIG"
"""Environment variable that names the options file where no path is given."""


def load_options(
    path: str | PathLike[str] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> MetalTelemetryOptions:
    """Put the options together: overrides before environment before file before defaults.

    Args:
        path: An options file in TOML, YAML or JSON, told by its suffix; where ``None``, the one
            ``METALSCOPE_CONFIG`` names; where that is not set either, no file.
        env: The environment to read ``METALSCOPE_*`` variables from; the process's by default.
        overrides: Options from code, nested (``{"server": {"port": 0}}``) or with double
            underscores (``{"server__port": 0}``).

    Raises:
        ConfigurationError: The file cannot be read, or an option is unknown or wrong. The text has
            a line for each problem, with the key as it was written, the value, and its place.
    """
    environment = os.environ if env is None else env
    layers = []
    if path is not None:
        layers.append(file_layer(str(path), read_file(Path(path))))
    elif named := environment.get(CONFIG_VARIABLE):
        try:
            layers.append(file_layer(named, read_file(Path(named))))
        except ConfigurationError as error:
            raise ConfigurationError(f"environment {CONFIG_VARIABLE}: {error}") from None
    layers.append(environment_layer(environment))
    layers.append(argument_layer(overrides or {}))
    return _resolve({}, layers)


def override(options: MetalTelemetryOptions, overrides: Mapping[str, Any]) -> MetalTelemetryOptions:
    """Ready options with some of them set anew, checked as a whole.

    ``overrides`` are written as for :func:`load_options`; files and environment are not looked at.

    Raises:
        ConfigurationError: An override is unknown or wrong.
    """
    return _resolve(options.model_dump(exclude_unset=True), [argument_layer(overrides)])


def _resolve(tree: dict[str, Any], layers: list[Layer]) -> MetalTelemetryOptions:
    problems: list[str] = []
    origins: dict[Keys, str] = {}
    for layer in layers:
        problems += layer.problems
        tree = _merged(tree, layer.tree)
        origins = {
            keys: origin
            for keys, origin in origins.items()
            if not any(keys[: len(leaf)] == leaf for leaf in layer.origins)
        } | layer.origins
    if not tree and not problems:
        return MetalTelemetryOptions.defaults()
    options = None
    try:
        options = MetalTelemetryOptions.model_validate(tree)
    except ValidationError as error:
        problems += explain(MetalTelemetryOptions, error, origins)
    if problems or options is None:
        raise ConfigurationError("\n".join(problems))
    return options


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(value, dict) and isinstance(under, dict):
            merged[key] = _merged(under, value)
        else:
            merged[key] = value
    return merged
