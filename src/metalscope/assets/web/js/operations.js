// The table of operations.

import { el, keyedList, setAttribute, setText, show } from "./dom.js";
import * as format from "./format.js";
import { operationKey, rateOf } from "./state.js";

const CATEGORIES = [
  ["fast", "fast < 1 ms"],
  ["normal", "normal < 10 ms"],
  ["slow", "slow ≤ 100 ms"],
  ["very_slow", "very slow > 100 ms"],
];
const ROWS_AT_FIRST = 100;
const NO_DURATION = "no duration was recorded";

const COLUMNS = [
  { key: "name", label: "Operation", text: true },
  { key: "kind", label: "Kind", text: true },
  { key: "device", label: "Device", text: true, title: "empty where the program names none" },
  { key: "rate", label: "Ops/s", title: "over the last 10 seconds" },
  { key: "executions", label: "Count" },
  { key: "errors", label: "Errors" },
  { key: "p50_ms", label: "p50", title: "half of the operations were at most this long" },
  { key: "p95_ms", label: "p95", title: "95 of 100 were at most this long" },
  { key: "p99_ms", label: "p99", title: "99 of 100 were at most this long" },
  { key: "max_ms", label: "Max" },
];

export function createOperations({ body, filter, hint, legend }, onChange) {
  const sort = { key: "executions", down: true };
  let showAll = false;

  legend.append(
    ...CATEGORIES.map(([name, label]) =>
      el("li", {}, el("span", { class: `swatch ${name}`, "aria-hidden": "true" }), label),
    ),
  );

  const headers = COLUMNS.map((column) => header(column, sort, onChange));
  const rows = el("tbody");
  const table = el(
    "table",
    { class: "operations" },
    el("caption", { class: "visually-hidden" }, "Operations by kind, name and device"),
    el("thead", {}, el("tr", {}, ...headers.map((one) => one.node), el("th", { scope: "col" }, "Speed"))),
    rows,
  );
  const scroller = el(
    "div",
    { class: "scroll", role: "region", "aria-labelledby": "operations", tabindex: "0" },
    table,
  );
  const more = el("button", { type: "button", class: "button more" });
  more.addEventListener("click", () => {
    showAll = !showAll;
    onChange();
  });
  const nothingFits = el("p", { class: "empty" }, "No operation fits the filter.");
  const nothingYet = emptyState();
  body.append(nothingYet, nothingFits, scroller, more);
  filter.addEventListener("input", onChange);

  const updateRows = keyedList(rows, (item) => item.id, createRow);

  return (state) => {
    const items = state.snapshot.operations.map((operation) => itemOf(state, operation));
    const wanted = filter.value.trim().toLowerCase();
    const fitting = items.filter((item) => item.searched.includes(wanted));
    fitting.sort(comparison(sort));
    const shown = showAll ? fitting : fitting.slice(0, ROWS_AT_FIRST);
    for (const one of headers) one.update();
    updateRows(shown);

    nothingYet.hidden = items.length > 0;
    nothingFits.hidden = items.length === 0 || fitting.length > 0;
    scroller.hidden = fitting.length === 0;
    filter.parentElement.hidden = items.length === 0;
    legend.hidden = items.length === 0;
    more.hidden = fitting.length <= ROWS_AT_FIRST;
    setText(more, showAll ? `Show the first ${ROWS_AT_FIRST}` : `Show all ${fitting.length}`);
    setText(
      hint,
      items.length === 0
        ? ""
        : `${format.count(items.length).text} series, counts and percentiles since the start`,
    );
  };
}

function itemOf(state, operation) {
  const id = operationKey(operation);
  const errors = Object.values(operation.errors).reduce((sum, number) => sum + number, 0);
  return {
    id,
    operation,
    searched: `${operation.name} ${operation.kind} ${operation.device}`.toLowerCase(),
    sortable: { ...operation, errors, rate: rateOf(state, id) },
  };
}

function comparison({ key, down }) {
  const direction = down ? -1 : 1;
  return (a, b) => {
    const [left, right] = [a.sortable[key], b.sortable[key]];
    // What is not known stands last whichever way the rest is sorted.
    if (left === null || right === null) return (left === null) - (right === null) || order(a.id, b.id);
    return direction * order(left, right) || order(a.id, b.id);
  };
}

const order = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

function header(column, sort, onChange) {
  const button = el("button", { type: "button", title: column.title }, column.label);
  const node = el("th", { scope: "col", class: column.text ? column.key : "num" }, button);
  button.addEventListener("click", () => {
    sort.down = sort.key === column.key ? !sort.down : !column.text;
    sort.key = column.key;
    onChange();
  });
  const update = () => {
    const direction = sort.down ? "descending" : "ascending";
    setAttribute(node, "aria-sort", sort.key === column.key ? direction : null);
  };
  return { node, update };
}

function createRow({ operation }) {
  const cell = (className) => el("td", { class: className });
  const cells = {
    rate: cell("num"),
    count: cell("num"),
    errors: cell("num"),
    p50: cell("num"),
    p95: cell("num"),
    p99: cell("num"),
    max: cell("num"),
  };
  const split = createSplit();
  const device = cell("device");
  if (operation.device) {
    device.textContent = operation.device;
    device.title = operation.device;
  } else show(device, format.absent("the program names no device"));
  const node = el(
    "tr",
    {},
    el(
      "th",
      { scope: "row", class: "name", title: operation.name },
      operation.name,
      el("span", { class: "under-name", "aria-hidden": "true" }, `${operation.kind} ${operation.device}`),
    ),
    el("td", { class: "kind" }, operation.kind),
    device,
    ...Object.values(cells),
    el("td", { class: "split-cell" }, split.node),
  );

  const update = ({ operation: now, sortable }) => {
    show(cells.rate, { ...format.rate(sortable.rate), unit: undefined });
    show(cells.count, format.count(now.executions));
    showErrors(cells.errors, now.errors, sortable.errors);
    show(cells.p50, format.joined(format.duration(now.p50_ms, NO_DURATION)));
    show(cells.p95, format.joined(format.duration(now.p95_ms, NO_DURATION)));
    show(cells.p99, format.joined(format.duration(now.p99_ms, NO_DURATION)));
    show(cells.max, format.joined(format.duration(now.max_ms, NO_DURATION)));
    split.update(now.categories);
  };
  return { node, update };
}

function showErrors(cell, byType, total) {
  const types = Object.entries(byType).map(([type, number]) => `${number} ${format.words(type)}`);
  show(cell, { ...format.count(total), title: types.join(", ") || undefined });
  cell.classList.toggle("alarming", total > 0);
}

function createSplit() {
  const parts = CATEGORIES.map(([name]) => [name, el("span", { class: name })]);
  const node = el("div", { class: "split", role: "img" }, ...parts.map(([, part]) => part));
  const update = (categories) => {
    for (const [name, part] of parts) {
      const number = categories[name];
      part.hidden = number === 0;
      // The bar's own minimum keeps one very slow operation in a million visible.
      part.style.flex = `${number} 0 ${number > 0 ? "2px" : "0"}`;
    }
    const text = CATEGORIES.map(([name]) => `${format.words(name)} ${format.count(categories[name]).text}`);
    setAttribute(node, "aria-label", text.join(", "));
    setAttribute(node, "title", text.join(", "));
  };
  return { node, update };
}

function emptyState() {
  return el(
    "div",
    { class: "empty" },
    el("strong", {}, "No operations yet"),
    el("p", {}, "They appear here as soon as the program does its first piece of work:"),
    el("p", {}, el("code", {}, "metalscope run your_script.py")),
    el("p", {}, el("code", {}, 'with tel.operation("execute", "matmul"): …')),
  );
}
