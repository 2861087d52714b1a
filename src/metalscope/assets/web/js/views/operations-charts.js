// What an operation did over time, or all of them: how many, how many failed, how long they took.

import { createHeatmap } from "../draw/heatmap.js";
import { createHistogram } from "../draw/histogram.js";
import { createLines } from "../draw/lines.js";
import * as format from "../format.js";
import { onOneAxis, partsOf } from "../timelines.js";

const MOST_ROWS = 40; // of the heat map, so that each is tall enough to point at
const NOTHING = "nothing ran in this time";
const EMPTY = "nothing is known of this time";
const NO_DURATIONS = "no durations are known of this time";

const PERCENTILES = [
  ["p50_ms", "p50"],
  ["p95_ms", "p95"],
  ["p99_ms", "p99"],
  ["p999_ms", "p99.9"],
];

/** Gives {nodes, ask(patterns), draw(row), redraw(), leave(), why()}. */
export function createOperationCharts(page) {
  const onZoom = (since, until) => page.lookAt(since, until);
  const lines = {
    operations: createLines({
      title: "Operations per second", emptyText: EMPTY, onZoom,
      value: (number) => format.rate(number, NOTHING),
      axis: (number) => ({ text: format.significant(number) }),
    }),
    error_rate: createLines({
      title: "Error rate", emptyText: EMPTY, onZoom,
      value: (number) => format.percent(number, NOTHING),
      axis: (number) => format.percent(number),
    }),
    percentiles: createLines({
      title: "Percentiles of durations", emptyText: NO_DURATIONS, onZoom, height: 210,
      value: (number) => format.duration(number, NOTHING),
      axis: (number) => format.duration(number),
    }),
  };
  const histogram = createHistogram({ title: "How durations are spread", emptyText: NO_DURATIONS });
  let ranges = [];
  const heatmap = createHeatmap({
    title: "Durations over time", rowAxis: "duration", emptyText: NO_DURATIONS,
    value: counted,
    describe: ({ row, time, number }) =>
      `${format.moment(new Date(time * 1000))}, ${ranges[row]}: ${counted(number).text}`,
  });
  const charts = [lines.operations, lines.error_rate, lines.percentiles, histogram, heatmap];
  heatmap.node.classList.add("durations-chart");

  const answers = new Map();
  const fresh = new Set(); // what came since it was last drawn
  let stops = [];

  const leave = () => {
    for (const stop of stops) stop();
    stops = [];
  };

  const follow = (id, path, params) =>
    page.follow(path, params, (answer) => {
      answers.set(id, answer);
      fresh.add(id);
      page.drawSoon();
    });

  const compared = (id, { scale } = {}) => {
    const comparison = page.comparison();
    return partsOf(answers.get(id), {
      comparison, scale, colourOf: () => (id === "error_rate" ? 1 : 0),
      labelOf: (_, isBefore) => (comparison ? (isBefore ? comparison.label : "this time") : ""),
    });
  };

  const isWaiting = (chart, now) => {
    chart.node.classList.toggle("waiting", now);
    if (!now) chart.node.classList.remove("never");
  };
  for (const chart of charts) chart.node.classList.add("never");

  const show = (chart, parts, how) => {
    isWaiting(chart, false);
    const { since, until, isLive } = page.window();
    chart.update({ ...onOneAxis(parts, { isLive, ...how }), since, until });
  };

  const draw = {
    operations: () => show(lines.operations, compared("operations")),
    error_rate: () => show(lines.error_rate, compared("error_rate", { scale: 100 })),
    percentiles: () => {
      const parts = PERCENTILES.flatMap(([id, label], index) =>
        partsOf(answers.get(id), {
          // Eight lines would say less than five do.
          comparison: id === "p95_ms" ? page.comparison() : null,
          colourOf: () => index,
          labelOf: (_, isBefore) => (isBefore ? `${label}, ${page.comparison().label}` : label),
        }),
      );
      show(lines.percentiles, parts, { together: true });
    },
  };

  const drawDurations = (row) => {
    const answer = answers.get("durations");
    const data = answer?.ok ? answer.data : { start: 0, step: 1, steps: 0, edges_ms: [], cells: [] };
    const merged = mergedCells(data);
    ranges = merged.ranges;
    for (const chart of [heatmap, histogram]) isWaiting(chart, false);
    heatmap.update({
      t0: data.start, step: data.step, columns: data.steps, rows: merged.labels, cells: merged.cells, scale: "log",
    });
    histogram.update({ edges_ms: data.edges_ms, counts: countsOf(data), marks: marksOf(row) });
  };

  let drawnRow = null;
  return {
    nodes: charts.map((chart) => chart.node),
    /** Another operation, or all where there are no patterns. */
    ask(patterns) {
      leave();
      answers.clear();
      for (const chart of charts) isWaiting(chart, true);
      const measured = ["operations", "error_rate", ...PERCENTILES.map(([id]) => id)];
      stops = [
        ...measured.map((measure) => follow(measure, "past/lines", { measure, ...patterns })),
        follow("durations", "past/durations", patterns),
      ];
    },
    /** row: what is known of it in the whole of the time, for the marks. */
    draw(row) {
      for (const id of ["operations", "error_rate"]) if (fresh.has(id)) draw[id]();
      if (PERCENTILES.some(([id]) => fresh.has(id))) draw.percentiles();
      if (fresh.has("durations") || (row !== drawnRow && answers.has("durations"))) drawDurations(row);
      drawnRow = row;
      fresh.clear();
    },
    redraw: () => charts.forEach((chart) => chart.redraw()),
    leave() {
      leave();
      for (const chart of charts) chart.destroy();
    },
    /** Why something could not be read; empty where all could. */
    why: () => [...answers.values()].find((answer) => !answer.ok)?.why ?? "",
  };
}

const marksOf = (row) =>
  row === null
    ? []
    : [["p50", row.p50_ms], ["p90", row.p90_ms], ["p95", row.p95_ms], ["p99", row.p99_ms], ["p99.9", row.p999_ms]]
        .filter(([, ms]) => ms !== null)
        .map(([label, ms]) => ({ label, ms }));

function countsOf({ edges_ms: edges, cells }) {
  const counts = new Array(edges.length + 1).fill(0);
  for (const [, cell, count] of cells) counts[cell] += count;
  return counts.map(Math.round);
}

/** Of the classes of durations those in use, so many together that the rows can be told apart. */
export function mergedCells({ edges_ms: edges, cells }, most = MOST_ROWS) {
  if (cells.length === 0) return { labels: [], ranges: [], cells: [] };
  let [first, last] = [Infinity, -Infinity];
  for (const [, cell] of cells) {
    first = Math.min(first, cell);
    last = Math.max(last, cell);
  }
  const together = Math.ceil((last - first + 1) / most);
  const rows = Math.ceil((last - first + 1) / together);
  const sums = new Map();
  for (const [step, cell, count] of cells) {
    const place = step * rows + Math.floor((cell - first) / together);
    sums.set(place, (sums.get(place) ?? 0) + count);
  }
  const bounds = Array.from({ length: rows }, (_, row) => {
    const low = first + row * together;
    return [edges[low - 1], edges[Math.min(low + together - 1, last)]];
  });
  return {
    labels: bounds.map(([low, high]) => (high === undefined ? `> ${told(low)}` : told(high))),
    ranges: bounds.map(([low, high]) =>
      high === undefined ? `more than ${told(low)}`
      : low === undefined ? `up to ${told(high)}`
      : `${told(low)} to ${told(high)}`,
    ),
    cells: [...sums].map(([place, count]) => [Math.floor(place / rows), place % rows, count]),
  };
}

// What a fleet counts between two scrapes is shared out among the steps, so it may be no whole number.
const counted = (number) =>
  Number.isInteger(number ?? 0) ? format.count(number ?? 0) : { text: format.significant(number) };

const told = (ms) => format.whole(format.duration(ms));
