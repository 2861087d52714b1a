// All that sensors read, each with its peak and limit where the source knows them.

import { el, keyedList, setAttribute, setText, show } from "./dom.js";
import * as format from "./format.js";
import { poolLabel, resourceKey } from "./state.js";

const HIGH_PERCENT = 70; // the marks at which health calls memory degraded and critical
const FULL_PERCENT = 90;
const WHAT = {
  gpu_utilization: "GPU",
  frequency: "Clock",
  power: "Power",
  energy: "Energy",
  temperature: "Temperature",
  thermal_state: "Thermal state",
  fan_speed: "Fan",
  bandwidth: "Memory traffic",
  memory: "",
  gpu_memory: "",
  memory_pressure: "Memory pressure",
  host_memory: "",
  cpu_utilization: "CPU",
  low_power_mode: "Low-power mode",
  recoveries: "GPU restarts",
};
const ORDER = Object.keys(WHAT);
/** Names that say nothing more. */
export const OF_THE_WHOLE = new Set(["host", "system"]);
const NO_GPU = {
  kind: "gpu_utilization",
  name: "",
  device: "",
  unit: "percent",
  current: null,
  peak: null,
  limit: null,
  utilization_percent: null,
};

export function createResources(container) {
  const list = el("div");
  container.append(list);
  const update = createMeters(list);
  return ({ snapshot }) => {
    const known = snapshot.resources.some((resource) => resource.kind === "gpu_utilization");
    update(known ? snapshot.resources : [NO_GPU, ...snapshot.resources]);
  };
}

/** Meters in a list, kept in step with the readings that are given, by kind. */
export function createMeters(list) {
  const update = keyedList(list, resourceKey, createMeter);
  return (readings) => update([...readings].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind)));
}

function labelOf(resource) {
  const { kind, name, device } = resource;
  const what = WHAT[kind] ?? format.words(kind);
  if (what === "") return poolLabel(resource);
  return [what, OF_THE_WHOLE.has(name) ? "" : format.words(name), device].filter(Boolean).join(" · ");
}

function createMeter(resource) {
  const value = el("span", { class: "value" });
  const bar = el("span");
  const meter = el("div", { class: "meter", "aria-hidden": "true" }, bar);
  const note = el("p", { class: "meter-note" });
  const head = el("p", { class: "meter-head" }, el("span", { class: "label" }, labelOf(resource)), value);
  const node = el("div", { class: "meter-row" }, head, meter, note);
  const update = (now) => {
    const formatted = (number) => format.reading(now.kind, now.unit, number);
    show(value, format.joined(formatted(now.current)));
    const filled = now.utilization_percent;
    meter.hidden = filled === null;
    bar.style.width = `${Math.min(100, Math.max(0, filled ?? 0))}%`;
    const level = filled > FULL_PERCENT ? "full" : filled > HIGH_PERCENT ? "high" : null;
    setAttribute(meter, "data-level", now.unit === "bytes" ? level : null);
    setText(note, noteOf(now, formatted));
    note.hidden = note.textContent === "";
  };
  return { node, update };
}

function noteOf({ unit, peak, limit, utilization_percent: filled }, formatted) {
  const parts = [];
  if (unit !== "percent" && filled !== null) parts.push(format.whole(format.percent(filled)));
  if (limit !== null) parts.push(`of ${format.whole(formatted(limit))}`);
  const share = parts.join(" ");
  return [share, peak !== null ? `peak ${format.whole(formatted(peak))}` : ""].filter(Boolean).join(" · ");
}
