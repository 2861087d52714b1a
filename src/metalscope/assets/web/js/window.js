// The time that is looked at: the last so many seconds, which go on, or a window that is over.

export const RANGES = [
  { name: "1m", label: "1 min", seconds: 60 },
  { name: "5m", label: "5 min", seconds: 300 },
  { name: "15m", label: "15 min", seconds: 900 },
  { name: "1h", label: "1 h", seconds: 3600 },
  { name: "6h", label: "6 h", seconds: 21_600 },
  { name: "24h", label: "24 h", seconds: 86_400 },
  { name: "7d", label: "7 d", seconds: 604_800 },
];
const DEFAULT = RANGES[1];
const MOST_STEPS = 900;
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400];
const SHORTEST = 10;

/** What is compared with: the same span so many seconds before. */
export const COMPARISONS = [
  { name: "", label: "Nothing" },
  { name: "previous", label: "The span before" },
  { name: "1h", label: "An hour before", seconds: 3600 },
  { name: "1d", label: "The day before", seconds: 86_400 },
  { name: "7d", label: "The week before", seconds: 604_800 },
];

/** Steps that make at most MOST_STEPS values of so many seconds. */
export function stepOf(seconds) {
  const least = seconds / MOST_STEPS;
  return STEPS.find((step) => step >= least) ?? Math.ceil(least / 86_400) * 86_400;
}

/** {seconds, isLive, since, until, step} of an address; since and until are whole steps. */
export function windowOf(params, now) {
  const since = Number(params.get("since"));
  const until = Number(params.get("until"));
  if (params.has("since") && until - since >= SHORTEST) {
    const step = stepOf(until - since);
    return { isLive: false, seconds: until - since, step, ...aligned(since, until, step) };
  }
  const { seconds } = rangeOf(params);
  const step = stepOf(seconds);
  return { isLive: true, seconds, step, ...aligned(now - seconds, now, step) };
}

export function rangeOf(params) {
  return RANGES.find((range) => range.name === params.get("range")) ?? DEFAULT;
}

function aligned(since, until, step) {
  return { since: Math.floor(since / step) * step, until: Math.ceil(until / step) * step };
}

/** {seconds, label} of what is compared with; null where nothing is. */
export function comparisonOf(params, window) {
  const found = COMPARISONS.find((one) => one.name && one.name === params.get("compare"));
  if (!found) return null;
  const seconds = found.seconds ?? window.until - window.since;
  // Whole steps, so that the two lie upon each other.
  return { label: found.label.toLowerCase(), seconds: Math.ceil(seconds / window.step) * window.step };
}
