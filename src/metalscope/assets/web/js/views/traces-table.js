// The table of traces, the latest first. How it is sorted is in the address.

import { el, setAttribute, setText } from "../dom.js";
import { createTable } from "../draw/table.js";
import * as format from "../format.js";
import { timeToTheMs } from "./tails-time.js";

export const MOST_LIVE = 200;
const USUAL = { by: "start", order: "descending" };
const WHY_KEPT = {
  sampled: "drawn by chance when it began",
  failed: "something in it failed; what was neither slow nor failed is not in it",
  slow: "something in it was slow; what was neither slow nor failed is not in it",
  around: "something within it was slow or failed",
};

/** onChoose(id): a trace is chosen, or none with null. */
export function createTraceTable(page, filters, { onChoose }) {
  const hint = el("p", { class: "hint" });
  const nothing = el("p", { class: "empty" });
  const place = el("div");
  const node = el(
    "section", { class: "card traces-view", "aria-labelledby": "traces-title" },
    el("div", { class: "card-head" }, el("h2", { id: "traces-title" }, "Traces"), hint),
    filters.node, place, nothing,
  );
  const names = new Map(); // by trace, so that what is marked and focused stays
  const works = new Map();
  let table = null;
  let sorted = "";
  let traces = [];

  const chosen = () => page.address.params.get("trace");
  const nameOf = (trace) => cached(names, trace.trace_id, () => el("span", { class: "trace-name", title: trace.name }, trace.name));
  const workOf = (trace) => {
    const id = trace.correlation_id;
    if (id === null) return format.absent("it has no correlation id");
    const href = page.address.of("traces", { correlation_id: id });
    return cached(works, trace.trace_id, () => el("a", { href, title: `All traces of ${id}` }, id));
  };

  const columns = [
    { id: "name", label: "Name", cell: nameOf, sort: (trace) => trace.name },
    { id: "start", label: "Began", numeric: true, cell: (trace) => timeToTheMs(trace.start), sort: (trace) => trace.start },
    { id: "duration", label: "Took", numeric: true, cell: (trace) => format.duration(trace.duration_ms), sort: (trace) => trace.duration_ms },
    { id: "spans", label: "Spans", numeric: true, cell: (trace) => format.count(trace.spans), sort: (trace) => trace.spans },
    { id: "failed", label: "Failed", numeric: true, cell: failedOf, sort: (trace) => trace.failed },
    { id: "correlation", label: "Correlation", cell: workOf, sort: (trace) => trace.correlation_id },
    { id: "kept", label: "Kept because", cell: (trace) => ({ text: trace.decision, title: WHY_KEPT[trace.decision] }), sort: (trace) => trace.decision },
  ];

  const make = (by, order) => {
    sorted = `${by} ${order}`;
    table = createTable({
      caption: "The latest traces",
      columns,
      sortBy: by,
      descending: order === "descending",
      key: (trace) => trace.trace_id,
      onRow: (trace) => onChoose(trace.trace_id === chosen() ? null : trace.trace_id),
      emptyText: "",
    });
    // After the table has sorted itself, the address says the same.
    table.node.querySelector("thead").addEventListener("click", keepOrder);
    place.replaceChildren(table.node);
    names.clear();
    works.clear();
  };

  const keepOrder = () => {
    const heads = [...table.node.querySelectorAll("thead th")];
    const at = heads.findIndex((head) => head.hasAttribute("aria-sort"));
    if (at < 0) return;
    const [by, order] = [columns[at].id, heads[at].getAttribute("aria-sort")];
    sorted = `${by} ${order}`;
    const isUsual = by === USUAL.by && order === USUAL.order;
    page.address.set({ sort: isUsual ? null : by, order: isUsual ? null : order });
  };

  const fill = () => {
    table.update(traces);
    for (const [id, name] of names) {
      const row = name.closest("tr");
      if (!row) continue;
      row.classList.toggle("chosen", id === chosen());
      setAttribute(row.querySelector(".row-button"), "aria-pressed", String(id === chosen()));
    }
  };

  const look = () => {
    const { params } = page.address;
    const by = columns.some(({ id }) => id === params.get("sort")) ? params.get("sort") : USUAL.by;
    const order = params.get("order") ?? USUAL.order;
    if (sorted !== `${by} ${order}`) make(by, order);
    fill();
  };

  return {
    node,
    look,
    focus: () => (table.node.querySelector(".scroll:not([hidden])") ?? filters.node.querySelector("input")).focus(),
    update(now) {
      traces = now;
      const ids = new Set(traces.map((trace) => trace.trace_id));
      for (const kept of [names, works]) for (const id of kept.keys()) if (!ids.has(id)) kept.delete(id);
      fill();
    },
    draw(answer) {
      place.hidden = traces.length === 0;
      nothing.hidden = traces.length > 0 || !answer?.ok;
      setText(nothing, whyNothing(page, filters));
      setText(hint, answer?.ok ? hintOf(page, traces, answer.data.forgotten) : "");
    },
  };
}

function cached(kept, key, make) {
  if (!kept.has(key)) kept.set(key, make());
  return kept.get(key);
}

const failedOf = ({ failed }) =>
  failed === 0 ? { text: "0" } : el("span", { class: "alarming" }, `✕ ${format.count(failed).text}`);

function whyNothing(page, filters) {
  const time = page.window().isLive ? "" : " of this time";
  if (filters.isAny()) return `No trace${time} fits the filters.`;
  return time ? "No trace of this time is kept any more, or there was none." : "No trace has been kept yet.";
}

function hintOf(page, traces, forgotten) {
  if (traces.length === 0) return "";
  const isAll = traces.length < MOST_LIVE || !page.window().isLive;
  const parts = [isAll ? `${format.count(traces.length).text} ${traces.length === 1 ? "trace" : "traces"}` : `the latest ${MOST_LIVE}`];
  if (forgotten > 0) parts.push(`${format.count(forgotten).text} older spans are not kept any more`);
  return parts.join(" · ");
}
