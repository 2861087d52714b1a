"""What a peer that normalises makes of a name: the rules for names and units from OTLP.

Written after the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", "Metric
Metadata", and github.com/prometheus/otlptranslator at 51da773 (metric_namer.go, unit_namer.go),
which Prometheus and the collector use.
"""

from __future__ import annotations

import re

UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes", "KBy": "kilobytes",
    "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes", "m": "meters", "V": "volts",
    "A": "amperes", "J": "joules", "W": "watts", "g": "grams", "Cel": "celsius", "Hz": "hertz",
    "1": "", "%": "percent",
}  # fmt: skip
PER = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip


def underscored(name: str, unit: str, *, monotonic: bool, gauge: bool) -> str:
    """The strategy UnderscoreEscapingWithSuffixes, the default: words that are there stay."""
    tokens = [token for token in re.split(r"[^a-zA-Z0-9:]+", name) if token]
    main, per = (_word(word) for word in _words(unit))
    tokens += [word for word in (main, per) if word and word not in tokens]
    if monotonic:
        tokens = [token for token in tokens if token != "total"] + ["total"]
    if unit == "1" and gauge:
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
    return "_".join(tokens)


def suffixed(name: str, unit: str, *, monotonic: bool, gauge: bool) -> str:
    """The strategy NoUTF8EscapingWithSuffixes: the suffix that is there stays."""
    main, per = _words(unit)
    end = ""
    for suffix, wanted in (("ratio", unit == "1" and gauge), ("total", monotonic), (per, per)):
        if wanted:
            name, end = name.removesuffix(f"_{suffix}"), f"_{suffix}{end}"
    return name + ("" if not main or name.endswith(main) else f"_{main}") + end


def _words(unit: str) -> tuple[str, str]:
    main, _, per = unit.partition("/")
    main = "" if re.search(r"[{}]", main) else UNITS.get(main.strip(), main.strip())
    per = "" if re.search(r"[{}]", per) else PER.get(per.strip(), per.strip())
    return main, f"per_{per}" if per else ""


def _word(word: str) -> str:
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9:]", "_", word)).strip("_")
