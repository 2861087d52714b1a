"""The panels of Grafana that show what a panel is to show. Needs the extra ``dashboards``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any, Final

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    stat,
    statetimeline,
    table,
    text,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    HeatmapCellLayout,
    LegendDisplayMode,
    LegendPlacement,
    ScaleDistribution,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.text import TextMode

from metalscope.dashboards.model import Level, Panel, Shown

__all__ = ["builder_of"]

_UNREMARKABLE: Final = "text"


def builder_of(panel: Panel) -> Any:
    """Grafana's panel without its title, place and queries."""
    match panel.kind:
        case "graph":
            return _graph(panel)
        case "stat":
            return _stat(panel)
        case "heatmap":
            return _heatmap(panel)
        case "timeline":
            return _timeline(panel)
        case "table":
            return _table(panel)
        case "text":
            return text.Panel().mode(TextMode.MARKDOWN).content(panel.text)


def _graph(panel: Panel) -> Any:
    made = (
        timeseries.Panel()
        .line_width(1)
        .fill_opacity(40 if panel.stacked else 10)
        .show_points(VisibilityMode.NEVER)
        .legend(_legend(["mean", "max", "lastNotNull"]))
        .tooltip(_tooltip())
    )
    if panel.stacked:
        made = made.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if panel.logarithmic:
        made = made.scale_distribution(
            common.ScaleDistributionConfig().type(ScaleDistribution.LOG).log(10)
        )
    if panel.levels:
        style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        made = made.thresholds_style(style)
    return _field(made, panel)


def _stat(panel: Panel) -> Any:
    colour = BigValueColorMode.VALUE
    if panel.values:
        colour = BigValueColorMode.BACKGROUND
    graph = BigValueGraphMode.NONE if panel.values else BigValueGraphMode.AREA
    made = stat.Panel().color_mode(colour).graph_mode(graph)
    return _field(made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])), panel)


def _heatmap(panel: Panel) -> Any:
    colours = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Viridis")
    axis = heatmap.YAxisConfig().unit(panel.unit)
    made = heatmap.Panel().color(colours.steps(64)).cell_gap(1).show_legend()
    made = made.mode(TooltipDisplayMode.SINGLE)
    if any(query.buckets for query in panel.queries):
        cells = heatmap.RowsHeatmapOptions().layout(HeatmapCellLayout.LE)
        return made.calculate(False).rows_frame(cells).y_axis(axis)
    if panel.low is not None and panel.high is not None:
        axis = axis.min(panel.low).max(panel.high)
    return made.calculate(True).y_axis(axis)


def _timeline(panel: Panel) -> Any:
    made = (
        statetimeline.Panel()
        .merge_values(not panel.continuous)
        .show_value(VisibilityMode.NEVER if panel.continuous else VisibilityMode.AUTO)
        .row_height(0.9)
        .fill_opacity(80)
        .legend(_legend([]))
        .tooltip(_tooltip())
    )
    return _field(made, panel)


def _table(panel: Panel) -> Any:
    made = _field(table.Panel().filterable(True).show_header(True), panel)
    for heading in dict.fromkeys((*panel.units, *panel.tints, *panel.words)):
        properties = []
        if heading in panel.units:
            properties.append(DynamicConfigValue("unit", panel.units[heading]))
        if heading in panel.words:
            properties.append(DynamicConfigValue("mappings", [_mapping(panel.words[heading])]))
        if heading in panel.tints:
            steps = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
            steps = steps.steps(_steps(panel.tints[heading], _UNREMARKABLE))
            properties.append(DynamicConfigValue("thresholds", steps.build()))
        if heading in panel.tints or heading in panel.words:
            cell = {"type": "color-text"}
            properties.append(DynamicConfigValue("custom.cellOptions", cell))
        made = made.override_by_name(heading, properties)
    if len(panel.queries) > 1:
        made = made.with_transformation(DataTransformerConfig("merge", options={}))
    return made.with_transformation(DataTransformerConfig("organize", options=_organized(panel)))


def _organized(panel: Panel) -> dict[str, object]:
    """Which columns there are, in which order, under which headings."""
    value = "Value" if len(panel.queries) == 1 else "Value #{}"
    renamed = dict(panel.columns)
    for letter, query in zip(ascii_uppercase, panel.queries, strict=False):
        renamed[value.format(letter)] = query.legend
    return {
        "excludeByName": {"Time": True, "__name__": True},
        "indexByName": {name: place for place, name in enumerate(renamed)},
        "renameByName": renamed,
    }


def _field(made: Any, panel: Panel) -> Any:
    """What is the same for all that show fields: unit, axis, colours, words, links."""
    made = made.unit(panel.unit)
    if panel.low is not None:
        made = made.min(panel.low)
    if panel.high is not None:
        made = made.max(panel.high)
    steps = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE)
    made = made.thresholds(steps.steps(_steps(panel.levels, panel.base)))
    if panel.values:
        made = made.mappings([_mapping(panel.values)])
    if panel.link:
        made = made.data_links([dashboard.DashboardLink("Runbooks").url(panel.link)])
    return made.color_scheme(dashboard.FieldColor().mode(_colours(panel)))


def _colours(panel: Panel) -> FieldColorModeId:
    if panel.continuous:
        return FieldColorModeId.CONTINUOUS_BL_YL_RD
    if panel.kind == "graph":
        return FieldColorModeId.PALETTE_CLASSIC_BY_NAME
    return FieldColorModeId.THRESHOLDS


def _steps(levels: Sequence[Level], base: str) -> list[Threshold]:
    # Without a value is: from the least on.
    return [Threshold(None, base), *(Threshold(one.value, one.colour) for one in levels)]


def _mapping(values: Mapping[int, Shown]) -> ValueMap:
    options = {
        str(number): ValueMappingResult(text=shown.text, color=shown.colour, index=number)
        for number, shown in values.items()
    }
    return ValueMap(options)


def _legend(calculated: list[str]) -> Any:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE if calculated else LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(calculated)
    )


def _tooltip() -> Any:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
