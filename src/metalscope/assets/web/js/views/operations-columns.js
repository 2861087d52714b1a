// The columns of the table of operations, and how a change is told.

import { el, setAttribute, show } from "../dom.js";
import * as format from "../format.js";

const NOT_TIMED = "none that went well was timed";
const NOT_RUN = "nothing ran in this time";
const GRAVE = 0.1; // a change that is coloured; smaller ones are noise as often as not

/** What is shown of a row of past/operations: {…row, id, rate, error_rate, searched, before}. */
export function itemOf(row, seconds, before = null) {
  return {
    ...row,
    id: JSON.stringify([row.kind, row.name, row.device, row.host]),
    rate: rateOf(row, seconds),
    error_rate: shareOf(row),
    searched: `${row.name} ${row.kind} ${row.device} ${row.host}`.toLowerCase(),
    before,
  };
}

export const rateOf = (row, seconds) => (seconds > 0 ? row.operations / seconds : null);
export const shareOf = (row) => (row.operations > 0 ? row.errors / row.operations : null);

/** By how much of `before` it is another now; null where either is not known. */
export function changeOf(now, before) {
  return Number.isFinite(now) && Number.isFinite(before) && before > 0 ? (now - before) / before : null;
}

/** A change in percent with its sign, such as +12 %. */
export function changeText(change) {
  const percent = Math.abs(change) * 100;
  const digits = percent >= 9.95 ? 0 : 1;
  const text = percent > 999 ? "> 999" : percent.toFixed(digits);
  if (Number(text) === 0) return "±0 %";
  return `${change > 0 ? "+" : "−"}${text} %`;
}

/** Colour a change where more is worse, as of durations; none where it is null. */
export function gradeChange(node, change) {
  node.classList.toggle("worse", change !== null && change >= GRAVE);
  node.classList.toggle("better", change !== null && change <= -GRAVE);
}

function changeNode(change, label, isWorseUp) {
  const node = el("span", { class: "change" }, changeText(change));
  gradeChange(node, isWorseUp ? change : null);
  setAttribute(node, "title", `against ${label}`);
  return node;
}

function compared(id, figure, isWorseUp, labelOf) {
  return (row) => {
    const label = labelOf();
    if (!label) return figure(row);
    const value = el("span");
    show(value, format.joined(figure(row)));
    const change = changeOf(row[id], row.before?.[id]);
    const isNew = id === "rate" && row.before === null && row.operations > 0;
    const beside =
      change !== null ? changeNode(change, label, isWorseUp)
      : el("span", { class: "change", title: isNew ? `not in ${label}` : null }, isNew ? "new" : "");
    return el("span", { class: "compared" }, value, beside);
  };
}

function failures(row) {
  const figure = format.count(row.errors);
  const types = Object.entries(row.failures).sort(([, a], [, b]) => b - a);
  const title = types.map(([type, number]) => `${format.count(number).text} ${format.words(type)}`).join(", ");
  return row.errors > 0 ? el("span", { class: "alarming", title }, figure.text) : figure;
}

const named = (text, why) => (text ? text : format.absent(why));
const duration = (id) => (row) => format.duration(row[id], NOT_TIMED);

/** nameOf(row): the node of its name; labelOf(): what is compared with, or "". */
export function columnsOf({ nameOf, labelOf, isFleet }) {
  const figure = (id, label, cell, title) => ({ id, label, title, numeric: true, cell, sort: (row) => row[id] });
  const time = (id, label, title) => figure(id, label, duration(id), title);
  const words = (id, label, why) => ({ id, label, cell: (row) => named(row[id], why), sort: (row) => row[id] });
  return [
    { id: "name", label: "Operation", cell: nameOf, sort: (row) => row.name },
    words("kind", "Kind", "not known"),
    words("device", "Device", "the program names no device"),
    ...(isFleet ? [words("host", "Host", "all hosts together")] : []),
    figure("operations", "Count", (row) => format.count(row.operations)),
    figure(
      "rate", "Ops/s",
      compared("rate", (row) => ({ ...format.rate(row.rate, NOT_RUN), unit: undefined }), false, labelOf),
      "over the time in which telemetry ran",
    ),
    figure("errors", "Errors", failures),
    figure("error_rate", "Error rate", (row) => format.share(row.error_rate, NOT_RUN)),
    time("mean_ms", "Mean"),
    time("p50_ms", "p50", "half of the operations were at most this long"),
    time("p90_ms", "p90", "90 of 100 were at most this long"),
    figure(
      "p95_ms", "p95", compared("p95_ms", duration("p95_ms"), true, labelOf), "95 of 100 were at most this long",
    ),
    time("p99_ms", "p99", "99 of 100 were at most this long"),
    time("p999_ms", "p99.9", "999 of 1000 were at most this long"),
    time("max_ms", "Max", "none was longer"),
    figure("nbytes", "Bytes", (row) => format.bytes(row.nbytes, "none says how many bytes it had")),
    figure("gpu_ms", "GPU time", (row) => format.duration(row.gpu_ms, "no device says how long it was busy"),
      "the device's own time of one, on average"),
  ];
}
