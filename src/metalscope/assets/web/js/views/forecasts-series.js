// Which series a forecast can be drawn of, and what they are called.

import * as format from "../format.js";
import { labelOfLine } from "../timelines.js";

const USUAL_MEMORY = 5;
const STILL = new Set(["level"]); // a state is no amount

const rate = {
  value: (number) => format.rate(number, "nothing is known of this moment"),
  axis: (number) => ({ text: format.significant(number) }),
};
const duration = { value: (number) => format.duration(number, "nothing ran in this time") };

/** Of operations together; they are there always. */
const OF_OPERATIONS = [
  { id: "operations", title: "Operations per second", wanted: { measure: "operations" }, ...rate },
  { id: "errors", title: "Errors per second", wanted: { measure: "errors" }, ...rate },
  { id: "duration", title: "Mean duration", wanted: { measure: "duration_ms" }, ...duration },
  { id: "p95", title: "p95 of durations", wanted: { measure: "p95_ms" }, ...duration },
];

/** All series, by the lines of readings that there are. The id of a reading's is that of predictions. */
export function seriesOf(lines) {
  const readings = lines
    .filter((line) => !STILL.has(line.unit) && line.values.some(Number.isFinite))
    .map(seriesOfReading)
    .sort((a, b) => (a.title < b.title ? -1 : 1));
  return [...OF_OPERATIONS, ...readings];
}

function seriesOfReading(line) {
  const { kind, name, device, host, unit, ceiling } = line;
  const value = (number) =>
    number === null ? format.absent("no reading at this moment") : format.reading(kind, unit, number);
  return {
    id: [kind, name, device, host].filter(Boolean).join(":"),
    title: `${sentenceCase(format.words(kind))}: ${labelOfLine(line)}`,
    wanted: { measure: "resource", kind, name, device, ...(host && { host }) },
    value,
    axis: value,
    binary: unit === "bytes",
    ceiling,
    kind,
  };
}

const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** What is offered: all of them, the usual ones first. */
export const optionsOf = (known) => [["", "Load and memory"], ...known.map(({ id, title }) => [id, title])];

/** Those that are wanted; where none is named, load, and memory with a limit before that without. */
export function shownOf(known, id) {
  if (id) return known.filter((one) => one.id === id);
  const memory = known.filter(({ kind }) => kind === "memory" || kind === "host_memory");
  memory.sort((a, b) => (b.ceiling > 0) - (a.ceiling > 0) || (b.kind === "memory") - (a.kind === "memory"));
  return [OF_OPERATIONS[0], ...memory.slice(0, USUAL_MEMORY)];
}
