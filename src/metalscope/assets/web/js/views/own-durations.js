// Panels of durations: over time as a heat map, and how they are spread.

import { createHeatmap } from "../draw/heatmap.js";
import { createHistogram } from "../draw/histogram.js";
import * as format from "../format.js";
import { mergedCells } from "./operations-charts.js";

const NOTHING = "nothing was timed in this time";

export function createHeat(_page, panel) {
  let ranges = [];
  const chart = createHeatmap({
    title: panel.title, rowAxis: "duration", emptyText: NOTHING,
    value: (number) => format.count(number ?? 0),
    describe: ({ row, time, number }) =>
      `${format.moment(new Date(time * 1000))}, ${ranges[row]}: ${format.count(number ?? 0).text}`,
  });
  return {
    node: chart.node,
    draw({ data }) {
      const merged = mergedCells(data);
      ranges = merged.ranges;
      chart.update({
        t0: data.start, step: data.step, columns: data.steps, rows: merged.labels, cells: merged.cells, scale: "log",
      });
    },
    redraw: chart.redraw,
    leave: chart.destroy,
  };
}

export function createSpread(_page, panel) {
  const chart = createHistogram({ title: panel.title, emptyText: NOTHING });
  return {
    node: chart.node,
    draw({ data }) {
      const counts = new Array(data.edges_ms.length + 1).fill(0);
      for (const [, cell, count] of data.cells) counts[cell] += count;
      chart.update({ edges_ms: data.edges_ms, counts, marks: [] });
    },
    redraw: chart.redraw,
    leave: chart.destroy,
  };
}
