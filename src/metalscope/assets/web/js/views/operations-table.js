// The table of what ran in the time that is looked at. How it is sorted and filtered is in the
// address.

import { el, setAttribute, setText } from "../dom.js";
import { createTable } from "../draw/table.js";
import * as format from "../format.js";
import { columnsOf, itemOf } from "./operations-columns.js";
import { chosenOf, fits, textOf } from "./operations-chosen.js";

const USUAL = { by: "operations", order: "descending" };
const WRITE_MS = 300; // an address that changes with each key is more than browsers allow

const orderOf = ({ params }) => ({
  by: params.get("sort") ?? USUAL.by,
  order: params.get("order") ?? USUAL.order,
});

const madeOf = (page) => {
  const { by, order } = orderOf(page.address);
  return `${by} ${order} ${page.isFleet}`;
};

/** onChoose(text): an operation is chosen, or none with null. */
export function createOperationsTable(page, { onChoose }) {
  const filter = el("input", {
    type: "search", placeholder: "Filter by name, kind, device", autocomplete: "off", spellcheck: "false",
  });
  const failed = el("input", { type: "checkbox" });
  const hint = el("p", { class: "hint" });
  const place = el("div");
  const node = el(
    "section", { class: "card operations-view", "aria-labelledby": "operations-of-time" },
    el(
      "div", { class: "card-head" },
      el("h2", { id: "operations-of-time" }, "Operations"),
      hint,
      el("label", { class: "tick" }, failed, " Failed only"),
      el("label", { class: "filter" }, el("span", { class: "visually-hidden" }, "Filter operations"), filter),
    ),
    place,
  );

  const names = new Map(); // by row, so that what is marked and focused stays
  let table = null;
  let made = ""; // what the table was made for
  let items = [];
  let isKnown = false;
  let timer = 0;
  let label = "";
  let shown = null; // the chosen row that was brought in sight

  const nameOf = (row) => {
    if (!names.has(row.id)) {
      const under = [row.kind, row.device, row.host].filter(Boolean).join(" · ");
      const name = el("span", { class: "operation-name", title: row.name }, row.name);
      names.set(row.id, el("span", {}, name, el("span", { class: "under-name", "aria-hidden": "true" }, under)));
    }
    return names.get(row.id);
  };

  const make = () => {
    const { by, order } = orderOf(page.address);
    made = madeOf(page);
    const columns = columnsOf({ nameOf, labelOf: () => label, isFleet: page.isFleet });
    table = createTable({
      caption: "Operations by kind, name and device",
      columns,
      sortBy: columns.some((column) => column.id === by) ? by : USUAL.by,
      descending: order === "descending",
      key: (row) => row.id,
      onRow: (row) => {
        const chosen = chosenOf(page.address.params.get("operation"));
        onChoose(chosen && fits(chosen, row) ? null : textOf(row));
      },
      emptyText: "",
    });
    // After the table has sorted itself, the address says the same.
    table.node.querySelector("thead").addEventListener("click", () => keepOrder(columns));
    table.node.addEventListener("keydown", alongRows);
    // Rows that come to sight on demand are marked as well.
    table.node.addEventListener("click", () => mark());
    place.replaceChildren(table.node, nothing);
    names.clear();
  };

  const keepOrder = (columns) => {
    const heads = [...table.node.querySelectorAll("thead th")];
    const at = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (at < 0) return;
    const [by, order] = [columns[at].id, heads[at].getAttribute("aria-sort")];
    const isUsual = by === USUAL.by && order === USUAL.order;
    const changes = { sort: isUsual ? null : by, order: isUsual ? null : order };
    // The table is that already.
    made = `${by} ${order} ${page.isFleet}`;
    page.address.set(changes);
  };

  const nothing = el("p", { class: "empty" });

  const write = () => {
    clearTimeout(timer);
    timer = 0;
    page.address.set({ filter: filter.value.trim() || null, failed: failed.checked ? "true" : null });
  };
  filter.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(write, WRITE_MS);
    fill();
  });
  failed.addEventListener("change", () => {
    write();
    fill();
  });

  const fill = () => {
    const wanted = filter.value.trim().toLowerCase();
    const fitting = items.filter((item) => item.searched.includes(wanted) && (!failed.checked || item.errors > 0));
    table.update(fitting);
    nothing.hidden = fitting.length > 0;
    setText(
      nothing,
      !isKnown ? "What ran is not known."
      : items.length === 0 ? "Nothing ran in this time."
      : wanted ? "No operation fits the filter."
      : "No operation failed in this time.",
    );
    mark();
  };

  const mark = () => {
    const chosen = chosenOf(page.address.params.get("operation"));
    for (const item of items) {
      const row = names.get(item.id)?.closest("tr");
      if (!row) continue;
      const isChosen = chosen !== null && fits(chosen, item);
      row.classList.toggle("chosen", isChosen);
      setAttribute(row.querySelector(".row-button"), "aria-pressed", String(isChosen));
      if (isChosen && shown !== item.id) show(row);
      if (isChosen) shown = item.id;
    }
    if (chosen === null) shown = null;
  };

  // Within the table; the page stays where it is.
  const show = (row) => {
    const box = row.closest(".scroll");
    const top = row.offsetTop - box.querySelector("thead").offsetHeight;
    const isAbove = top < box.scrollTop;
    const isBelow = row.offsetTop + row.offsetHeight > box.scrollTop + box.clientHeight;
    if (isAbove || isBelow) box.scrollTop = top;
  };

  /** The controls and the order as the address has them. */
  const look = () => {
    const { params } = page.address;
    if (!timer) {
      if (filter.value.trim() !== (params.get("filter") ?? "")) filter.value = params.get("filter") ?? "";
      failed.checked = params.get("failed") === "true";
    }
    if (made !== madeOf(page)) make();
    fill();
  };

  make();
  look();
  return {
    node,
    look,
    /** Show what ran, see foundIn in operations.js; null where that is not known. */
    update(found) {
      isKnown = found !== null;
      if (!isKnown) {
        items = [];
        setText(hint, "");
        fill();
        return;
      }
      label = found.label;
      const before = new Map(found.rowsBefore.map((row) => [keyOf(row), itemOf(row, found.secondsBefore)]));
      items = found.rows.map((row) => itemOf(row, found.seconds, before.get(keyOf(row)) ?? null));
      setText(hint, hintOf(found, goneOf(before, items)));
      fill();
      const ids = new Set(items.map((item) => item.id));
      for (const id of names.keys()) if (!ids.has(id)) names.delete(id);
    },
    items: () => items,
    leave() {
      clearTimeout(timer);
    },
  };
}

/** Up and down lead from row to row. */
function alongRows(event) {
  const by = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[event.key];
  const button = by && event.target.closest(".row-button")?.closest("tr")[by]?.querySelector(".row-button");
  if (!button) return;
  event.preventDefault();
  button.focus();
}

const keyOf = ({ kind, name, device, host }) => JSON.stringify([kind, name, device, host]);

const goneOf = (before, items) => {
  const now = new Set(items.map((item) => item.id));
  return [...before.keys()].filter((id) => !now.has(id)).length;
};

function hintOf({ rows, omitted, covered, label, missing }, gone) {
  const parts = [`${format.count(rows.length).text} series`];
  if (omitted > 0) parts.push(`the busiest of ${format.count(rows.length + omitted).text}`);
  if (covered !== null) parts.push(`telemetry ran for ${format.span(covered)}`);
  if (missing) parts.push(`nothing is known of ${missing}`);
  if (gone > 0) parts.push(`${format.count(gone).text} of ${label} did not run`);
  return parts.join(" · ");
}
