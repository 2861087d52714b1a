// What stands behind a status: anomalies, circuit breakers, predictions, health events.

import { createTable } from "../draw/table.js";
import { el, keyedList, setAttribute, setText } from "../dom.js";
import * as format from "../format.js";
import { createCard } from "./cards.js";

const EVENTS_SHOWN = 30;
const SEVERITY_SIGN = { low: "·", medium: "!", high: "!!", critical: "✕" };
const SEVERITY_STATUS = { low: "unknown", medium: "degraded", high: "degraded", critical: "critical" };
const STATE_SIGN = { closed: "✓", half_open: "!", open: "✕" };
const STATE_WORD = { closed: "closed", half_open: "on trial", open: "open" };

/** A list in a card, with a sentence where it is empty. */
function createList(title, sentence, keyOf, make) {
  const list = el("ul", { class: "findings" });
  const empty = el("p", { class: "quiet" }, sentence);
  const card = createCard(title, list, empty);
  const update = keyedList(list, keyOf, make);
  return {
    ...card,
    update(items) {
      empty.hidden = items.length > 0;
      list.hidden = items.length === 0;
      update(items);
    },
  };
}

/** A finding: how grave, what, when, and why. */
function createFinding() {
  const badge = el("span", { class: "badge severity", "aria-hidden": "true" });
  const what = el("strong");
  const grave = el("span", { class: "visually-hidden" });
  const when = el("span", { class: "quiet" });
  const why = el("p", { class: "why" });
  const more = el("p", { class: "meter-note" });
  const head = el("p", { class: "finding-head" }, what, grave, " ", when);
  const node = el("li", { class: "finding" }, badge, head, why, more);
  return {
    node,
    show(finding) {
      setAttribute(badge, "data-status", SEVERITY_STATUS[finding.severity] ?? "unknown");
      setText(badge, SEVERITY_SIGN[finding.severity] ?? "·");
      setText(grave, finding.severity ? `, severity ${finding.severity}` : "");
      setText(what, finding.what);
      setText(when, finding.when);
      setText(why, finding.why);
      setText(more, finding.more ?? "");
      for (const part of [why, more]) part.hidden = part.textContent === "";
    },
  };
}

const moment = (text) => format.moment(new Date(text));

export function createAnomalies() {
  const keyOf = ({ detector, kind, subject }) => JSON.stringify([detector, kind, subject]);
  const list = createList("Anomalies", "Nothing is out of the ordinary.", keyOf, () => {
    const { node, show } = createFinding();
    return { node, update: (anomaly) => show(anomalyText(anomaly)) };
  });
  return { node: list.node, draw: ({ anomalies }) => list.update(anomalies) };
}

function anomalyText({ kind, component, subject, severity, since, reason, cause, value, expected, unit, detector }) {
  const figures = [
    value !== null && `seen ${format.whole(format.figure(value, unit))}`,
    expected !== null && `before ${format.whole(format.figure(expected, unit))}`,
    cause && `cause: ${cause}`,
    detector && `found by ${detector}`,
  ];
  return {
    severity,
    what: `${sentenceCase(format.words(kind))} · ${subject || component}`,
    when: `${severity}, since ${moment(since)}`,
    why: reason,
    more: figures.filter(Boolean).join(" · "),
  };
}

const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);

export function createPredictions(page) {
  const keyOf = ({ kind, subject }) => JSON.stringify([kind, subject]);
  const list = createList("What is to be expected", "Nothing is predicted.", keyOf, () => {
    const { node, show } = createFinding();
    return { node, update: (prediction) => show(predictionText(prediction)) };
  });
  const link = el("a", { class: "card-link" }, "Forecasts");
  list.head.append(link);
  return {
    node: list.node,
    draw({ predictions }) {
      setAttribute(link, "href", page.address.of("forecasts"));
      list.update(predictions);
    },
  };
}

function predictionText({ kind, subject, message, at, earliest, latest, confidence, evidence }) {
  const within =
    earliest !== null &&
    (latest === null ? `from ${moment(earliest)} on, or not at all` : `between ${moment(earliest)} and ${moment(latest)}`);
  const sure = confidence !== null && `with a probability of ${format.whole(format.share(confidence))}`;
  return {
    severity: kind === "load" ? "low" : "medium",
    what: `${sentenceCase(format.words(kind))} · ${subject}`,
    when: at === null ? "" : `at ${moment(at)}`,
    why: message,
    more: [[within, sure].filter(Boolean).join(" "), ...evidence].filter(Boolean).join(" · "),
  };
}

export function createHealthEvents(page) {
  const keyOf = (event) => event.sequence;
  const list = createList("Latest health events", "Health has not changed.", keyOf, () => {
    const { node, show } = createFinding();
    return { node, update: (event) => show(eventText(event)) };
  });
  const link = el("a", { class: "card-link" }, "Events");
  list.head.append(link);
  return {
    node: list.node,
    draw({ events }) {
      setAttribute(link, "href", page.address.of("events"));
      list.update(events.slice(-EVENTS_SHOWN).toReversed());
    },
  };
}

function eventText({ timestamp, kind, severity, message, component }) {
  return {
    severity,
    what: [sentenceCase(format.words(kind)), component].filter(Boolean).join(" · "),
    when: `${severity}, ${moment(timestamp)}`,
    why: message,
  };
}

export function createBreakers() {
  const numeric = (id, label, title) => ({
    id, label, title, numeric: true, cell: (row) => format.count(row[id]), sort: (row) => row[id],
  });
  const table = createTable({
    caption: "Each circuit breaker",
    columns: [
      { id: "name", label: "Name", cell: (row) => row.name, sort: (row) => row.name },
      { id: "state", label: "State", cell: (row) => stateOf(row), sort: (row) => row.state },
      { id: "since", label: "Since", cell: (row) => momentOr(row.since, "since the start"), sort: (row) => row.since },
      { id: "component", label: "Component", cell: (row) => row.component ?? format.absent("it names none") },
      numeric("failures", "Failures", "Failures in a row just now"),
      numeric("calls", "Calls"),
      numeric("opened", "Opened", "How often it opened"),
      numeric("rejected", "Refused", "Calls it refused"),
      { id: "retry_at", label: "Next trial", cell: (row) => momentOr(row.retry_at, "it is not open") },
      { id: "last_error", label: "Last error", cell: (row) => row.last_error || format.absent("none has failed") },
    ],
    sortBy: "name",
    key: (row) => row.name,
    emptyText: "The program uses no circuit breaker.",
  });
  const card = createCard("Circuit breakers", table.node);
  return { node: card.node, draw: ({ breakers }) => table.update(breakers) };
}

const stateOf = ({ state }) => `${STATE_SIGN[state] ?? "?"} ${STATE_WORD[state] ?? format.words(state)}`;
const momentOr = (text, why) => (text ? { text: moment(text) } : format.absent(why));
