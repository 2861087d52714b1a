// The line charts. uPlot draws; titles, legends and values at the cursor are ours.

import uPlot from "../vendor/uPlot.esm.js";
import { el, keyedList, setText } from "./dom.js";
import * as format from "./format.js";

const HEIGHT = 168;
const SERIES_COLOURS = 6;
const FILL_OPACITY = 0.1;
const SHORTEST_SPAN = 60;
/** Steps of an axis of bytes, so that its marks are round in KiB, MiB and GiB. */
const BINARY_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

const style = () => getComputedStyle(document.documentElement);
const colour = (name) => style().getPropertyValue(name).trim();
const seriesColour = (index) => colour(`--series-${(index % SERIES_COLOURS) + 1}`);

/** Make a chart. value(number) formats one of its values; label says what a lone line is. */
export function createChart({ title, value, axis = value, binary = false, colourIndex = 0, emptyText }) {
  const legend = el("ul", { class: "legend" });
  const time = el("span", { class: "chart-time" });
  const plotBox = el("div", { class: "plot" });
  const empty = el("p", { class: "chart-empty" }, emptyText);
  const node = el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), legend, time),
    plotBox,
    empty,
  );
  const updateLegend = keyedList(legend, (line) => line.label, (line) => legendItem(line, value));

  let plot = null;
  let shape = "";
  let current = { t: [], lines: [] };
  let span = 300;
  let hovered = null;

  const build = () => {
    plot?.destroy();
    plot = new uPlot(options(), columns(), plotBox);
  };

  const columns = () => [current.t, ...current.lines.map((line) => line.values)];

  const options = () => ({
    width: Math.max(120, plotBox.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    padding: [8, 6, 0, 0],
    cursor: {
      y: false,
      drag: { x: false, y: false },
      sync: { key: "metalscope" },
      points: { size: 7 },
    },
    scales: {
      x: { time: true, range: () => visibleRange(current.t, span) },
      y: { range: (_, __, max) => [0, max > 0 ? max * 1.12 : 1] },
    },
    axes: [
      {
        ...axisStyle(),
        size: 26,
        space: 76,
        values: (_, splits) => clockLabels(splits),
      },
      {
        ...axisStyle(),
        size: 64,
        space: 34,
        ...(binary && { incrs: BINARY_STEPS }),
        values: (_, splits) => splits.map((split) => format.whole(axis(split))),
      },
    ],
    series: [
      {},
      ...current.lines.map((line, index) => ({
        label: line.label,
        stroke: () => seriesColour(colourIndex + index),
        fill: current.lines.length === 1 ? () => translucent(seriesColour(colourIndex)) : undefined,
        width: 1.75,
      })),
    ],
    hooks: {
      setCursor: [
        (u) => {
          const index = u.cursor.idx ?? null;
          hovered = u.cursor.left >= 0 ? index : null;
          describe();
        },
      ],
    },
  });

  const describe = () => {
    const last = current.t.length - 1;
    const at = hovered !== null && hovered <= last ? hovered : last;
    updateLegend(
      current.lines.map((line, index) => ({
        label: line.label,
        lone: current.lines.length === 1,
        colourIndex: colourIndex + index,
        number: at < 0 ? null : line.values[at],
      })),
    );
    setText(time, hovered !== null && at >= 0 ? format.clock(new Date(current.t[at] * 1000)) : "");
  };

  new ResizeObserver(() => {
    if (plot && plotBox.clientWidth > 0) plot.setSize({ width: plotBox.clientWidth, height: HEIGHT });
  }).observe(plotBox);

  return {
    node,
    /** lines: [{label, values}], values parallel to t (seconds since the epoch, ascending). */
    update(t, lines, seconds) {
      current = { t, lines };
      span = seconds;
      const newShape = lines.map((line) => line.label).join("\n");
      if (!plot || newShape !== shape) {
        shape = newShape;
        build();
      } else plot.setData(columns());
      empty.hidden = lines.some((line) => line.values.some((number) => number !== null));
      describe();
    },
    redraw: () => plot?.redraw(false, true),
  };
}

function legendItem(line, value) {
  const number = el("strong");
  const swatch = el("span", {
    class: `swatch c${(line.colourIndex % SERIES_COLOURS) + 1}`,
    "aria-hidden": "true",
  });
  const node = line.lone
    ? el("li", {}, number)
    : el("li", {}, swatch, el("span", {}, line.label), number);
  return {
    node,
    update: (now) => {
      const shown = value(now.number);
      setText(number, format.whole(shown));
      number.classList.toggle("absent", Boolean(shown.absent));
      number.title = shown.absent ? shown.title : "";
    },
  };
}

function axisStyle() {
  return {
    stroke: () => colour("--muted"),
    font: `12px ${style().getPropertyValue("--sans")}`,
    grid: { stroke: () => colour("--grid"), width: 1 },
    ticks: { show: false },
    gap: 6,
  };
}

// A young program fills its charts: the span grows from a minute to what was chosen.
function visibleRange(t, span) {
  const end = t.length ? t.at(-1) : Date.now() / 1000;
  const known = t.length ? end - t[0] : 0;
  return [end - Math.min(span, Math.max(SHORTEST_SPAN, known)), end];
}

function clockLabels(splits) {
  const label = splits.every((t) => t % 60 === 0) ? format.shortClock : format.clock;
  return splits.map((t) => label(new Date(t * 1000)));
}

function translucent(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  return `rgb(${r} ${g} ${b} / ${FILL_OPACITY})`;
}
