// One shape for all that happens: {key, t, kind, sign, isBad, title, text, facts, correlations, traces}.

import * as format from "../format.js";

export const KINDS = {
  custom: { word: "event", words: "Events" },
  health: { word: "health", words: "Health" },
  alert: { word: "alert", words: "Alerts" },
};

const SIGN = { critical: "✕", high: "▲", medium: "!", low: "i" };
const BAD = new Set(["high", "critical"]);
const MOST_IDS = 5;

const moment = (text) => Date.parse(text) / 1000;
const plain = (value) => (typeof value === "string" ? value : JSON.stringify(value));
const listed = (properties) => Object.entries(properties).map(([name, value]) => `${name}=${plain(value)}`);

export function customEntry({ sequence, timestamp, name, properties, correlation_id: correlation, trace_id: trace }) {
  return {
    key: `custom ${sequence}`,
    t: moment(timestamp),
    kind: "custom",
    sign: "•",
    severity: "",
    isBad: false,
    title: name,
    text: "",
    facts: listed(properties),
    correlations: correlation ? [correlation] : [],
    traces: trace ? [trace] : [],
  };
}

export function healthEntry({ sequence, timestamp, kind, severity, message, component }) {
  return {
    key: `health ${sequence}`,
    t: moment(timestamp),
    kind: "health",
    sign: SIGN[severity] ?? "•",
    severity,
    isBad: BAD.has(severity),
    title: [format.words(kind), component].filter(Boolean).join(" · "),
    text: message,
    facts: [],
    correlations: [],
    traces: [],
  };
}

/** That it fired, and that it is over. */
export function alertEntries(alert) {
  const { id, rule, severity, title, fired_at: fired, resolved_at: resolved, resolution, evidence } = alert;
  const shared = {
    kind: "alert",
    alert: id,
    facts: [rule],
    correlations: evidence.correlation_ids.slice(0, MOST_IDS),
    traces: evidence.trace_ids.slice(0, MOST_IDS),
  };
  const entries = [];
  if (fired) {
    entries.push({
      ...shared, key: `alert ${id} fired`, t: moment(fired), sign: SIGN[severity] ?? "•", severity,
      isBad: BAD.has(severity), title: `fires: ${title}`, text: "",
    });
  }
  if (resolved) {
    entries.push({
      ...shared, key: `alert ${id} over`, t: moment(resolved), sign: "✓", severity: "over",
      isBad: false, title: `is over: ${title}`, text: resolution, correlations: [], traces: [],
    });
  }
  return entries;
}

/** All that a filter looks at. */
export function textOf({ kind, title, text, severity, facts, correlations, traces }) {
  return [KINDS[kind].word, title, text, severity, ...facts, ...correlations, ...traces].join(" ");
}
