// The first view: key figures, what fires, four charts, and everything else at a glance. Of the last
// minutes it shows what the stream brings; further back it asks the past.

import { createAlerts } from "../alerts.js";
import { createLines } from "../draw/lines.js";
import { createCustom, createEvents } from "../events.js";
import * as format from "../format.js";
import { createErrors, createHealth } from "../health.js";
import { createOperations } from "../operations.js";
import { createResources } from "../resources.js";
import { createInternals, createSystem } from "../system.js";
import { createTiles } from "../tiles.js";
import { labelOfLine, onOneAxis, partsOf } from "../timelines.js";

const $ = (id) => document.getElementById(id);
const LIVE_SECONDS = 900; // so much activity the stream's first message holds
const SHORTEST_SPAN = 60;

const CHARTS = {
  operations: {
    title: "Operations per second",
    value: (number) => format.rate(number, "needs two ticks"),
    axis: (number) => ({ text: format.significant(number) }),
    emptyText: "waiting for the first tick",
    wanted: { measure: "operations" },
  },
  errorRate: {
    title: "Error rate",
    value: (number) => format.percent(number, "nothing ran in this time"),
    axis: (number) => format.percent(number),
    colourIndex: 1,
    emptyText: "no operations, so no rate",
    wanted: { measure: "error_rate" },
    scale: 100,
  },
  mean: {
    title: "Mean duration",
    value: (number) => format.duration(number, "nothing ran in this time"),
    axis: (number) => format.duration(number),
    colourIndex: 2,
    emptyText: "no operations, so no durations",
    wanted: { measure: "duration_ms" },
  },
  memory: {
    title: "Memory",
    value: (number) => format.bytes(number),
    axis: (number) => format.bytes(number),
    binary: true,
    emptyText: "no sensor gives it",
    wanted: { measure: "resource", kind: "memory" },
  },
};

export function createView(page) {
  const onZoom = (since, until) => page.lookAt(since, until);
  const charts = Object.fromEntries(
    Object.entries(CHARTS).map(([name, { wanted, scale, ...how }]) => [name, createLines({ ...how, onZoom })]),
  );
  $("charts").replaceChildren(...Object.values(charts).map((chart) => chart.node));
  const panels = createPanels(page);
  const past = new Map(); // what was answered, by chart
  let stops = [];

  const usesPast = () =>
    page.hasPast && (!page.window().isLive || page.window().seconds > LIVE_SECONDS || page.comparison() !== null);

  const look = () => {
    leave();
    past.clear();
    if (!usesPast()) return;
    stops = Object.entries(CHARTS).map(([name, { wanted }]) =>
      page.follow("past/lines", wanted, (answer) => {
        past.set(name, answer);
        page.drawSoon();
      }),
    );
  };
  const leave = () => {
    for (const stop of stops) stop();
    stops = [];
  };

  const drawCharts = () => {
    if (!usesPast()) drawLive(charts, page);
    else for (const [name, { scale = 1 }] of Object.entries(CHARTS)) drawPast(charts[name], page, past.get(name), scale);
  };

  return {
    node: $("overview"),
    enter: look,
    look,
    leave,
    draw() {
      if (page.state.snapshot) for (const panel of panels) panel(page.state);
      drawCharts();
    },
    redraw: () => Object.values(charts).forEach((chart) => chart.redraw()),
  };
}

function createPanels(page) {
  const onChange = () => page.drawSoon();
  return [
    createTiles($("tiles")),
    createAlerts(
      { card: $("alerts-card"), hint: $("alerts-hint"), body: $("alerts"), history: $("alerts-history") },
      onChange,
    ),
    createOperations(
      {
        body: $("operations-body"),
        filter: $("operations-filter"),
        hint: $("operations-hint"),
        legend: $("speed-legend"),
      },
      onChange,
    ),
    createHealth($("health")),
    createErrors($("errors")),
    createResources($("resources")),
    createEvents($("events")),
    createCustom($("custom")),
    createSystem($("system")),
    createInternals($("internals")),
  ];
}

// A young program fills its charts: the span grows from a minute to what was chosen.
function drawLive(charts, page) {
  const { activity, memory } = page.state;
  const { seconds } = page.window();
  const during = (t) => {
    const until = t.length ? t.at(-1) : page.now();
    const known = t.length ? until - t[0] : 0;
    return { t, since: until - Math.min(seconds, Math.max(SHORTEST_SPAN, known)), until };
  };
  const line = (label, values) => [{ label, values }];
  charts.operations.update({ ...during(activity.t), lines: line("operations", activity.operations) });
  charts.errorRate.update({ ...during(activity.t), lines: line("error rate", activity.errorRate) });
  charts.mean.update({ ...during(activity.t), lines: line("mean duration", activity.mean) });
  charts.memory.update({ ...during(memory.t), lines: memoryLines(memory) });
}

// The device is named only where it tells two pools apart.
function memoryLines(memory) {
  const pools = [...memory.pools.values()];
  const shared = (name) => pools.filter((pool) => pool.name === name).length > 1;
  return pools.map(({ name, device, values }) => ({
    label: device && shared(name) ? `${name} · ${device}` : name,
    values,
  }));
}

function drawPast(chart, page, answer, scale) {
  const { since, until, isLive } = page.window();
  const comparison = page.comparison();
  const parts = partsOf(answer, {
    comparison,
    scale,
    colourOf: (_, index) => (answer.data.lines.length > 1 ? index : undefined),
    labelOf: (line, isBefore) => (isBefore ? `${labelOfLine(line)}, ${comparison.label}` : labelOfLine(line)),
  });
  chart.update({ ...onOneAxis(parts, { isLive }), since, until });
}
