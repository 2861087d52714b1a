// One alert: a line that opens, and what can be done about it.

import { createButtons } from "./alert-buttons.js";
import { el, keyedList, setText, show } from "./dom.js";
import * as format from "./format.js";

const SIGN = { critical: "✕", high: "▲", medium: "!", low: "i" };

/**
 * {node, update({alert, now, canChange, active}), open()}: now is a time in ms, active are the
 * alerts among which the one that explains this one is named.
 */
export const createAlert = () => createAlertWith(createButtons());

/** The same with buttons of the caller's. */
export function createAlertWith(buttons) {
  const line = createLine();
  const body = createBody();
  const details = el("details", {}, line.node, body.node);
  const node = el("li", { class: "alert" }, details, buttons.node);
  const update = ({ alert, now, canChange = false, active = [] }) => {
    node.dataset.severity = alert.severity;
    node.dataset.state = alert.state;
    line.update(alert, now);
    body.update(alert, active);
    buttons.update(alert, canChange);
  };
  const open = () => {
    details.open = true;
    node.scrollIntoView({ block: "center" });
    line.node.focus();
  };
  return { node, update, open };
}

function createLine() {
  const sign = el("span", { class: "badge", "aria-hidden": "true" });
  const severity = el("span", { class: "severity" });
  const title = el("span", { class: "alert-title" });
  const facts = el("span", { class: "alert-facts" });
  const marks = el("span", { class: "marks" });
  const updateMarks = keyedList(marks, (text) => text, createMark);
  const text = el("span", { class: "alert-text" }, title, " ", facts, " ", marks);
  const node = el("summary", {}, sign, severity, text);
  const update = (alert, now) => {
    setText(sign, SIGN[alert.severity] ?? "?");
    setText(severity, alert.severity);
    setText(title, alert.title);
    setText(facts, factsOf(alert, now));
    updateMarks(marksOf(alert));
  };
  return { node, update };
}

function createMark(text) {
  return { node: el("span", { class: "mark" }, text), update: () => {} };
}

function factsOf(alert, now) {
  const since = Date.parse(alert.fired_at ?? alert.active_since);
  const until = alert.resolved_at ? Date.parse(alert.resolved_at) : now;
  const length = format.span((until - since) / 1000);
  const parts = alert.resolved_at
    ? [`over since ${format.moment(new Date(until))}`, `fired for ${length}`]
    : [`${alert.state} for ${length}`];
  if (alert.value !== null && alert.value !== undefined) {
    parts.push(`value ${format.figure(alert.value, "").text}`);
  }
  return parts.join(" · ");
}

function marksOf(alert) {
  const marks = [];
  if (alert.acknowledged) marks.push(`acknowledged by ${alert.acknowledged.by}`);
  if (alert.silenced_by.length) marks.push("silenced");
  if (alert.inhibited_by.length) marks.push("explained by another");
  if (alert.flapping) marks.push("flapping");
  return marks;
}

function createBody() {
  const parts = {
    description: el("p", { class: "alert-description" }),
    facts: el("dl", { class: "facts" }),
    actions: section("What to do", "ol"),
    operations: section("Operations concerned", "ul"),
    traces: section("Traces", "ul", (id) => `#/traces?trace=${encodeURIComponent(id)}`),
    correlations: section("Correlation ids", "ul", (id) => `#/logs?correlation_id=${encodeURIComponent(id)}`),
    links: el("p", { class: "alert-links" }),
  };
  parts.traces.node.classList.add("mono");
  parts.correlations.node.classList.add("mono");
  const node = el("div", { class: "alert-body" }, ...Object.values(parts).map((part) => part.node ?? part));
  const updateFacts = keyedList(parts.facts, ({ label }) => label, createFact);
  const updateLinks = keyedList(parts.links, ({ address }) => address, createLink);
  const update = (alert, active) => {
    setText(parts.description, alert.description);
    parts.description.hidden = !alert.description;
    updateFacts(factList(alert, active));
    parts.actions.update(alert.actions);
    parts.operations.update(alert.evidence.operations);
    parts.traces.update(alert.evidence.trace_ids);
    parts.correlations.update(alert.evidence.correlation_ids);
    const links = linksOf(alert);
    updateLinks(links);
    parts.links.hidden = links.length === 0;
  };
  return { node, update };
}

/** Texts below a heading; addressOf(text) gives where one leads. */
function section(heading, tag, addressOf = null) {
  const list = el(tag);
  const node = el("section", {}, el("h3", {}, heading), list);
  const updateItems = keyedList(list, ({ index }) => index, () => createItem(addressOf));
  const update = (texts) => {
    node.hidden = texts.length === 0;
    updateItems(texts.map((text, index) => ({ index, text })));
  };
  return { node, update };
}

function createItem(addressOf) {
  const place = el(addressOf ? "a" : "span");
  const node = el("li", {}, place);
  const update = ({ text }) => {
    setText(place, text);
    if (addressOf) place.href = addressOf(text);
  };
  return { node, update };
}

function factList(alert, active) {
  const explained = alert.inhibited_by.map((fingerprint) => {
    const other = active.find((one) => one.fingerprint === fingerprint);
    return other ? other.title : fingerprint;
  });
  const { acknowledged } = alert;
  const labels = Object.entries(alert.labels).map(([name, value]) => `${name}=${value}`);
  return [
    ["Rule", alert.rule],
    ["Component", alert.component],
    ["Labels", labels.join(", ")],
    ["Began", timeText(alert.active_since)],
    ["Fired", timeText(alert.fired_at)],
    ["Over", alert.resolved_at && `${timeText(alert.resolved_at)}: ${alert.resolution || "resolved"}`],
    ...alert.evidence.figures.map(({ name, value, unit }) => [
      name,
      format.whole(format.figure(value, unit)),
    ]),
    [
      "Acknowledged",
      acknowledged && [`${acknowledged.by}, ${timeText(acknowledged.at)}`, acknowledged.comment].filter(Boolean).join(": "),
    ],
    ["Silenced by", alert.silenced_by.join(", ")],
    ["Explained by", explained.join(", ")],
  ]
    .filter(([, text]) => text)
    .map(([label, text]) => ({ label, text }));
}

const timeText = (text) => text && format.moment(new Date(text));

// The two columns of a fact are one part of the list: a div may group them.
function createFact({ label }) {
  const value = el("dd");
  const node = el("div", { class: "fact" }, el("dt", {}, label), value);
  return { node, update: ({ text }) => show(value, { text }) };
}

function linksOf(alert) {
  return [
    ["Runbook", alert.runbook],
    // This page itself, by whichever of its names, is no place to go.
    ["Dashboard", alert.link.endsWith(`#alert=${alert.id}`) ? "" : alert.link],
  ]
    .map(([label, address]) => ({ label, address: webAddress(address) }))
    .filter(({ address }) => address);
}

/** Nothing but a web page. */
function webAddress(text) {
  try {
    const url = new URL(text);
    return ["http:", "https:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

function createLink({ label, address }) {
  const node = el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label);
  return { node, update: () => {} };
}
