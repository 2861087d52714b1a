// One trace as it ran: its spans under one another, and where its log is.

import { el, setText } from "../dom.js";
import { createWaterfall } from "../draw/waterfall.js";
import { createNotice } from "./cards.js";
import { textOf } from "./operations-chosen.js";
import { createCopy } from "./tails-copy.js";
import { timeToTheMs } from "./tails-time.js";

const HAS_HOLES = "It was not drawn by chance but kept for what was slow or failed: what was neither is not in it.";

const WRITE_MS = 300; // an address that changes with each key is more than browsers allow

/** onSpan(id): one of its spans is chosen; onClose(): the trace is left. */
export function createTrace(page, { onClose, onSpan }) {
  const heading = el("h2", { id: "trace-title" });
  const hint = el("p", { class: "hint" });
  const links = el("p", { class: "tail-links" });
  const close = el("button", { type: "button", class: "button" }, "Close the trace");
  const copy = createCopy("Copy link", () => page.address.of("traces", { trace: id, ...(span && { span }) }));
  const notice = createNotice();
  const note = el("p", { class: "hint" });
  const spans = createWaterfall({
    title: "Spans",
    linksOf: (one) => linksOfSpan(page, one),
    onChoose(one) {
      span = one;
      clearTimeout(timer);
      timer = setTimeout(() => {
        timer = 0;
        onSpan(one);
      }, WRITE_MS);
    },
  });
  const node = el(
    "section", { class: "card trace-view", "aria-labelledby": "trace-title" },
    el("div", { class: "card-head" }, heading, hint, links, copy, close),
    notice.node, spans.node, note,
  );
  node.hidden = true;
  close.addEventListener("click", onClose);

  let id = null;
  let span = null; // the chosen one
  let timer = 0;
  let turn = 0;
  let known = 0; // how many spans of it are shown
  let isLeft = false;

  const look = async () => {
    const mine = (turn += 1);
    const found = await page.ask(`traces/${encodeURIComponent(id)}`, {});
    if (mine !== turn || isLeft) return;
    // What is shown stays, though it is kept there no more.
    if (!found.ok && known > 0) return;
    notice.say(found.ok ? "" : `The trace cannot be shown: ${found.why}.`);
    spans.node.hidden = !found.ok;
    if (found.ok) show(found.data);
  };

  const show = (trace) => {
    const isFirst = known === 0;
    known = trace.spans.length;
    const here = new Set(trace.spans.map((span) => span.span_id));
    const first = trace.spans.find((span) => !here.has(span.parent_id)) ?? trace.spans[0];
    const correlations = [...new Set(trace.spans.map((span) => span.correlation_id).filter(Boolean))];
    setText(heading, first.name);
    setText(hint, `began at ${timeToTheMs(trace.start).text}`);
    links.replaceChildren(...linksOf(page, trace.trace_id, correlations));
    setText(note, trace.spans.some((span) => span.decision === "sampled") ? "" : HAS_HOLES);
    note.hidden = note.textContent === "";
    spans.update(trace);
    if (span) spans.choose(span);
    if (isFirst) node.scrollIntoView({ block: "nearest" });
  };

  return {
    node,
    /** Show the trace of this id, or none with null, and one of its spans. */
    choose(wanted, wantedSpan) {
      if (wanted === id) {
        if (wantedSpan && wantedSpan !== span && !timer) spans.choose((span = wantedSpan));
        return;
      }
      clearTimeout(timer);
      timer = 0;
      id = wanted;
      span = wantedSpan;
      turn += 1;
      known = 0;
      setText(heading, "The trace");
      setText(hint, "");
      links.replaceChildren();
      note.hidden = true;
      notice.say("");
      spans.node.hidden = true;
      spans.update({ spans: [] });
      if (id !== null) look();
    },
    /** What the list says now: a trace that goes on has more spans than are shown. */
    learn(traces) {
      const listed = traces.find((trace) => trace.trace_id === id);
      if (listed && listed.spans !== known) look();
    },
    redraw: () => spans.redraw(),
    leave() {
      isLeft = true;
      clearTimeout(timer);
    },
  };
}

const MOST_CORRELATIONS = 3;

function linksOf(page, trace, correlations) {
  const shown = correlations.slice(0, MOST_CORRELATIONS);
  return [
    el("a", { href: page.address.of("logs", { trace_id: trace }) }, "Its log"),
    ...shown.flatMap((id) => [
      el("a", { href: page.address.of("logs", { correlation_id: id }) }, `Log of ${id}`),
      el("a", { href: page.address.of("traces", { correlation_id: id }) }, `Traces of ${id}`),
    ]),
  ];
}

function linksOfSpan(page, { attributes, correlation_id: correlation }) {
  const kind = attributes["metal.operation.kind"];
  const name = attributes["metal.operation.name"];
  const links = [];
  if (typeof kind === "string" && typeof name === "string") {
    const operation = textOf({ kind, name, device: attributes["metal.device.name"] ?? "" });
    links.push(el("a", { href: page.address.of("operations", { operation }) }, "The operation over time"));
  }
  if (correlation) links.push(el("a", { href: page.address.of("logs", { correlation_id: correlation }) }, `Log of ${correlation}`));
  return links;
}
