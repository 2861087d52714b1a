// Panels of lines: over time, their last values, and as a table.

import { el, keyedList, setAttribute, setText, show } from "../dom.js";
import { createLines } from "../draw/lines.js";
import { createTable } from "../draw/table.js";
import * as format from "../format.js";
import { onOneAxis, partsOf } from "../timelines.js";
import { createSpark } from "./own-spark.js";
import { formatterOf, unitOf } from "./own-units.js";

const NEAR = 0.25; // a threshold further up than four times what is seen would flatten it
const NOTHING = "nothing is known of it in this time";
const LATE_STEPS = 3; // steps at the end of which nothing need be known yet

const known = (values) => values.filter(Number.isFinite);
const highest = (values) => values.reduce((most, value) => (value > most ? value : most), Number.NEGATIVE_INFINITY);
const lowest = (values) => values.reduce((least, value) => (value < least ? value : least), Number.POSITIVE_INFINITY);
const meanOf = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const keyOf = (line, place) => JSON.stringify([line.label, line.kind, line.name, line.device, line.host, place]);

export function createLine(page, panel, levels) {
  const node = el("div");
  let chart = null;
  let shown = null; // the unit that the chart is of
  // A scale of bytes is another one, and what unit it is the first answer says.
  const chartOf = (unit) => {
    if (shown?.unit === unit.unit && shown.kind === unit.kind) return;
    chart?.destroy();
    shown = unit;
    chart = createLines({
      title: panel.title, emptyText: NOTHING, height: 190,
      value: formatterOf(unit.unit, unit.kind),
      binary: unit.unit === "bytes",
      onZoom: (since, until) => page.lookAt(since, until),
    });
    node.replaceChildren(chart.node);
  };
  return {
    node,
    draw(answer) {
      const comparison = page.comparison();
      chartOf(unitOf(answer.data.lines, panel));
      const several = answer.data.lines.length > 1;
      const parts = partsOf(answer, {
        comparison,
        colourOf: (_, index) => (several ? index : 0),
        labelOf: (line, isBefore) => (isBefore ? `${line.label}, ${comparison.label}` : line.label),
      });
      const { since, until, isLive } = page.window();
      const drawn = onOneAxis(parts, { isLive });
      const limits = limitLines(levels, drawn, answer.data.lines.length);
      chart.update({ t: drawn.t, lines: [...drawn.lines, ...limits], since, until });
    },
    redraw: () => chart?.redraw(),
    leave: () => chart?.destroy(),
  };
}

function limitLines(levels, { t, lines }, count) {
  const limits = levels.limits();
  const most = highest(lines.map((line) => highest(known(line.values))));
  const farthest = Math.max(...limits.map(({ value }) => value));
  if (limits.length === 0 || t.length === 0 || farthest * NEAR > most) return [];
  return limits.map(({ label, value }, place) => ({
    label, values: new Array(t.length).fill(value), colourIndex: count + place, dashed: true, faint: true,
  }));
}

export function createStats(page, panel, levels) {
  const list = el("ul", { class: "own-stats" });
  const empty = el("p", { class: "quiet" }, `${NOTHING}.`);
  const node = el("div", {}, list, empty);
  const update = keyedList(list, ({ key }) => key, createStat);
  return {
    node,
    draw({ data, before }) {
      const items = data.lines.map((line, place) => ({
        key: keyOf(line, place), line, data, levels,
        before: before?.lines.find((one) => one.label === line.label),
        comparison: page.comparison(),
        // A lone value is what its panel says it is.
        label: data.lines.length === 1 ? "" : line.label,
        value: formatterOf(panel.unit || line.unit, line.kind),
      }));
      update(items);
      empty.hidden = items.length > 0;
    },
    redraw() {},
    leave() {},
  };
}

function createStat() {
  const label = el("p", { class: "tile-label" });
  const number = el("strong");
  const sign = el("span", { class: "badge", "aria-hidden": "true" });
  const word = el("span", { class: "own-word" });
  const note = el("p", { class: "tile-note" });
  const spark = createSpark();
  const figure = el("p", { class: "own-value" }, number, " ", sign, " ", word);
  const node = el("li", { class: "own-stat" }, label, figure, spark.node, note);
  const update = ({ line, data, levels, label: text, value, before, comparison }) => {
    const place = line.values.findLastIndex(Number.isFinite);
    const now = place < 0 ? null : line.values[place];
    show(number, now === null ? format.absent(NOTHING) : format.joined(value(now)));
    setText(label, text);
    setAttribute(label, "title", text);
    label.hidden = text === "";
    const level = levels.of(now);
    for (const part of [sign, word]) setAttribute(part, "data-status", level?.status);
    setText(sign, level?.sign ?? "");
    sign.hidden = level === null;
    setText(word, level?.word ?? "");
    spark.update(line.values);
    setText(note, noteOf({ line, data, place, value, before, comparison }));
    setAttribute(note, "title", note.textContent);
  };
  return { node, update };
}

function noteOf({ line, data, place, value, before, comparison }) {
  if (place < 0) return "";
  const values = known(line.values);
  const parts = [];
  if (place < line.values.length - 1 - LATE_STEPS) parts.push(`at ${moment(data.start + place * data.step)}`);
  const was = before && known(before.values).at(-1);
  if (Number.isFinite(was)) parts.push(`${format.whole(value(was))} ${comparison?.label ?? "before"}`);
  parts.push(`from ${format.whole(value(lowest(values)))} to ${format.whole(value(highest(values)))}`);
  return parts.join(" · ");
}

const moment = (seconds) => format.moment(new Date(seconds * 1000));

export function createValues(page, panel, levels) {
  const figure = (id, label, of) => ({
    id, label, numeric: true,
    cell: (row) => row.value(of(row)),
    sort: (row) => of(row),
  });
  const columns = [
    { id: "label", label: "Line", cell: ({ line }) => line.label, sort: ({ line }) => line.label },
    figure("last", "Last", ({ values }) => values.at(-1) ?? null),
    figure("mean", "Mean", ({ values }) => (values.length ? meanOf(values) : null)),
    figure("least", "Least", ({ values }) => (values.length ? lowest(values) : null)),
    figure("most", "Most", ({ values }) => (values.length ? highest(values) : null)),
  ];
  if (panel.thresholds) {
    const levelOf = ({ values }) => levels.of(values.at(-1));
    columns.push({
      id: "level", label: "Stands",
      cell: (row) => (levelOf(row) ? `${levelOf(row).sign} ${levelOf(row).word}` : format.absent(NOTHING)),
      sort: (row) => levelOf(row)?.rank ?? null,
    });
  }
  const table = createTable({
    caption: `Values of ${panel.title}`, columns, sortBy: "last", descending: true,
    key: ({ key }) => key, emptyText: `${NOTHING}.`,
  });
  return {
    node: table.node,
    draw({ data }) {
      table.update(
        data.lines.map((line, place) => ({
          key: keyOf(line, place), line, values: known(line.values),
          value: formatterOf(panel.unit || line.unit, line.kind),
        })),
      );
    },
    redraw: table.redraw,
    leave() {},
  };
}
