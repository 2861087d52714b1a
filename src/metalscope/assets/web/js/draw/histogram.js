// How durations are spread: a bar a class on a logarithmic axis of milliseconds, with marks such as
// the percentiles.

import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { createCanvas, plotBox, textWithin } from "./canvas.js";
import { colour, seriesColour, translucent } from "./palette.js";
import { moved, readable } from "./reading.js";

const HEIGHT = 200;
const LEFT = 56;
const MARK_ROW = 14;
const MOST_MARK_ROWS = 4;
const DECADE = 10;

/**
 * update({edges_ms, counts, marks}): edges ascend. With one count more than edges, as durations of
 * the past have it, count n is of durations above edge n - 1 up to edge n, the last one above all;
 * with one count less, count n is between edges n and n + 1. marks: [{label, ms}].
 */
export function createHistogram({ title, emptyText, height = HEIGHT }) {
  const said = el("p", { class: "draw-reading" });
  const legend = el("ul", { class: "legend" });
  const empty = el("p", { class: "chart-empty" }, emptyText);
  const canvas = createCanvas(height, draw);
  const reader = readable(canvas.node, { onKey, onBlur: () => point(null) });
  const node = el(
    "figure", { class: "chart draw-histogram" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), legend),
    canvas.node, empty, said, reader.node,
  );
  let bars = []; // {from, to, count}; ms, of those between the first and the last that holds any
  let marks = [];
  let total = 0;
  let at = null;
  let box = plotBox(1, height, LEFT);
  let span = [0, 1]; // of the axis, as powers of ten of ms

  const x = (ms) => box.left + ((Math.log10(ms) - span[0]) / (span[1] - span[0])) * box.width;

  function draw(pen, width) {
    box = plotBox(width, height, LEFT);
    // Names of marks stand above the bars, each on the first row where it fits.
    const named = rowsOfMarks(pen);
    const lift = named.rows * MARK_ROW;
    const [top, tall] = [box.top + lift, box.height - lift];
    if (bars.length === 0) return;
    const most = Math.max(...bars.map((bar) => bar.count));
    pen.lineWidth = 1;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    for (const part of [0, 0.5, 1]) {
      const y = Math.round(top + tall * (1 - part)) + 0.5;
      pen.strokeStyle = colour("--grid");
      pen.beginPath();
      pen.moveTo(box.left, y);
      pen.lineTo(box.left + box.width, y);
      pen.stroke();
      pen.fillStyle = colour("--muted");
      if (part * most === Math.round(part * most)) pen.fillText(format.count(part * most).text, box.left - 7, y);
    }
    for (const [n, bar] of bars.entries()) {
      if (bar.count === 0) continue;
      const [left, right] = [x(bar.from), x(bar.to)];
      const size = Math.max(1, (bar.count / most) * tall);
      pen.fillStyle = n === at ? colour("--text") : translucent(seriesColour(0), 0.85);
      pen.fillRect(left + 0.5, top + tall - size, Math.max(1, right - left - 1), size);
    }
    axis(pen, width);
    for (const { mark, row, left } of named.placed) {
      const where = Math.round(x(mark.ms)) + 0.5;
      pen.strokeStyle = pen.fillStyle = colour("--text");
      pen.setLineDash([4, 3]);
      pen.beginPath();
      pen.moveTo(where, top);
      pen.lineTo(where, box.top + box.height);
      pen.stroke();
      pen.setLineDash([]);
      pen.textBaseline = "top";
      pen.textAlign = "left";
      pen.fillText(mark.label, left, box.top + row * MARK_ROW);
    }
  }

  function rowsOfMarks(pen) {
    const ends = [];
    const placed = [];
    for (const mark of marks) {
      if (bars.length === 0 || !(mark.ms > 0)) continue;
      const wide = pen.measureText(mark.label).width;
      const middle = x(mark.ms);
      if (middle < box.left || middle > box.left + box.width) continue;
      const left = Math.min(box.left + box.width - wide, Math.max(box.left, middle - wide / 2));
      let row = ends.findIndex((end) => left > end + 6);
      if (row < 0) row = Math.min(ends.length, MOST_MARK_ROWS - 1);
      ends[row] = left + wide;
      placed.push({ mark, row, left });
    }
    return { placed, rows: ends.length };
  }

  function axis(pen, width) {
    pen.fillStyle = colour("--muted");
    pen.textBaseline = "top";
    const decades = span[1] - span[0];
    const every = Math.max(1, Math.ceil(decades / Math.max(1, Math.floor(box.width / 64))));
    // Within two powers of ten their multiples are marked, too.
    const parts = decades < 2 ? [1, 2, 5] : [1];
    for (let power = Math.floor(span[0]); power <= span[1]; power += every) {
      for (const part of parts) {
        const ms = part * DECADE ** power;
        if (Math.log10(ms) < span[0] - 1e-9 || Math.log10(ms) > span[1] + 1e-9) continue;
        textWithin(pen, format.whole(roundDuration(ms)), x(ms), box.top + box.height + 7, 0, width);
      }
    }
  }

  function point(next) {
    if (at === next) return;
    at = next;
    setText(said, at === null ? "" : sentence());
    canvas.redraw();
  }

  function sentence() {
    const { from, to, count, isLast, isFirst } = bars[at];
    const [low, high] = [from, to].map((ms) => format.whole(format.duration(ms)));
    const where = isLast ? `above ${low}` : isFirst ? `up to ${high}` : `${low} to ${high}`;
    return `${where}: ${format.count(count).text}, ${format.whole(format.share(count / total))}`;
  }

  canvas.node.addEventListener("pointermove", (event) => {
    const place = event.clientX - canvas.node.getBoundingClientRect().left;
    const found = bars.findIndex((bar) => place >= x(bar.from) && place < x(bar.to));
    point(found < 0 ? null : found);
  });
  canvas.node.addEventListener("pointerleave", () => point(null));

  function onKey(key, event) {
    if (key === "Escape" && at !== null) {
      point(null);
      return true;
    }
    const next = moved(key, event, at, bars.length);
    if (next === null) return false;
    point(next);
    reader.say(sentence());
    return true;
  }

  return {
    node,
    update({ edges_ms: edges, counts, marks: named = [] }) {
      bars = barsOf(edges, counts);
      marks = named.filter((mark) => Number.isFinite(mark.ms)).sort((a, b) => a.ms - b.ms);
      total = bars.reduce((sum, bar) => sum + bar.count, 0);
      if (bars.length) {
        const least = Math.min(bars[0].from, ...marks.filter((mark) => mark.ms > 0).map((mark) => mark.ms));
        const most = Math.max(bars.at(-1).to, ...marks.map((mark) => mark.ms));
        span = [Math.log10(least), Math.log10(most)];
      }
      if (at !== null && at >= bars.length) at = null;
      setText(said, at === null ? "" : sentence());
      empty.hidden = bars.length > 0;
      legend.replaceChildren(
        ...named.map((mark) => {
          const shown = format.duration(mark.ms, emptyText);
          const number = el("strong", { title: shown.title }, format.whole(shown));
          number.classList.toggle("absent", Boolean(shown.absent));
          return el("li", {}, el("span", {}, mark.label), number);
        }),
      );
      const told = marks.map((mark) => `${mark.label} ${format.whole(format.duration(mark.ms))}`);
      const what = bars.length ? [`${format.count(total).text} in all`, ...told].join(", ") : emptyText;
      reader.describe(`${title}. ${what}.${bars.length ? " Arrow keys read bars." : ""}`);
      canvas.redraw();
    },
    redraw: canvas.redraw,
    destroy: canvas.destroy,
  };
}

/** The bars from the first to the last that holds any. An open end is as wide as its neighbour. */
function barsOf(edges, counts) {
  const isOpen = counts.length > edges.length;
  const ratio = edges.length > 1 && edges[0] > 0 ? edges[1] / edges[0] : 2;
  const all = counts.map((count, n) => {
    const from = isOpen ? edges[n - 1] : edges[n];
    const to = isOpen ? edges[n] : edges[n + 1];
    const isFirst = !(from > 0);
    const isLast = !Number.isFinite(to);
    return {
      count: Number.isFinite(count) ? count : 0,
      from: isFirst ? to / ratio : from,
      to: isLast ? from * ratio : to,
      isFirst,
      isLast,
    };
  });
  const isFilled = (bar) => bar.count > 0 && bar.from > 0 && Number.isFinite(bar.to);
  const first = all.findIndex(isFilled);
  return first < 0 ? [] : all.slice(first, all.findLastIndex(isFilled) + 1);
}

/** A power of ten of ms without needless digits: 10 ms, not 10.0 ms. */
function roundDuration(ms) {
  const { text, unit } = format.duration(ms);
  return { text: text.includes(".") ? String(Number(text)) : text, unit };
}
