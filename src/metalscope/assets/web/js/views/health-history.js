// What each component's status was, told from the events in which it changed. Events tell of what is
// or was unwell only: between them a component was well, or nothing ran.

import { createStrip } from "./strip.js";

const MOST_EVENTS = 100; // so many of the latest the snapshot holds; of earlier ones nothing is known
const STATUSES = {
  calm: { word: "well or idle", level: 0 },
  degraded: { word: "degraded", level: 1 },
  critical: { word: "critical", level: 3 },
};

export function createHistory() {
  const strip = createStrip({
    title: "Status over time",
    states: STATUSES,
    emptyText: "Nothing is known of this time: it was before the program began, or before the events kept.",
  });
  return {
    node: strip.node,
    draw(page, snapshot) {
      strip.update({ ...page.window(), rows: historyOf(snapshot) });
    },
  };
}

/** Rows of a strip: each component's statuses from the start, or the first event known, until now. */
function historyOf({ health, timestamp, uptime_seconds: uptime }) {
  const now = Date.parse(timestamp) / 1000;
  const [oldest] = health.events;
  const started = now - uptime;
  const since = health.events.length < MOST_EVENTS ? started : Math.max(started, momentOf(oldest));
  return health.components.map(({ component, status }) => {
    const told = health.events.filter((event) => event.kind === "status" && event.component === component);
    return { label: component[0].toUpperCase() + component.slice(1), spans: spansOf(told, status, since, now) };
  });
}

const momentOf = (event) => Date.parse(event.timestamp) / 1000;

function spansOf(events, status, since, now) {
  const spans = [];
  const put = (from, until, state) => {
    if (until > from && state) spans.push({ from, until, state });
  };
  let [from, state] = [since, events.length ? known(events[0].properties.before) : known(status)];
  for (const event of events) {
    put(from, momentOf(event), state);
    [from, state] = [momentOf(event), known(event.properties.status)];
  }
  put(from, now, state);
  return spans;
}

// That nothing ran for a while is told by no event, so that well and unknown cannot be told apart.
const known = (status) => (status === "unknown" || status === "healthy" ? "calm" : status);
