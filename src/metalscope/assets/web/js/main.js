// Puts the pieces together: stream → state → one drawing a frame.

import { createAlerts, firingText } from "./alerts.js";
import { createChart } from "./charts.js";
import { setText } from "./dom.js";
import { createCustom, createEvents } from "./events.js";
import * as format from "./format.js";
import { createErrors, createHealth } from "./health.js";
import { createOperations } from "./operations.js";
import { createResources } from "./resources.js";
import { createState, takeEvent, takeRecent, takeSnapshot } from "./state.js";
import { follow } from "./stream.js";
import { createInternals, createSystem } from "./system.js";
import { setUpTheme } from "./theme.js";
import { createTiles } from "./tiles.js";

const $ = (id) => document.getElementById(id);
const CONNECTION_TEXT = { connecting: "Connecting", live: "Live", paused: "Paused", lost: "Connection lost, retrying" };

const state = createState();
let connection = "connecting";
let paused = false;
let view = state; // what is drawn: while paused, a copy of what was known then
let seconds = 300;
let drawing = false;

const charts = {
  operations: createChart({
    title: "Operations per second",
    value: (number) => format.rate(number, "needs two ticks"),
    axis: (number) => ({ text: format.significant(number) }),
    emptyText: "waiting for the first tick",
  }),
  errorRate: createChart({
    title: "Error rate",
    value: (number) => format.percent(number, "nothing ran in this tick"),
    axis: (number) => format.percent(number),
    colourIndex: 1,
    emptyText: "no operations, so no rate",
  }),
  mean: createChart({
    title: "Mean duration",
    value: (number) => format.duration(number, "nothing ran in this tick"),
    axis: (number) => format.duration(number),
    colourIndex: 2,
    emptyText: "no operations, so no durations",
  }),
  memory: createChart({
    title: "Memory",
    value: (number) => format.bytes(number),
    axis: (number) => format.bytes(number),
    binary: true,
    emptyText: "no sensor gives it",
  }),
};
$("charts").append(...Object.values(charts).map((chart) => chart.node));

const panels = [
  createTiles($("tiles")),
  createAlerts(
    {
      card: $("alerts-card"),
      hint: $("alerts-hint"),
      body: $("alerts"),
      history: $("alerts-history"),
    },
    () => draw(),
  ),
  createOperations(
    {
      body: $("operations-body"),
      filter: $("operations-filter"),
      hint: $("operations-hint"),
      legend: $("speed-legend"),
    },
    () => draw(),
  ),
  createHealth($("health")),
  createErrors($("errors")),
  createResources($("resources")),
  createEvents($("events")),
  createCustom($("custom")),
  createSystem($("system")),
  createInternals($("internals")),
  showProcess,
  showCharts,
];

function showProcess({ snapshot }) {
  const { system } = snapshot;
  const up = `up ${format.span(snapshot.uptime_seconds)}`;
  const parts = system ? [system.host, `pid ${system.pid}`, up] : [up];
  setText($("process"), parts.join(" · "));
  const firing = firingText(snapshot);
  document.title = `${firing && `(${firing}) `}metalscope${system ? ` · ${system.host}` : ""}`;
}

function showCharts({ activity, memory }) {
  charts.operations.update(activity.t, [{ label: "operations", values: activity.operations }], seconds);
  charts.errorRate.update(activity.t, [{ label: "error rate", values: activity.errorRate }], seconds);
  charts.mean.update(activity.t, [{ label: "mean duration", values: activity.mean }], seconds);
  charts.memory.update(memory.t, memoryLines(memory), seconds);
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

function draw() {
  if (view.snapshot) for (const panel of panels) panel(view);
}

// Any number of messages make one drawing, at the browser's next frame.
function drawSoon() {
  if (paused || drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    if (!paused) draw();
  });
}

function showConnection() {
  const shown = connection === "live" && paused ? "paused" : connection;
  const pill = $("connection");
  if (pill.dataset.state === shown) return;
  // Read out only what is worth an interruption: not each reconnection attempt.
  if (shown !== "connecting" && pill.dataset.state !== "connecting") setText($("announcer"), CONNECTION_TEXT[shown]);
  pill.dataset.state = shown;
  setText($("connection-text"), CONNECTION_TEXT[shown]);
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  view = paused ? structuredClone(state) : state;
  $("pause").setAttribute("aria-pressed", String(paused));
  setText($("pause"), paused ? "Resume" : "Pause");
  showConnection();
  drawSoon();
});

const ranges = [...$("ranges").querySelectorAll("button")];
function chooseRange(chosen) {
  seconds = Number(chosen.dataset.seconds);
  for (const button of ranges) button.setAttribute("aria-pressed", String(button === chosen));
  draw();
}
for (const button of ranges) button.addEventListener("click", () => chooseRange(button));
chooseRange(ranges[1]);

setUpTheme($("theme"), () => Object.values(charts).forEach((chart) => chart.redraw()));

follow("api/v1/events", {
  recent: (data) => takeRecent(state, data),
  snapshot: (data) => {
    takeSnapshot(state, data);
    drawSoon();
  },
  event: (data) => {
    takeEvent(state, data);
    drawSoon();
  },
  connection: (now) => {
    connection = now;
    showConnection();
  },
});
