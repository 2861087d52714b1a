// A table that is sorted by its headings. Rows are kept by key, so that what is selected or focused
// stays where it is while numbers move.

import { el, keyedList, setAttribute, setText, show } from "../dom.js";
import * as format from "../format.js";

const MOST = 100;

/**
 * columns: [{id, label, title?, numeric?, cell(row), sort?(row)}]; cell gives a formatted value, a
 * node or a string; sort a number, a string, or null for what is not known, which stands last; a
 * column without sort is not sorted by. onRow(row): rows are then buttons. most: rows at first.
 */
export function createTable({
  caption, columns, sortBy, descending = false, key, onRow, emptyText, most = MOST,
}) {
  const order = { id: sortBy, down: descending };
  const heads = columns.map((column) => createHead(column, order, () => draw()));
  const body = el("tbody");
  const table = el(
    "table", { class: "draw-table" },
    el("caption", { class: "visually-hidden" }, caption),
    el("thead", {}, el("tr", {}, ...heads.map((head) => head.node))),
    body,
  );
  const scroller = el("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table);
  const more = el("button", { type: "button", class: "button more" });
  const empty = el("p", { class: "quiet" }, emptyText);
  const node = el("div", { class: "draw-table-box" }, scroller, more, empty);
  const fill = keyedList(body, key, (row) => createRow(columns, row, onRow));
  let rows = [];
  let all = false;

  more.addEventListener("click", () => {
    all = !all;
    draw();
  });

  function draw() {
    const column = columns.find((one) => one.id === order.id);
    const sorted = column?.sort ? ordered(rows, column.sort, order.down, key) : rows;
    for (const head of heads) head.update();
    fill(all ? sorted : sorted.slice(0, most));
    more.hidden = rows.length <= most;
    setText(more, all ? `Show the first ${most}` : `Show all ${format.count(rows.length).text}`);
    scroller.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
  }

  draw();
  return {
    node,
    update(newRows) {
      rows = newRows;
      draw();
    },
    redraw() {},
  };
}

const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const isUnknown = (value) => value === null || value === undefined || Number.isNaN(value);

function ordered(rows, sort, down, key) {
  const direction = down ? -1 : 1;
  const keyed = rows.map((row) => [sort(row), String(key(row)), row]);
  keyed.sort(([a, keyA], [b, keyB]) => {
    // What is not known stands last whichever way the rest is sorted.
    if (isUnknown(a) || isUnknown(b)) return isUnknown(a) - isUnknown(b) || compare(keyA, keyB);
    return direction * compare(a, b) || compare(keyA, keyB);
  });
  return keyed.map(([, , row]) => row);
}

function createHead(column, order, onChange) {
  const node = el("th", { scope: "col", class: column.numeric ? "num" : null });
  if (column.sort) {
    const button = el("button", { type: "button", title: column.title }, column.label);
    button.addEventListener("click", () => {
      // Of numbers the largest are wanted first, of names the first.
      order.down = order.id === column.id ? !order.down : Boolean(column.numeric);
      order.id = column.id;
      onChange();
    });
    node.append(button);
  } else {
    node.append(column.label);
    setAttribute(node, "title", column.title);
  }
  const update = () => {
    const isBy = column.sort && order.id === column.id;
    setAttribute(node, "aria-sort", isBy ? (order.down ? "descending" : "ascending") : null);
  };
  return { node, update };
}

function createRow(columns, first, onRow) {
  let row = first;
  const cells = columns.map((column, n) =>
    n === 0
      ? el("th", { scope: "row", class: column.numeric ? "num" : "name" })
      : el("td", { class: column.numeric ? "num" : null }),
  );
  const node = el("tr", { class: onRow ? "draw-row-button" : null }, ...cells);
  const opener = onRow ? el("button", { type: "button", class: "row-button" }) : null;
  if (onRow) {
    cells[0].append(opener);
    // The button is what keys reach; a click anywhere on the row does the same.
    node.addEventListener("click", (event) => {
      const control = event.target.closest("a, button, input");
      if (!control || control === opener) onRow(row);
    });
  }
  return {
    node,
    update(now) {
      row = now;
      for (const [n, column] of columns.entries()) write(n === 0 && opener ? opener : cells[n], column.cell(row));
    },
  };
}

function write(cell, content) {
  if (content instanceof Node) {
    if (cell.firstChild !== content || cell.childNodes.length !== 1) cell.replaceChildren(content);
    return;
  }
  if (typeof content === "object" && content !== null) show(cell, format.joined(content));
  else show(cell, { text: String(content ?? format.DASH), title: typeof content === "string" ? content : undefined });
}
