// The spans of a trace: a row each, under the one that caused it, with a bar where it ran. The rows
// are a tree, walked by the arrow keys; below it stands what is known of the chosen span.

import { el, setAttribute, setText } from "../dom.js";
import * as format from "../format.js";

const MOST_AT_FIRST = 500;
const MOST_INDENT = 12;
const LEAST_SHARE = 0.002;
const SCALE_PARTS = [0, 0.25, 0.5, 0.75, 1];

/**
 * update({spans}): spans as /api/v1/traces/{id} has them, times in ms from the trace's start.
 * choose(id) shows the details of a span, if it is here; onChoose(id) is told of one that the user
 * chose; linksOf(span) gives nodes that lead on from it.
 */
export function createWaterfall({ title, emptyText = "This trace has no spans.", onChoose = () => {}, linksOf = () => [] }) {
  const tree = el("div", { class: "waterfall-rows", role: "tree", "aria-label": title });
  const scale = el("div", { class: "waterfall-scale", "aria-hidden": "true" });
  const details = el("div", { class: "waterfall-details", role: "region", "aria-label": "The chosen span" });
  const more = el("button", { type: "button", class: "button more" });
  const empty = el("p", { class: "quiet" }, emptyText);
  const facts = el("p", { class: "quiet" });
  const node = el(
    "figure", { class: "chart draw-waterfall" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), facts),
    scale, tree, more, empty, details,
  );

  let all = []; // {span, depth, parent, children, isOrphan}, parents before what they caused
  let shown = [];
  let most = MOST_AT_FIRST;
  let chosen = null; // a span's id
  let total = 1;
  const collapsed = new Set();
  const rows = new Map();

  more.addEventListener("click", () => {
    most *= 4;
    show();
  });

  const isHidden = (item) => {
    for (let at = item.parent; at; at = at.parent) if (collapsed.has(at.span.span_id)) return true;
    return false;
  };

  function show() {
    const open = all.filter((item) => !isHidden(item));
    shown = open.slice(0, most);
    const wanted = new Set(shown);
    for (const [item, row] of rows) {
      if (wanted.has(item)) continue;
      row.node.remove();
      rows.delete(item);
    }
    let cursor = tree.firstChild;
    for (const item of shown) {
      let row = rows.get(item);
      if (!row) {
        row = createRow(item, total, { choose, toggle });
        rows.set(item, row);
      }
      row.update(collapsed.has(item.span.span_id));
      if (row.node === cursor) cursor = cursor.nextSibling;
      else tree.insertBefore(row.node, cursor);
    }
    more.hidden = open.length <= most;
    setText(more, `Show more of ${format.count(open.length).text} spans`);
    rove();
  }

  /** One row is reached by Tab: the chosen one, or the first. */
  function rove() {
    const at = shown.find((item) => item.span.span_id === chosen) ?? shown[0];
    for (const [item, row] of rows) {
      row.node.tabIndex = item === at ? 0 : -1;
      row.node.setAttribute("aria-selected", String(item.span.span_id === chosen));
    }
  }

  function choose(item) {
    detail(item);
    rows.get(item)?.node.focus();
    onChoose(chosen);
  }

  function detail(item) {
    chosen = item.span.span_id;
    rove();
    details.replaceChildren(...detailsOf(item, linksOf(item.span)));
  }

  /** Have the row of a span, though it is in what is closed or far down. */
  function reveal(item) {
    for (let at = item.parent; at; at = at.parent) collapsed.delete(at.span.span_id);
    const at = all.filter((one) => !isHidden(one)).indexOf(item);
    while (at >= most) most *= 4;
    show();
  }

  function toggle(item, closed = !collapsed.has(item.span.span_id)) {
    if (item.children.length === 0) return;
    if (closed) collapsed.add(item.span.span_id);
    else collapsed.delete(item.span.span_id);
    show();
  }

  tree.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = shown.findIndex((item) => rows.get(item).node === document.activeElement);
    if (at < 0) return;
    const item = shown[at];
    const isClosed = collapsed.has(item.span.span_id);
    const go = (to) => to && choose(to);
    const acts = {
      ArrowDown: () => go(shown[at + 1]),
      ArrowUp: () => go(shown[at - 1]),
      Home: () => go(shown[0]),
      End: () => go(shown.at(-1)),
      Enter: () => go(item),
      " ": () => go(item),
      ArrowRight: () => (isClosed ? toggle(item, false) : item.children.length && go(shown[at + 1])),
      ArrowLeft: () => (item.children.length && !isClosed ? toggle(item, true) : go(item.parent)),
    };
    if (!(event.key in acts)) return;
    event.preventDefault();
    acts[event.key]();
  });

  return {
    node,
    update({ spans }) {
      const hadFocus = tree.contains(document.activeElement);
      const isSame = spans.some((span) => span.span_id === chosen);
      tree.replaceChildren();
      rows.clear();
      all = nested(spans);
      total = Math.max(1e-6, ...spans.map((span) => span.start_ms + (span.duration_ms ?? 0)));
      if (!isSame) {
        chosen = null;
        collapsed.clear();
        most = MOST_AT_FIRST;
        details.replaceChildren();
      }
      const failed = spans.filter((span) => span.failed).length;
      setText(facts, spans.length ? `${spans.length} spans, ${failed} failed, ${format.whole(format.duration(total))}` : "");
      scale.replaceChildren(
        ...SCALE_PARTS.map((part) => el("span", {}, format.whole(format.duration(part * total)))),
      );
      empty.hidden = spans.length > 0;
      scale.hidden = tree.hidden = spans.length === 0;
      show();
      if (hadFocus) tree.querySelector('[tabindex="0"]')?.focus();
    },
    choose(id) {
      const item = all.find(({ span }) => span.span_id === id);
      if (!item || id === chosen) return;
      reveal(item);
      detail(item);
      rows.get(item).node.scrollIntoView({ block: "nearest" });
    },
    redraw() {},
  };
}

/** The spans as a tree in reading order. What names a parent that is not here stands at its top. */
function nested(spans) {
  const items = new Map();
  for (const span of spans) {
    items.set(span.span_id, { span, depth: 0, parent: null, children: [], isOrphan: false });
  }
  for (const item of items.values()) {
    const parent = items.get(item.span.parent_id);
    if (parent && !leadsTo(parent, item)) {
      item.parent = parent;
      parent.children.push(item);
    } else item.isOrphan = Boolean(item.span.parent_id);
  }
  const byStart = (a, b) => a.span.start_ms - b.span.start_ms;
  const ordered = [];
  const waiting = [...items.values()].filter((item) => !item.parent).sort(byStart).reverse();
  while (waiting.length) {
    const item = waiting.pop();
    item.depth = item.parent ? item.parent.depth + 1 : 0;
    ordered.push(item);
    waiting.push(...item.children.sort(byStart).reverse());
  }
  return ordered;
}

/** Whether `item` is what `from` comes of: spans are another's input, and may name each other. */
function leadsTo(from, item) {
  for (let at = from; at; at = at.parent) if (at === item) return true;
  return false;
}

function createRow(item, total, { choose, toggle }) {
  const { span, depth } = item;
  const took = format.duration(span.duration_ms, "the span has not ended");
  const opener = el("span", { class: "waterfall-opener", "aria-hidden": "true" });
  const name = el("span", { class: "waterfall-name", title: span.name }, span.name);
  const label = el("span", { class: "waterfall-label" }, opener, name);
  const bar = el("span", { class: "waterfall-bar" });
  const time = el("span", { class: "waterfall-time" }, format.whole(took));
  if (span.failed) label.insertBefore(el("span", { class: "waterfall-failed", title: "failed" }, "✕"), name);
  const node = el(
    "div", { class: "waterfall-row", role: "treeitem", "aria-level": String(depth + 1) },
    label, el("span", { class: "waterfall-track" }, bar), time,
  );
  node.classList.toggle("failed", Boolean(span.failed));
  label.style.paddingLeft = `${Math.min(depth, MOST_INDENT) * 14}px`;
  const share = Math.max(LEAST_SHARE, (span.duration_ms ?? 0) / total);
  bar.style.left = `${Math.min(1 - LEAST_SHARE, Math.max(0, span.start_ms / total)) * 100}%`;
  bar.style.width = `${Math.min(1, share) * 100}%`;
  const said = [span.name, span.failed ? "failed" : "", `${format.whole(took)} from ${format.whole(format.duration(span.start_ms))}`];
  node.setAttribute("aria-label", said.filter(Boolean).join(", "));
  node.addEventListener("click", (event) => {
    if (opener.contains(event.target)) toggle(item);
    choose(item);
  });
  return {
    node,
    update(isClosed) {
      const has = item.children.length > 0;
      setText(opener, has ? (isClosed ? "▸" : "▾") : "");
      setAttribute(node, "aria-expanded", has ? String(!isClosed) : null);
    },
  };
}

function detailsOf({ span, isOrphan }, links) {
  const facts = [
    ["Kind", span.kind],
    ["Began", `${format.whole(format.duration(span.start_ms))} after the trace's start`],
    ["Took", format.whole(format.duration(span.duration_ms, "the span has not ended"))],
    ["Correlation", span.correlation_id],
    ["Thread", span.thread_name],
    ["Kept because", span.decision],
    ["Span", span.span_id],
    ["Parent", span.parent_id && `${span.parent_id}${isOrphan ? ", which is not here" : ""}`],
  ];
  const parts = [el("h3", {}, span.name)];
  if (span.failed) parts.push(el("p", { class: "alarming" }, `✕ Failed: ${textOf(span.error ?? "no error is named")}`));
  if (links.length) parts.push(el("p", { class: "waterfall-links" }, ...links.flatMap((link) => [link, " "])));
  parts.push(list(facts.filter(([, value]) => value)));
  const attributes = Object.entries(span.attributes ?? {});
  if (attributes.length) parts.push(el("h4", {}, "Attributes"), list(attributes));
  for (const event of span.events ?? []) {
    parts.push(
      el("h4", {}, `${event.name}, at ${format.whole(format.duration(event.at_ms))}`),
      list(Object.entries(event.attributes ?? {})),
    );
  }
  return parts;
}

const list = (facts) =>
  el("dl", { class: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, textOf(value))]));

const textOf = (value) => (typeof value === "string" ? value : JSON.stringify(value));
