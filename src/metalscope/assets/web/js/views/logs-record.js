// A record of the log: one line, which opens to all that is known of it.

import { el } from "../dom.js";
import { createCopy } from "./tails-copy.js";
import { lineOf, textOf, timeToTheMs } from "./tails-time.js";

/** Shape and word say it; colour only says it again. */
export const SEVERITIES = [
  { name: "debug", sign: "·" },
  { name: "info", sign: "○" },
  { name: "warning", sign: "!" },
  { name: "error", sign: "✕" },
  { name: "critical", sign: "◆" },
];
const SIGNS = new Map(SEVERITIES.map(({ name, sign }) => [name, sign]));
const MOST_FIELDS = 12;
const OWN_EVENT = "metal.event.properties";
let numbered = 0;

/** onOpen(isOpen, node) is told when the row is opened or closed. Gives {node, button, isOpen()}. */
export function createRecord(page, record, onOpen) {
  const time = timeToTheMs(record.timestamp);
  const id = `record-${(numbered += 1)}`;
  const button = el(
    "button",
    { type: "button", class: "log-line", "aria-expanded": "false", tabIndex: -1 },
    el("time", { datetime: record.timestamp, title: record.timestamp }, time.text),
    " ",
    createSeverity(record.severity),
    " ",
    createSaid(record),
  );
  const node = el("li", { class: "log-row", data: { severity: record.severity } }, button);
  node.classList.toggle("other-day", time.isOtherDay);
  if (record.correlation_id) node.append(createShort(page, record));
  let details = null;

  button.addEventListener("click", () => {
    const isOpen = details === null;
    if (isOpen) {
      details = el("div", { class: "log-details", id }, ...detailsOf(page, record));
      node.append(details);
    } else {
      details.remove();
      details = null;
    }
    button.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) button.setAttribute("aria-controls", id);
    else button.removeAttribute("aria-controls");
    onOpen(isOpen, node);
  });
  return { node, button, isOpen: () => details !== null };
}

function createSeverity(severity) {
  const sign = el("span", { class: "log-sign", "aria-hidden": "true" }, SIGNS.get(severity) ?? "?");
  return el("span", { class: "log-severity" }, sign, severity);
}

function createSaid({ body, attributes, exception }) {
  const said = el("span", { class: "log-said" }, el("span", { class: "log-body" }, lineOf(body, 400)));
  const fields = lineOfFields(attributes);
  if (exception) said.append(" ", el("span", { class: "log-error" }, lineOf(`${exception.type}: ${exception.message}`)));
  if (fields) said.append(" ", el("span", { class: "log-fields" }, fields));
  return said;
}

// What metalscope adds to its own events their sentence has said already.
function lineOfFields(attributes) {
  const own = attributes[OWN_EVENT];
  const all = { ...attributes, ...(own && typeof own === "object" && own) };
  const told = Object.entries(all).filter(([name]) => !name.startsWith("metal.") && name !== "error.type");
  return told.slice(0, MOST_FIELDS).map(([name, value]) => `${name}=${lineOf(value, 80)}`).join("  ");
}

// For the mouse alone: by keys the same is reached in the opened row.
function createShort(page, { correlation_id: id }) {
  const href = page.address.of("logs", { correlation_id: id });
  return el("a", { class: "log-correlation", href, tabIndex: -1, title: `All records of ${id}` }, id);
}

function detailsOf(page, record) {
  const parts = [el("p", { class: "log-whole" }, record.body)];
  const { exception } = record;
  if (exception) {
    parts.push(el("h3", {}, "Exception"), el("p", { class: "log-whole alarming" }, `✕ ${exception.type}: ${exception.message}`));
    if (exception.stacktrace) {
      parts.push(el("pre", { class: "log-stack", tabindex: "0", role: "region", "aria-label": "Stack" }, exception.stacktrace));
    }
  }
  const attributes = Object.entries(record.attributes).map(([name, value]) => [name, textOf(value)]);
  const part = (title, facts) => el("div", {}, el("h3", {}, title), list(facts));
  parts.push(
    el(
      "div", { class: "log-parts" },
      ...(attributes.length ? [part("Attributes", attributes)] : []),
      part("Record", factsOf(page, record)),
    ),
  );
  return parts;
}

function factsOf(page, record) {
  const { correlation_id: correlation, trace_id: trace, span_id: span } = record;
  const link = (text, view, params) => el("a", { href: page.address.of(view, params) }, text);
  const facts = [["Time", record.timestamp], ["Severity", record.severity], ["Event", record.event], ["Logger", record.logger]];
  if (correlation) {
    const copy = createCopy("Copy link", () => page.address.of("logs", { correlation_id: correlation }));
    facts.push([
      "Correlation",
      [link(correlation, "logs", { correlation_id: correlation }), link("its traces", "traces", { correlation_id: correlation }), copy],
    ]);
  }
  if (trace) {
    facts.push(["Trace", [link(trace, "traces", { trace, ...(span && { span }) }), link("its records", "logs", { trace_id: trace })]]);
  }
  facts.push(["Span", span], ["Thread", record.thread], ["Number", String(record.sequence)]);
  return facts.filter(([, value]) => value);
}

const list = (facts) =>
  el(
    "dl",
    { class: "facts log-facts" },
    ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, ...(Array.isArray(value) ? spaced(value) : [value]))]),
  );

const spaced = (nodes) => nodes.flatMap((node, n) => (n ? [" ", node] : [node]));
