// States over time as a strip: a row for each thing, a piece for each state. A worse state stands
// higher and says its word where it fits; the list below says all of it.

import { el, keyedList, setText } from "../dom.js";
import * as format from "../format.js";

const LETTER = 7.2; // pixels, on average
const MARKS = 4;
const BRIDGED_S = 5; // a sensor reads once a tick, which now and then falls beside a step

/**
 * states: {state: {word, level}}, level 0 (good) to 3 (bad), "none" for a state that says nothing.
 * update({since, until, rows: [{label, spans: [{from, until, state}]}]}), seconds, ascending.
 */
export function createStrip({ title, states, emptyText }) {
  const now = el("p", { class: "hint" });
  const rows = el("div", { class: "strip-rows", "aria-hidden": "true" });
  const axis = el("div", { class: "strip-axis", "aria-hidden": "true" });
  const unknown = el("li", {}, el("span", { class: "strip-swatch dotted", "aria-hidden": "true" }), "not known");
  const legend = el("ul", { class: "legend strip-legend", "aria-label": "States" }, unknown);
  const list = el("ul", { class: "strip-list" });
  const more = el("details", { class: "strip-more" }, el("summary", {}, "As a list"), list);
  const empty = el("p", { class: "quiet" }, emptyText);
  const node = el(
    "figure", { class: "chart strip" },
    el("figcaption", {}, el("span", { class: "chart-title" }, title), now, legend),
    rows, axis, more, empty,
  );
  const updateRows = keyedList(rows, (row) => row.label, (row) => createRow(row, states));
  const updateList = keyedList(list, (item) => item.key, createItem);
  const updateLegend = keyedList(legend, (item) => item.state, createState);
  const updateAxis = keyedList(axis, (mark) => mark.place, createMark);

  return {
    node,
    update({ since, until, rows: given }) {
      const shown = given.map((row) => ({ ...row, spans: within(row.spans, since, until) }));
      const spans = shown.flatMap((row) => row.spans);
      const isEmpty = spans.length === 0;
      empty.hidden = !isEmpty;
      for (const part of [rows, axis, more, legend]) part.hidden = isEmpty;
      const lone = shown.length === 1 ? shown[0].spans.at(-1) : null;
      setText(now, lone ? `${wordOf(states, lone.state)} since ${clock(lone.from)}` : "");
      rows.classList.toggle("lone", shown.length === 1);
      updateRows(shown.map((row) => ({ ...row, since, until })));
      updateAxis(marksOf(since, until));
      const known = new Set(spans.map((span) => String(span.state)));
      updateLegend(
        Object.entries(states)
          .filter(([state]) => known.has(state))
          .map(([state, how]) => ({ state, ...how })),
      );
      if (more.open) updateList(itemsOf(shown, states));
      more.ontoggle = () => more.open && updateList(itemsOf(shown, states));
    },
  };
}

const clock = (t) => format.moment(new Date(t * 1000));
const wordOf = (states, state) => states[state]?.word ?? String(state);

/** Spans of a line's values: like ones together, a gap where nothing is known for a while. */
export function spansOf({ values }, start, step) {
  const spans = [];
  const bridge = Math.max(BRIDGED_S, step);
  for (const [place, value] of values.entries()) {
    if (!Number.isFinite(value)) continue;
    const [from, state] = [start + place * step, Math.round(value)];
    const open = spans.at(-1);
    const goesOn = open && from - open.until <= bridge;
    if (goesOn) open.until = from;
    if (goesOn && open.state === state) open.until = from + step;
    else spans.push({ from, until: from + step, state });
  }
  return spans;
}

function within(spans, since, until) {
  return spans
    .filter((span) => span.until > since && span.from < until)
    .map((span) => ({ ...span, from: Math.max(since, span.from), until: Math.min(until, span.until) }));
}

function createRow({ label }, states) {
  const track = el("div", { class: "strip-track" });
  const node = el("div", { class: "strip-row" }, el("span", { class: "strip-label", title: label }, label), track);
  const updateSpans = keyedList(track, (span) => span.key, () => createSpan(states));
  const update = ({ spans, since, until }) => {
    const width = track.clientWidth;
    updateSpans(
      spans.map((span) => ({
        ...span,
        key: `${span.from <= since ? "first" : span.from} ${span.state}`,
        left: (span.from - since) / (until - since),
        share: (span.until - span.from) / (until - since),
        width: (width * (span.until - span.from)) / (until - since),
      })),
    );
  };
  return { node, update };
}

function createSpan(states) {
  const node = el("span", { class: "strip-span" });
  const update = ({ state, from, until, left, share, width }) => {
    const word = wordOf(states, state);
    node.dataset.level = states[state]?.level ?? "none";
    node.style.left = `${(100 * left).toFixed(3)}%`;
    node.style.width = `max(2px, ${(100 * share).toFixed(3)}%)`;
    node.title = `${word}, ${clock(from)} to ${clock(until)}`;
    setText(node, width > word.length * LETTER + 12 ? word : "");
  };
  return { node, update };
}

function createState({ word, level }) {
  const swatch = el("span", { class: "strip-swatch", "aria-hidden": "true", data: { level: String(level) } });
  return { node: el("li", {}, swatch, word), update: () => {} };
}

function marksOf(since, until) {
  const isLong = until - since >= 86_400;
  return Array.from({ length: MARKS + 1 }, (_, place) => {
    const date = new Date((since + ((until - since) * place) / MARKS) * 1000);
    const isShort = until - since >= 900;
    return { place, text: isLong ? format.moment(date) : isShort ? format.shortClock(date) : format.clock(date) };
  });
}

function createMark({ place }) {
  const node = el("span", { class: place % 2 ? "strip-odd" : null });
  return { node, update: ({ text }) => setText(node, text) };
}

function itemsOf(rows, states) {
  return rows.flatMap(({ label, spans }) =>
    spans.map(({ from, until, state }) => ({
      key: `${label} ${from} ${state}`,
      text: `${label}: ${wordOf(states, state)}, ${clock(from)} to ${clock(until)} (${format.span(until - from)})`,
    })),
  );
}

function createItem() {
  const node = el("li");
  return { node, update: ({ text }) => setText(node, text) };
}
