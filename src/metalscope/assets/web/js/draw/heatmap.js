// A heat map: steps of time across, rows such as classes of duration upwards, a colour for each cell.

import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { createCanvas, cut, plotBox, textWithin, timeMarks } from "./canvas.js";
import { colour, heatColour } from "./palette.js";
import { moved, readable } from "./reading.js";

const HEIGHT = 240;
const LEFT = 76;
const LEFT_NARROW = 64;
const NARROW = 420;
const ROW_TEXT = 15;
const SCALE_STEPS = 10;
const MOST_SHADES = 64;

/**
 * rowAxis: what the rows are, such as "Duration"; value(number) formats a cell's value;
 * describe({column, row, label, time, step, number}) → the sentence read out for a cell, of its own
 * making where it is left out. number is null for a cell without a value.
 *
 * update({t0, step, columns, rows, cells, scale, max}): t0, step in seconds; rows: labels from the
 * bottom up; cells: [[column, row, value]…]; max: the value of the strongest colour, else the highest.
 */
export function createHeatmap({ title, rowAxis, value, describe, emptyText, height = HEIGHT }) {
  const scaleList = el("ul", { class: "legend heat-scale" });
  const said = el("p", { class: "draw-reading" });
  const empty = el("p", { class: "chart-empty" }, emptyText);
  const canvas = createCanvas(height, draw);
  const reader = readable(canvas.node, { onKey, onBlur: () => point(null) });
  const node = el(
    "figure", { class: "chart draw-heatmap" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), scaleList),
    canvas.node, empty, said, reader.node,
  );

  let current = { t0: 0, step: 1, columns: 0, rows: [], scale: "linear", max: 1 };
  let grid = new Float64Array(0);
  let cell = null; // {column, row} at the cursor
  let box = plotBox(1, height, LEFT);

  const numberAt = (column, row) => {
    const number = grid[column * current.rows.length + row];
    return Number.isNaN(number) ? null : number;
  };

  /** 0..1: how strong a value's colour is. */
  const strength = (number) => {
    const { scale, max } = current;
    if (number <= 0 || max <= 0) return 0;
    return scale === "log" ? Math.log1p(number) / Math.log1p(max) : number / max;
  };

  function draw(pen, width) {
    const { t0, step, columns, rows } = current;
    box = plotBox(width, height, width < NARROW ? LEFT_NARROW : LEFT);
    if (columns === 0 || rows.length === 0) return;
    const [wide, tall] = [box.width / columns, box.height / rows.length];
    // Cells of one shade are filled together: the pen changes its colour but a few times.
    const shades = new Map();
    for (let at = 0; at < grid.length; at += 1) {
      // What is 0 has the weakest colour; only what is not known has none.
      if (Number.isNaN(grid[at])) continue;
      const shade = Math.round(Math.min(1, strength(grid[at])) * MOST_SHADES);
      const found = shades.get(shade);
      if (found) found.push(at);
      else shades.set(shade, [at]);
    }
    for (const [shade, places] of shades) {
      pen.fillStyle = heatColour(shade / MOST_SHADES);
      for (const at of places) {
        const [x, y] = corner(Math.floor(at / rows.length), at % rows.length, wide, tall);
        pen.fillRect(x, y, Math.ceil(wide), Math.max(1, Math.ceil(tall) - (tall > 6 ? 1 : 0)));
      }
    }
    axes(pen, width, tall);
    if (cell) {
      const [x, y] = corner(cell.column, cell.row, wide, tall);
      pen.lineWidth = 2;
      pen.strokeStyle = colour("--text");
      pen.strokeRect(x - 1, y - 1, Math.max(3, wide + 2), Math.max(3, tall + 2));
    }

    function corner(column, row) {
      return [Math.floor(box.left + column * wide), Math.floor(box.top + box.height - (row + 1) * tall)];
    }

    function axes() {
      pen.fillStyle = colour("--muted");
      pen.strokeStyle = colour("--grid");
      pen.lineWidth = 1;
      pen.strokeRect(box.left - 0.5, box.top - 0.5, box.width + 1, box.height + 1);
      const every = Math.max(1, Math.ceil(ROW_TEXT / tall));
      pen.textBaseline = "middle";
      pen.textAlign = "right";
      for (let row = 0; row < rows.length; row += every) {
        const y = box.top + box.height - (row + 0.5) * tall;
        pen.fillText(cut(pen, rows[row], box.left - 12), box.left - 7, y);
      }
      pen.textBaseline = "top";
      const until = t0 + columns * step;
      const times = timeMarks(t0, until, Math.max(2, Math.floor(box.width / 90)));
      for (const t of times.marks) {
        const x = box.left + ((t - t0) / (until - t0)) * box.width;
        textWithin(pen, clock(t, times.step), x, box.top + box.height + 7, box.left, width);
      }
    }
  }

  function point(next) {
    if (cell?.column === next?.column && cell?.row === next?.row) return;
    cell = next;
    setText(said, cell ? sentence() : "");
    canvas.redraw();
  }

  function sentence() {
    const { t0, step, rows } = current;
    const number = numberAt(cell.column, cell.row);
    const about = {
      ...cell, label: rows[cell.row], time: t0 + cell.column * step, step, number,
    };
    if (describe) return describe(about);
    return `${format.moment(new Date(about.time * 1000))}, ${rowAxis} ${about.label}: ${told(number)}`;
  }

  const told = (number) => {
    const shown = value(number);
    return shown.absent ? `not known: ${shown.title}` : format.whole(shown);
  };

  canvas.node.addEventListener("pointermove", (event) => {
    const place = canvas.node.getBoundingClientRect();
    const x = event.clientX - place.left - box.left;
    const y = box.top + box.height - (event.clientY - place.top);
    const { columns, rows } = current;
    const column = Math.floor((x / box.width) * columns);
    const row = Math.floor((y / box.height) * rows.length);
    const isIn = column >= 0 && column < columns && row >= 0 && row < rows.length;
    point(isIn ? { column, row } : null);
  });
  canvas.node.addEventListener("pointerleave", () => point(null));

  function onKey(key, event) {
    const { columns, rows } = current;
    if (columns === 0 || rows.length === 0) return false;
    if (key === "Escape" && cell) {
      point(null);
      return true;
    }
    const upwards = { ArrowUp: 1, ArrowDown: -1 }[key];
    if (upwards) {
      const from = cell ?? { column: columns - 1, row: upwards > 0 ? -1 : rows.length };
      point({ ...from, row: Math.min(rows.length - 1, Math.max(0, from.row + upwards)) });
    } else {
      const column = moved(key, event, cell?.column ?? null, columns);
      if (column === null) return false;
      point({ column, row: cell?.row ?? busiest(column) });
    }
    reader.say(sentence());
    return true;
  }

  function busiest(column) {
    let best = 0;
    for (let row = 1; row < current.rows.length; row += 1) {
      if ((numberAt(column, row) ?? -1) > (numberAt(column, best) ?? -1)) best = row;
    }
    return best;
  }

  function showScale(highest) {
    const { max, scale } = current;
    const middle = scale === "log" ? Math.expm1(Math.log1p(max) / 2) : max / 2;
    const isWhole = Number.isInteger(max) && max > 3;
    const mark = (number) => el("span", {}, format.whole(value(isWhole ? Math.round(number) : number)));
    const bar = el("span", { class: "heat-bar", "aria-hidden": "true" });
    for (let n = 0; n < SCALE_STEPS; n += 1) {
      const part = el("span");
      part.style.background = heatColour(n / (SCALE_STEPS - 1));
      bar.append(part);
    }
    scaleList.replaceChildren(
      el("li", {}, mark(0), bar, mark(max)),
      el("li", {}, `middle ${mark(middle).textContent}${scale === "log" ? ", logarithmic" : ""}`),
    );
    scaleList.hidden = !(highest > 0);
  }

  let highest = 0;
  return {
    node,
    update({ t0, step, columns, rows, cells, scale = "linear", max }) {
      grid = new Float64Array(columns * rows.length).fill(Number.NaN);
      highest = 0;
      let top = null;
      for (const [column, row, number] of cells) {
        if (!(column >= 0 && column < columns && row >= 0 && row < rows.length)) continue;
        if (!Number.isFinite(number)) continue;
        grid[column * rows.length + row] = number;
        if (number > highest) {
          highest = number;
          top = { column, row };
        }
      }
      current = { t0, step, columns, rows, scale, max: max > 0 ? max : highest || 1 };
      if (cell && (cell.column >= columns || cell.row >= rows.length)) cell = null;
      setText(said, cell ? sentence() : "");
      empty.hidden = cells.length > 0;
      showScale(highest);
      const peak = top
        ? `Highest ${told(highest)} at ${rows[top.row]}, ${format.moment(new Date((t0 + top.column * step) * 1000))}. Arrow keys read cells.`
        : emptyText;
      reader.describe(`${title}. ${columns} steps by ${rows.length} rows of ${rowAxis}. ${peak}`);
      canvas.redraw();
    },
    redraw() {
      showScale(highest);
      canvas.redraw();
    },
    destroy: canvas.destroy,
  };
}

function clock(t, step) {
  const date = new Date(t * 1000);
  if (step >= 86_400) return date.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return step >= 60 ? format.shortClock(date) : format.clock(date);
}
