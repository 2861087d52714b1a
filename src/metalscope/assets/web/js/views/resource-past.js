// What the views of memory, GPU, power and heat ask of the past, and how they draw it.

import { createLines } from "../draw/lines.js";
import * as format from "../format.js";
import { OF_THE_WHOLE } from "../resources.js";
import { lineKey } from "../past.js";
import { onOneAxis, partsOf } from "../timelines.js";

const MOST_LINES = 60;
const WITHOUT_PEAK = new Set(["level", "count", "joules"]);
const CEILING_IN_SIGHT = 0.25; // a ceiling further up than four times what is used would flatten it

/**
 * Follows questions by name, {name: parameters of past/lines}. `answer(name)` is the last answer to
 * one, null before there is any; look() begins anew where there is a past, leave() ends.
 */
export function followReadings(page, questions) {
  const answers = new Map();
  const charts = [];
  let stops = [];
  const stop = () => {
    for (const end of stops) end();
    stops = [];
  };
  const ask = ([name, wanted]) =>
    page.follow("past/lines", { measure: "resource", limit: MOST_LINES, ...wanted }, (answer) => {
      answers.set(name, answer);
      page.drawSoon();
    });
  return {
    /** A chart that ends with the view; see createReadings. */
    chart(how) {
      charts.push(createReadings(page, how));
      return charts.at(-1);
    },
    leave() {
      stop();
      for (const chart of charts.splice(0)) chart.destroy();
    },
    look() {
      stop();
      if (page.hasPast) stops = Object.entries(questions).map(ask);
    },
    answer: (name) => answers.get(name) ?? null,
    /** Why there is nothing to draw; empty where there is. */
    why: () => {
      if (page.about && !page.hasPast) return page.about.why || "no past is kept";
      return [...answers.values()].find((answer) => !answer.ok)?.why ?? "";
    },
    isWaiting: () => page.hasPast && [...Object.keys(questions)].some((name) => !answers.has(name)),
  };
}

/** Of an answer the lines of one kind that hold anything, in an order that stays. */
export function linesOfKind(answer, kind, isWanted = () => true) {
  if (!answer?.ok) return [];
  return ordered(answer.data.lines).filter((line) => line.kind === kind && isWanted(line) && isKnown(line));
}

const isKnown = (line) => line.values.some(Number.isFinite);

function ordered(lines) {
  const by = ({ device, name, host }) => `${device}\u0000${name}\u0000${host}`;
  return [...lines].sort((a, b) => (by(a) < by(b) ? -1 : 1));
}

/** What tells lines of one kind apart, and no more: a device only where two have a line of the name. */
export function labelsOf(lines, whole = "") {
  const devicesOf = new Map();
  for (const { name, device } of lines) {
    if (!devicesOf.has(name)) devicesOf.set(name, new Set());
    devicesOf.get(name).add(device);
  }
  const hosts = new Set(lines.map((line) => line.host)).size > 1;
  const names = devicesOf.size > 1;
  return ({ kind, name, device, host }) => {
    const isWhole = OF_THE_WHOLE.has(name);
    const devices = devicesOf.get(name)?.size > 1;
    // Of many hosts that have one line each the host says it all.
    const said = isWhole ? (hosts ? "" : whole) : hosts && !names ? "" : nameOf(kind, name);
    return [said, devices && device, hosts && host].filter(Boolean).join(" · ") || device || whole;
  };
}

const nameOf = (kind, name) => {
  if (kind === "fan_speed") return `fan ${name}`;
  return kind === "host_memory" && name === "used" ? "host memory" : format.words(name);
};

/** Of a fleet's lines one a host: in each step the highest of its devices and engines. */
export function byHost(lines) {
  const hosts = new Map();
  for (const line of lines) {
    const known = hosts.get(line.host);
    if (!known) hosts.set(line.host, { ...line, name: "host", device: "", values: [...line.values] });
    else known.values = line.values.map((value, step) => higher(value, known.values[step] ?? null));
  }
  return [...hosts.values()];
}

const higher = (a, b) => (a === null ? b : b === null ? a : Math.max(a, b));

/** Whether many hosts are looked at together. */
export const isOfHosts = (page) => page.isFleet && page.host() === "";

/** A chart of readings of one kind in their unit; `whole` names the line of all there is. */
function createReadings(page, { title, kind, unit, emptyText = "no reading in this time", whole, ...how }) {
  const value = (number) =>
    number === null ? format.absent("no reading at this moment") : format.reading(kind, unit, number);
  const chart = createLines({
    title,
    value,
    axis: value,
    emptyText,
    onZoom: (since, until) => page.lookAt(since, until),
    ...how,
  });
  return {
    node: chart.node,
    redraw: chart.redraw,
    destroy: chart.destroy,
    /** Draw lines of the answer; `ceilings`: "near" draws those that fit, "all" every one. */
    draw(answer, lines, { ceilings = "none", marks = [] } = {}) {
      const { since, until, isLive } = page.window();
      const comparison = page.comparison();
      const labelOf = labelsOf(lines, whole ?? title);
      const wanted = new Set(lines.map(lineKey));
      const parts = partsOf({ ...answer, data: { ...answer.data, lines } }, {
        comparison,
        colourOf: (_, index) => index,
        labelOf: (line, isBefore) => (isBefore ? `${labelOf(line)}, ${comparison.label}` : labelOf(line)),
        isCompared: (line) => wanted.has(lineKey(line)),
      });
      const drawn = onOneAxis(parts, { isLive });
      if (ceilings !== "none") drawn.lines.push(...ceilingLines(lines, drawn.t.length, labelOf, ceilings === "all"));
      chart.update({ ...drawn, since, until, marks });
    },
  };
}

/** The ceilings of lines, one each: {ceiling, labels, places, most}. */
export function ceilingsOf(lines, labelOf) {
  const found = new Map();
  for (const [place, line] of lines.entries()) {
    if (!(line.ceiling > 0)) continue;
    const key = `${line.device}\u0000${line.host}\u0000${line.ceiling}`;
    const one = found.get(key) ?? { ceiling: line.ceiling, labels: [], places: [], most: 0 };
    one.labels.push(labelOf(line));
    one.places.push(place);
    one.most = Math.max(one.most, highest(line.values) ?? 0);
    found.set(key, one);
  }
  return [...found.values()];
}

export const isNear = ({ most, ceiling }) => most >= CEILING_IN_SIGHT * ceiling;

function ceilingLines(lines, steps, labelOf, all) {
  return ceilingsOf(lines, labelOf)
    .filter((one) => all || isNear(one))
    .map(({ ceiling, labels, places }) => ({
      label: lines.length === 1 ? "limit" : `limit of ${labels.join(", ")}`,
      values: new Array(steps).fill(ceiling),
      colourIndex: places[0],
      dashed: true,
    }));
}

export function highest(values) {
  let most = null;
  for (const value of values) if (Number.isFinite(value) && (most === null || value > most)) most = value;
  return most;
}

export const last = (values) => values.findLast(Number.isFinite) ?? null;

/** How much a counter grew, step by step: [[place, amount]…]; a fall is a start from 0. */
export function growth(values) {
  const found = [];
  let before = null;
  for (const [place, value] of values.entries()) {
    if (!Number.isFinite(value)) continue;
    if (before !== null && value !== before) found.push([place, value > before ? value - before : value]);
    before = value;
  }
  return found;
}

/** Lines as the meters of js/resources.js take them: the last reading, and the highest of this time. */
export function readingsOf(lines) {
  return lines.map(({ kind, name, device, host, unit, ceiling, values }) => {
    const current = last(values);
    const share = unit === "percent" ? current : ceiling > 0 ? (100 * current) / ceiling : null;
    return {
      kind, name, unit, current,
      device: [device, host].filter(Boolean).join(" · "),
      peak: WITHOUT_PEAK.has(unit) ? null : highest(values),
      limit: ceiling,
      utilization_percent: share,
    };
  });
}
