// Line charts. uPlot has the axes, the cursor and the choice of a span; the lines are drawn here, so
// that two hundred of them cost little. The browser keeps what was last drawn while hovering.

import uPlot from "../../vendor/uPlot.esm.js";
import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { timeAxis, valueAxis } from "./axes.js";
import { watchRatio } from "./canvas.js";
import { createLegend } from "./legend.js";
import { dashOfLine, hueOf, rgbOf, seriesColour } from "./palette.js";
import { createRaster } from "./raster.js";
import { firstFrom, nearest, scaleOf, widen } from "./range.js";
import { moved, readable } from "./reading.js";
import { strokeBands, strokeLines, strokeMarks } from "./strokes.js";

const HEIGHT = 168;
/** Above so many points of all lines together they are drawn as an image, in slices. */
const MOST_STROKED_POINTS = 15_000;
const MOST_STROKED_LINES = 24;
const MOST_DOTS = 12;
const MOST_SAID = 4;
const LEAST_ZOOM_PIXELS = 6;
const FAINT_OPACITY = 0.4;
const MOVES_ONLY = (type) => type === "mousemove" || type === "mouseleave";

/**
 * value(number) formats one value for the legend, axis(number) one of the axis; binary: a scale of
 * bytes. onZoom(since, until) is told of a span chosen by dragging, or by + and -; without it there
 * is no zoom. Charts with the same `sync` share a cursor.
 *
 * update({t, lines, since, until, marks}): t in seconds since the epoch, ascending; lines:
 * [{label, values, colourIndex?, dashed?, faint?, lower?, upper?}], values parallel to t, null where
 * nothing is known; marks: [{t, label, bad?}]. Values are not copied: give new arrays or the same.
 */
export function createLines({
  title, value, axis = value, binary = false, emptyText, height = HEIGHT, onZoom, sync = "metalscope",
}) {
  const time = el("span", { class: "chart-time" });
  const legend = createLegend(value);
  const box = el("div", { class: "plot draw-plot" });
  const empty = el("p", { class: "chart-empty" }, emptyText);
  const raster = createRaster((scale, made) => {
    commit(made, scale, true);
    if (isStale) refresh();
  });
  const reader = readable(box, { onKey, onBlur: () => held !== null && leave() });
  const node = el(
    "figure", { class: "chart draw-lines" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), legend.node, legend.more, time),
    box, empty, reader.node,
  );
  box.style.height = `${height}px`;
  box.addEventListener("pointermove", (event) => {
    held = null;
    if (event.pointerType === "mouse" || !plot) return;
    const place = plot.over.getBoundingClientRect();
    plot.setCursor({ left: event.clientX - place.left, top: 1 }, true, true);
  });

  let plot = null;
  let current = { t: [], lines: [], since: 0, until: 1, marks: [] };
  let drawn = { current, scale: [0, 1], many: false };
  let isStale = false; // whether what is being drawn is no longer what is wanted
  let at = null; // the place of the cursor in t
  let held = null; // the time the keyboard put it at, until the pointer moves
  const dots = [];

  const isMany = () =>
    current.lines.length > MOST_STROKED_LINES ||
    current.lines.length * current.t.length > MOST_STROKED_POINTS;

  const options = () => ({
    width: Math.max(120, box.clientWidth),
    height,
    legend: { show: false },
    padding: [8, 20, 0, 0], // half of the last label stands out
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: Boolean(onZoom), y: false, setScale: false, dist: LEAST_ZOOM_PIXELS },
      sync: { key: sync, filters: { pub: MOVES_ONLY, sub: MOVES_ONLY } },
      bind: { dblclick: () => null },
    },
    scales: {
      x: { time: true, range: () => [drawn.current.since, drawn.current.until] },
      y: { range: () => drawn.scale },
    },
    axes: [timeAxis(), valueAxis(axis, binary)],
    series: [{}, { paths: () => null, points: { show: false } }],
    hooks: { draw: [draw], setCursor: [onCursor], setSelect: [onSelect] },
  });

  // uPlot knows the span only, not the points: its own work is then the same for any number.
  const frame = () => [[drawn.current.since, drawn.current.until], [null, null]];

  function refresh() {
    isStale = false;
    if (!plot || box.clientWidth === 0) return;
    if (!isMany()) {
      raster.stop();
      const extremes = [0, 0];
      const { t, lines, since, until } = current;
      const [from, to] = [firstFrom(t, since), firstFrom(t, until + 1e-6)];
      for (const line of lines) widen(extremes, line, from, to);
      commit(current, scaleOf(extremes), false);
      return;
    }
    // What is begun is ended: else updates that come fast would never be seen.
    if (raster.isBusy) {
      isStale = true;
      return;
    }
    const ratio = uPlot.pxRatio;
    raster.start({
      t: current.t,
      lines: current.lines.map((line, index) => inked(line, line.colourIndex ?? index, ratio)),
      width: Math.max(1, Math.round(plot.bbox.width)),
      height: Math.max(1, Math.round(plot.bbox.height)),
      since: current.since, until: current.until, made: current,
    });
  }

  // Axes and lines change together, once the picture is whole.
  function commit(made, scale, many) {
    drawn = { current: made, scale, many };
    if (at >= made.t.length) at = null;
    plot.setData(frame());
  }

  const underPointer = (u) =>
    u.cursor.left >= 0 ? nearest(drawn.current.t, u.posToVal(u.cursor.left, "x")) : null;

  function draw(u) {
    const { left, top, width, height: tall } = u.bbox;
    const { since, until } = drawn.current;
    const place = {
      left, top, width, height: tall, since, until,
      ratio: uPlot.pxRatio,
      x: (t) => left + ((t - since) / (until - since || 1)) * width,
      y: (v) => top + tall - ((v - drawn.scale[0]) / (drawn.scale[1] - drawn.scale[0])) * tall,
    };
    strokeBands(u.ctx, drawn.current, place);
    if (drawn.many) u.ctx.drawImage(raster.canvas, left, top, width, tall);
    else strokeLines(u.ctx, drawn.current, place);
    strokeMarks(u.ctx, drawn.current.marks, place);
    // Places are to be had now only: uPlot takes new scales on when it draws.
    at = held === null ? underPointer(u) : nearest(drawn.current.t, held);
    showAt();
  }

  function onCursor(u) {
    if (held !== null) return;
    const next = underPointer(u);
    if (next === at) return;
    at = next;
    showAt();
  }

  function onSelect(u) {
    const { left, width } = u.select;
    if (width < LEAST_ZOOM_PIXELS) return;
    const [since, until] = [u.posToVal(left, "x"), u.posToVal(left + width, "x")];
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    onZoom?.(since, until);
  }

  function showAt() {
    const { t, lines } = drawn.current;
    const place = at ?? t.length - 1;
    legend.update(lines, place);
    setText(time, at === null ? "" : format.moment(new Date(t[at] * 1000)));
    showDots();
  }

  function showDots() {
    const { t, lines } = drawn.current;
    const count = at === null || !plot ? 0 : Math.min(MOST_DOTS, lines.length);
    const places = count ? legend.shown() : [];
    for (let n = 0; n < Math.max(count, dots.length); n += 1) {
      const line = n < count ? lines[places[n]] : null;
      const number = line?.values[at];
      if (!dots[n]) {
        dots[n] = el("span", { "aria-hidden": "true" });
        plot.over.append(dots[n]);
      }
      dots[n].hidden = !Number.isFinite(number);
      if (dots[n].hidden) continue;
      dots[n].className = `cursor-dot c${hueOf(line.colourIndex ?? places[n])}`;
      const [x, y] = [plot.valToPos(t[at], "x"), plot.valToPos(number, "y")];
      dots[n].style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`;
    }
  }

  function onKey(key, event) {
    const { t, since, until } = drawn.current;
    if (key === "Escape" && at !== null) {
      leave();
      return true;
    }
    if (onZoom && "+=-".includes(key)) {
      const middle = at === null ? (since + until) / 2 : t[at];
      const half = ((until - since) / 2) * (key === "-" ? 2 : 0.5);
      onZoom(middle - half, middle + half);
      return true;
    }
    const from = firstFrom(t, since);
    const next = moved(key, event, at === null ? null : at - from, firstFrom(t, until + 1e-6) - from);
    if (next === null) return false;
    at = from + next;
    held = t[at];
    plot.setCursor({ left: plot.valToPos(t[at], "x"), top: 1 }, true, true);
    showAt();
    reader.say(reading());
    return true;
  }

  function leave() {
    held = null;
    at = null;
    // What is taken out of the page loses the focus, too.
    plot?.setCursor({ left: -10, top: -10 }, true, true);
    showAt();
  }

  /** What is at the cursor, in words. */
  function reading() {
    const { t, lines, marks } = drawn.current;
    const places = legend.shown();
    const said = places.slice(0, MOST_SAID).map((n) => {
      const shown = value(lines[n].values[at] ?? null);
      return `${lines[n].label || title} ${shown.absent ? `not known: ${shown.title}` : format.whole(shown)}`;
    });
    if (lines.length > said.length) said.push(`and ${lines.length - said.length} more lines`);
    const half = t.length > 1 ? (t.at(-1) - t[0]) / (t.length - 1) / 2 : 0;
    const near = marks.filter((mark) => Math.abs(mark.t - t[at]) <= half).map((mark) => mark.label);
    return [format.moment(new Date(t[at] * 1000)), ...said, ...near].join("; ");
  }

  const observer = new ResizeObserver(() => {
    if (box.clientWidth === 0) return;
    if (!plot) plot = new uPlot(options(), frame(), box);
    else if (plot.width !== box.clientWidth) plot.setSize({ width: Math.max(120, box.clientWidth), height });
    refresh();
  });
  observer.observe(box);
  // A frame later uPlot has taken the new density, too.
  const leaveScreen = watchRatio(() => requestAnimationFrame(refresh));

  return {
    node,
    update({ t, lines, since = t[0] ?? 0, until = t.at(-1) ?? since + 1, marks = [] }) {
      current = { t, lines, since, until: until > since ? until : since + 1, marks };
      if (!plot) drawn = { current, scale: [0, 1], many: isMany() };
      const known = lines.some((line) => line.values.some(Number.isFinite));
      empty.hidden = known;
      reader.describe(known ? summary(title, current, value) : `${title}. ${emptyText}`);
      if (plot) refresh();
      else showAt();
    },
    redraw() {
      if (plot) refresh();
    },
    /** Let go of what outlives the node: the cursor's group and the watch over its size. */
    destroy() {
      observer.disconnect();
      leaveScreen();
      raster.stop();
      plot?.destroy();
      plot = null;
    },
  };
}

function inked(line, index, ratio) {
  return {
    values: line.values, lower: line.lower, upper: line.upper,
    rgb: rgbOf(seriesColour(index)),
    opacity: line.faint ? FAINT_OPACITY : 1,
    dash: dashOfLine(line, index).map((length) => Math.round(length * ratio)),
    thickness: 1.5 * ratio,
  };
}

/** The chart in a sentence: of its lines what they are now, at least and at most. */
function summary(title, { t, lines }, value) {
  const parts = lines.slice(0, MOST_SAID).map((line) => {
    let [least, most] = [Infinity, -Infinity];
    for (const number of line.values) {
      if (!Number.isFinite(number)) continue;
      if (number < least) least = number;
      if (number > most) most = number;
    }
    const now = value(line.values[t.length - 1] ?? null);
    const said = now.absent ? `now not known (${now.title})` : `now ${format.whole(now)}`;
    const span = least > most ? "" : `, from ${format.whole(value(least))} to ${format.whole(value(most))}`;
    return `${line.label ? `${line.label}: ` : ""}${said}${span}`;
  });
  if (lines.length > parts.length) parts.push(`and ${lines.length - parts.length} more lines`);
  return `${title}. ${parts.join("; ")}. Arrow keys read values.`;
}
