// What happened: the program's own events, those of health, and alerts, in one line of time.

import { ask } from "../changes.js";
import { el, setText } from "../dom.js";
import { createLines } from "../draw/lines.js";
import * as format from "../format.js";
import { RANGES } from "../window.js";
import { createCard } from "./cards.js";
import { alertEntries, customEntry, healthEntry, KINDS, textOf } from "./events-entries.js";
import { createEntries } from "./events-list.js";
import { createField, holds } from "./fields.js";
import { onOneAxis, partsOf } from "../timelines.js";

const MOST_SHOWN = 300;
const MARKS = 40; // what is nearer than this part of the time stands together
const MOST_ALERTS = 200;

export function createView(page) {
  const chart = createLines({
    title: "Operations per second, and what happened",
    value: (number) => format.rate(number, "nothing is known of this moment"),
    axis: (number) => ({ text: format.significant(number) }),
    emptyText: "nothing is known of this time",
    onZoom: (since, until) => page.lookAt(since, until),
  });
  const placeholder = "Filter by text, id, property";
  const filter = createField(page, { name: "filter", label: "Filter events", placeholder });
  const kinds = createKinds(page);
  const entries = createEntries(page);
  const said = el("p", { class: "quiet", role: "status" });
  const wider = el("button", { type: "button", class: "button more" });
  const card = createCard("What happened", entries.node, said, wider);
  card.head.append(kinds.node, filter.node);
  const node = el("div", { class: "view-parts" }, chart.node, card.node);

  let alerts = [];
  let known = null; // which alerts there were when they were last asked for
  let answer = null;
  let stop = null;
  let oldest = 0; // of all that are known and fit, s

  const learnAlerts = async ({ alerts: active }) => {
    const now = active.map(({ id, state }) => `${id} ${state}`).join("\n");
    if (now === known || page.isPaused()) return;
    known = now;
    const found = await ask(`api/v1/alerts/history?limit=${MOST_ALERTS}`);
    if (found.ok) alerts = found.data.alerts;
    page.drawSoon();
  };

  const look = () => {
    filter.look();
    stop?.();
    stop = null;
    answer = null;
    if (page.hasPast) {
      stop = page.follow("past/lines", { measure: "operations" }, (found) => {
        answer = found;
        page.drawSoon();
      });
    }
    page.drawSoon();
  };

  wider.addEventListener("click", () => {
    const ago = page.now() - oldest;
    const range = RANGES.find(({ seconds }) => seconds > ago);
    if (range) page.address.set({ range: range.name, since: null, until: null }, { push: true });
    else page.lookAt(oldest - 60, page.now());
  });

  look();
  return {
    node,
    look,
    draw() {
      const { snapshot, events, alertsOn } = page.state;
      if (snapshot && alertsOn) learnAlerts(snapshot);
      const all = [
        ...events.map(customEntry),
        ...(snapshot?.health.events ?? []).map(healthEntry),
        ...alerts.flatMap(alertEntries),
      ];
      const { since, until } = page.window();
      const fitting = all.filter((entry) => holds(filter.text(), textOf(entry)));
      const within = fitting.filter(({ t }) => t >= since && t <= until);
      const shown = within.filter(({ kind }) => kinds.isOn(kind)).sort((a, b) => b.t - a.t || (a.key < b.key ? 1 : -1));
      kinds.draw(within);
      entries.update(shown.slice(0, MOST_SHOWN));
      drawChart(chart, page, answer, shown);
      const elsewhere = fitting.filter(({ t, kind }) => kinds.isOn(kind) && (t < since || t > until));
      oldest = Math.min(...elsewhere.map(({ t }) => t));
      wider.hidden = elsewhere.length === 0;
      setText(wider, `Show ${elsewhere.length} more of other times`);
      setText(said, sentence(all, shown, snapshot));
      said.hidden = said.textContent === "";
      setText(card.hint, shown.length > MOST_SHOWN ? `the latest ${MOST_SHOWN} of ${shown.length}` : "");
    },
    redraw: chart.redraw,
    leave() {
      stop?.();
      chart.destroy();
    },
  };
}

function sentence(all, shown, snapshot) {
  if (snapshot === null) return "The program has not yet said what happened.";
  if (shown.length > 0) return "";
  if (all.length === 0) return "Nothing has happened yet: no event, no change of health, no alert.";
  return "Nothing that fits happened in this time.";
}

function drawChart(chart, page, answer, entries) {
  const { since, until, isLive } = page.window();
  const marks = marksOf(entries, since, until);
  if (answer?.ok) {
    const comparison = page.comparison();
    const labelOf = (_, isBefore) => (isBefore ? comparison.label : comparison ? "this time" : "operations");
    chart.update({ ...onOneAxis(partsOf(answer, { comparison, labelOf }), { isLive }), since, until, marks });
    return;
  }
  const { t, operations } = page.state.activity;
  chart.update({ t, lines: [{ label: "operations", values: operations }], since, until, marks });
}

function marksOf(entries, since, until) {
  const places = new Map();
  for (const entry of entries) {
    const place = Math.floor(((entry.t - since) / (until - since)) * MARKS);
    places.set(place, [...(places.get(place) ?? []), entry]);
  }
  return [...places.values()].map((near) => {
    const first = near.find(({ isBad }) => isBad) ?? near.at(-1);
    const label = near.length > 1 ? `${first.title} +${near.length - 1}` : first.title;
    return { t: first.t, label, bad: first.isBad };
  });
}

/** Which kinds are shown: all, or those that the address names. */
function createKinds(page) {
  const node = el("div", { class: "segments", role: "group", "aria-label": "Kinds" });
  const named = () => page.address.params.get("kinds")?.split(",") ?? Object.keys(KINDS);
  const isOn = (kind) => named().includes(kind);
  const buttons = Object.entries(KINDS).map(([kind, { words }]) => {
    const button = el("button", { type: "button" }, words);
    button.addEventListener("click", () => {
      const next = Object.keys(KINDS).filter((one) => isOn(one) !== (one === kind));
      page.address.set({ kinds: next.length === Object.keys(KINDS).length ? null : next.join(",") || "none" });
    });
    node.append(button);
    return { kind, words, button };
  });
  return {
    node,
    isOn,
    draw(entries) {
      for (const { kind, words, button } of buttons) {
        button.setAttribute("aria-pressed", String(isOn(kind)));
        setText(button, `${isOn(kind) ? "✓ " : ""}${words} ${entries.filter((entry) => entry.kind === kind).length}`);
      }
    },
  };
}
