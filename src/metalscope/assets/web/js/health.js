// Component statuses with their reasons, and failed operations by type.

import { el, emptyOr, keyedList, setText, show } from "./dom.js";
import * as format from "./format.js";

export const SIGN = { healthy: "✓", degraded: "!", critical: "✕", unknown: "?" };

export function createHealth(container) {
  const list = el("div");
  container.append(list);
  const update = keyedList(list, (component) => component.component, createComponent);
  return ({ snapshot }) => update(snapshot.health.components);
}

function createComponent({ component }) {
  const badge = el("span", { class: "badge", "aria-hidden": "true" });
  const status = el("span", { class: "status" });
  const reasons = el("ul", { class: "reasons" });
  const updateReasons = keyedList(reasons, (reason) => reason.index, createReason);
  const node = el(
    "div",
    { class: "component" },
    badge,
    el("h3", {}, el("span", {}, component[0].toUpperCase() + component.slice(1)), status),
    reasons,
  );
  const update = (now) => {
    badge.dataset.status = now.status;
    setText(badge, SIGN[now.status] ?? "?");
    setText(status, now.status);
    updateReasons(now.reasons.map((text, index) => ({ index, text })));
    reasons.hidden = now.reasons.length === 0;
  };
  return { node, update };
}

function createReason() {
  const node = el("li");
  return { node, update: ({ text }) => setText(node, text) };
}

export function createErrors(container) {
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
        el("th", { scope: "col" }, "Type"),
        el("th", { scope: "col", class: "num" }, "Recent"),
        el("th", { scope: "col", class: "num" }, "Total"),
      ),
    ),
    rows,
  );
  const note = el("p", { class: "meter-note" });
  const setEmpty = emptyOr(container, "No operation has failed.", el("div", {}, table, note));
  const updateRows = keyedList(rows, (item) => item.type, createErrorRow);
  return ({ snapshot }) => {
    const items = Object.entries(snapshot.errors)
      .map(([type, total]) => ({ type, total, recent: snapshot.recent.errors[type] ?? 0 }))
      .sort((a, b) => b.total - a.total || (a.type < b.type ? -1 : 1));
    setEmpty(items.length === 0);
    updateRows(items);
    const { seconds } = snapshot.recent;
    setText(note, seconds > 0 ? `Recent: the last ${format.span(seconds)}` : "");
  };
}

function createErrorRow({ type }) {
  const recent = el("td", { class: "num" });
  const total = el("td", { class: "num" });
  const node = el("tr", {}, el("th", { scope: "row" }, format.words(type)), recent, total);
  const update = (now) => {
    show(recent, format.count(now.recent));
    recent.classList.toggle("alarming", now.recent > 0);
    show(total, format.count(now.total));
  };
  return { node, update };
}
