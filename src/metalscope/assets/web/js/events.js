// Custom events, newest first, and custom metrics.

import { el, emptyOr, keyedList, setText, show } from "./dom.js";
import * as format from "./format.js";

const EVENTS_SHOWN = 50;

export function createEvents(container) {
  const list = el("ul", { class: "tall", tabindex: "0", "aria-labelledby": "events-title" });
  const setEmpty = emptyOr(container, "No event has been recorded.", list);
  const update = keyedList(list, (event) => event.sequence, createEvent);
  return ({ events }) => {
    setEmpty(events.length === 0);
    update(events.slice(0, EVENTS_SHOWN));
  };
}

function createEvent(event) {
  const date = new Date(event.timestamp);
  const properties = Object.entries(event.properties)
    .map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`)
    .join("  ");
  const node = el(
    "li",
    { class: "event" },
    el("time", { datetime: event.timestamp, title: date.toString() }, format.clock(date)),
    el("span", { class: "what" }, event.name),
  );
  if (properties) node.append(el("span", { class: "properties" }, properties));
  return { node, update: () => {} };
}

export function createCustom(container) {
  const rows = el("tbody");
  const table = el(
    "table",
    {},
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "Name"),
        el("th", { scope: "col" }, "Kind"),
        el("th", { scope: "col", class: "num" }, "Value"),
      ),
    ),
    rows,
  );
  const scroller = el(
    "div",
    { class: "scroll tall", role: "region", tabindex: "0", "aria-labelledby": "custom-title" },
    table,
  );
  const setEmpty = emptyOr(container, "No custom metric has been recorded.", scroller);
  const keyOf = (metric) => JSON.stringify([metric.name, metric.labels]);
  const updateRows = keyedList(rows, keyOf, createMetricRow);
  return ({ snapshot }) => {
    setEmpty(snapshot.custom.length === 0);
    updateRows(snapshot.custom);
  };
}

function createMetricRow(metric) {
  const labels = Object.entries(metric.labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");
  const value = el("td", { class: "num" });
  const note = el("span", { class: "quiet" }, metric.kind === "histogram" ? "histogram, mean" : metric.kind);
  const name = el("th", { scope: "row", class: "name custom-name" }, metric.name);
  if (labels) name.append(el("span", { class: "labels" }, labels));
  const node = el("tr", {}, name, el("td", {}, note), value);
  const update = (now) => {
    if (now.kind !== "histogram") {
      show(value, { text: plain(now.value), title: String(now.value) });
      return;
    }
    const mean = now.count ? { text: plain(now.value / now.count) } : format.absent("nothing observed");
    show(value, mean);
    setText(note, `histogram, mean of ${format.count(now.count).text}`);
  };
  return { node, update };
}

// A custom value may be any size: whole numbers are grouped, the rest get three digits.
function plain(value) {
  if (Number.isInteger(value)) return format.count(value).text;
  return Math.abs(value) < 1e15 ? format.significant(value) : value.toPrecision(3);
}
