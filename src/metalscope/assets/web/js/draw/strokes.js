// A few lines with their bands, and marks in time, by the canvas' own strokes.

import { colour, dashOfLine, seriesColour, translucent } from "./palette.js";
import { firstFrom } from "./range.js";

const WIDTH = 1.75;
const BAND_OPACITY = 0.18;
const AREA_OPACITY = 0.1;
const FAINT_OPACITY = 0.45;

const isKnown = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * `place` says where things are, in pixels of the canvas: {x(t), y(value), left, top, width, height,
 * ratio}. `t` seconds; what lies outside is cut off.
 */
export function strokeLines(pen, { t, lines }, place) {
  clipped(pen, place, () => {
    // The first line is the most important one: it is drawn last, on top.
    for (let index = lines.length - 1; index >= 0; index -= 1) {
      const line = lines[index];
      const hue = seriesColour(line.colourIndex ?? index);
      pen.globalAlpha = line.faint ? FAINT_OPACITY : 1;
      pen.strokeStyle = hue;
      pen.lineWidth = WIDTH * place.ratio;
      pen.lineJoin = "round";
      pen.setLineDash(dashOfLine(line, line.colourIndex ?? index).map((length) => length * place.ratio));
      pen.beginPath();
      trace(pen, t, line.values, place);
      pen.stroke();
      pen.setLineDash([]);
      dots(pen, t, line.values, hue, place);
      if (lines.length === 1) area(pen, t, line.values, hue, place);
    }
  });
}

/** What a forecast is sure of: between lower and upper, below all lines. */
export function strokeBands(pen, { t, lines }, place) {
  clipped(pen, place, () => {
    for (const [index, line] of lines.entries()) band(pen, t, line, line.colourIndex ?? index, place);
  });
}

function clipped(pen, place, draw) {
  pen.save();
  pen.beginPath();
  pen.rect(place.left, place.top, place.width, place.height);
  pen.clip();
  draw();
  pen.restore();
}

/** The path of a line; of many points in one column of pixels the first, extremes and last count. */
function trace(pen, t, values, place) {
  const [from, to] = within(t, place);
  const isDense = to - from > 2 * place.width;
  let open = false;
  let column = Number.NaN;
  let low = 0;
  let high = 0;
  let last = 0;
  const flush = () => {
    if (open && isDense && !Number.isNaN(column)) {
      pen.lineTo(column, low);
      pen.lineTo(column, high);
      pen.lineTo(column, last);
    }
    column = Number.NaN;
  };
  for (let i = from; i < to; i += 1) {
    if (!isKnown(values[i])) {
      flush();
      open = false;
      continue;
    }
    const y = place.y(values[i]);
    const x = isDense ? Math.round(place.x(t[i])) : place.x(t[i]);
    if (isDense && open && x === column) {
      if (y < low) low = y;
      if (y > high) high = y;
      last = y;
      continue;
    }
    flush();
    if (open) pen.lineTo(x, y);
    else pen.moveTo(x, y);
    open = true;
    column = x;
    low = high = last = y;
  }
  flush();
}

/** What has no known neighbour makes no line; a dot shows it. */
function dots(pen, t, values, hue, place) {
  const [from, to] = within(t, place);
  pen.fillStyle = hue;
  for (let i = from; i < to; i += 1) {
    if (!isKnown(values[i]) || isKnown(values[i - 1]) || isKnown(values[i + 1])) continue;
    pen.beginPath();
    pen.arc(place.x(t[i]), place.y(values[i]), 2 * place.ratio, 0, 2 * Math.PI);
    pen.fill();
  }
}

function area(pen, t, values, hue, place) {
  const [from, to] = within(t, place);
  const ground = place.y(0);
  pen.fillStyle = translucent(hue, AREA_OPACITY);
  runs(from, to, (i) => isKnown(values[i]), (start, end) => {
    pen.beginPath();
    pen.moveTo(place.x(t[start]), ground);
    for (let i = start; i < end; i += 1) pen.lineTo(place.x(t[i]), place.y(values[i]));
    pen.lineTo(place.x(t[end - 1]), ground);
    pen.fill();
  });
}

function band(pen, t, { lower, upper }, index, place) {
  if (!lower || !upper) return;
  const [from, to] = within(t, place);
  pen.fillStyle = translucent(seriesColour(index), BAND_OPACITY);
  runs(from, to, (i) => isKnown(lower[i]) && isKnown(upper[i]), (start, end) => {
    pen.beginPath();
    for (let i = start; i < end; i += 1) pen.lineTo(place.x(t[i]), place.y(upper[i]));
    for (let i = end - 1; i >= start; i -= 1) pen.lineTo(place.x(t[i]), place.y(lower[i]));
    pen.fill();
  });
}

function runs(from, to, isIn, take) {
  let start = -1;
  for (let i = from; i <= to; i += 1) {
    const inside = i < to && isIn(i);
    if (inside && start < 0) start = i;
    if (!inside && start >= 0) {
      take(start, i);
      start = -1;
    }
  }
}

/** The points in sight, and one beyond each side, to which lines lead. */
function within(t, { since, until }) {
  return [Math.max(0, firstFrom(t, since) - 1), Math.min(t.length, firstFrom(t, until) + 1)];
}

/** Events and alerts: [{t, label, bad?}] as upright lines with their names, where there is room. */
export function strokeMarks(pen, marks, place) {
  clipped(pen, place, () => {
    const { ratio } = place;
    let free = Number.NEGATIVE_INFINITY;
    pen.font = `${11 * ratio}px ${colour("--sans") || "sans-serif"}`;
    pen.textBaseline = "top";
    pen.textAlign = "left";
    pen.lineWidth = ratio;
    for (const mark of [...marks].sort((a, b) => a.t - b.t)) {
      const x = Math.round(place.x(mark.t)) + 0.5;
      if (x < place.left || x > place.left + place.width) continue;
      pen.strokeStyle = pen.fillStyle = colour(mark.bad ? "--bad" : "--muted");
      pen.setLineDash([3 * ratio, 2 * ratio]);
      pen.beginPath();
      pen.moveTo(x, place.top);
      pen.lineTo(x, place.top + place.height);
      pen.stroke();
      // A name that would lie over another is left out; the reading at the cursor has it.
      if (x < free) continue;
      const text = shortened(`${mark.bad ? "▲ " : ""}${mark.label}`);
      const width = pen.measureText(text).width;
      const goesLeft = x + width + 8 * ratio > place.left + place.width;
      if (goesLeft && x - width - 4 * ratio < free) continue;
      pen.fillText(text, goesLeft ? x - width - 4 * ratio : x + 4 * ratio, place.top + 2 * ratio);
      free = x + (goesLeft ? 0 : width + 10 * ratio);
    }
  });
}

const shortened = (text) => (text.length > 24 ? `${text.slice(0, 23)}…` : text);
