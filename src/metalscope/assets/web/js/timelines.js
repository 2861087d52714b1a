// Lines of several answers of the past on one axis of time.

import { lineKey } from "./past.js";

const LEAST_UNSETTLED = 3; // steps at the end of which the source may not know yet…
const UNSETTLED_S = 60; // …or so long, since a fleet is scraped but now and then

/**
 * What createLines draws of parts [{label, start, step, values, ...how}]: each at its own time, in
 * steps of the first. What a part knows nothing of is a gap. While time goes on (`isLive`) the last
 * steps are left out until something is known of them; of lines that belong `together`, of all.
 */
export function onOneAxis(parts, { isLive = false, together = false } = {}) {
  const first = parts.find((part) => part.values.length > 0);
  if (!first) return { t: [], lines: parts.map(({ label }) => ({ label, values: [] })) };
  const { start, step } = first;
  const t = first.values.map((_, n) => start + n * step);
  const lines = parts.map((part) => ({ ...part, values: part === first ? [...part.values] : along(t, part) }));
  if (isLive) settle(t, lines, Math.max(LEAST_UNSETTLED, Math.ceil(UNSETTLED_S / step)), together);
  return { t, lines };
}

function settle(t, lines, most, together) {
  const own = lines.filter((line) => !line.dashed);
  let last = t.length;
  const isKnown = (line) => line.values[last - 1] !== null;
  const isSettled = () => (together ? own.every(isKnown) : own.some(isKnown));
  const least = Math.max(0, last - most);
  while (last > least && !isSettled()) {
    last -= 1;
  }
  // Where nothing has been known for longer, that is what is shown.
  if (last === least) return;
  while (t.length > last) {
    t.pop();
    for (const line of lines) line.values.pop();
  }
}

function along(t, { start, step, values }) {
  // Half a thousandth of a step makes good what adding fractions loses.
  return t.map((moment) => values[Math.floor((moment - start) / step + 0.0005)] ?? null);
}

/**
 * The parts of an answer of past/lines, and dashed those of what it is compared with.
 * labelOf(line, isBefore) names them; a part's values are multiplied by `scale`; isCompared(line) is
 * whether what was is drawn of it too.
 */
export function partsOf(
  answer,
  { comparison, labelOf, scale = 1, colourOf = () => undefined, isCompared = () => true },
) {
  if (!answer?.ok) return [];
  const part = (data, line, index, isBefore) => ({
    line,
    label: labelOf(line, isBefore),
    start: data.start,
    step: data.step,
    values: scale === 1 ? line.values : line.values.map((value) => (value === null ? null : value * scale)),
    colourIndex: colourOf(line, index),
  });
  const parts = answer.data.lines.map((line, index) => part(answer.data, line, index, false));
  if (!comparison || !answer.before) return parts;
  // A line and what it was are of one colour.
  const places = new Map(answer.data.lines.map((line, index) => [lineKey(line), index]));
  const before = answer.before.lines
    .filter(isCompared)
    .map((line, index) => part(answer.before, line, places.get(lineKey(line)) ?? index, true));
  return [...parts, ...before.map((one) => ({ ...one, dashed: true, faint: true }))];
}

/** What a line is of, in words. */
export function labelOfLine({ kind, name, device, host }) {
  const what = name ? name.replaceAll("_", " ") : kind || "all operations";
  return [what, device, host].filter(Boolean).join(" · ");
}
