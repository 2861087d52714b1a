// Power by rail, the energy it adds up to, heat, fans, and what the system does about them.

import { createTable } from "../draw/table.js";
import { el } from "../dom.js";
import * as format from "../format.js";
import { absenceOf, createAbsences, createCard, createNotice, createNow, liveReadings } from "./cards.js";
import {
  followReadings, growth, highest, isOfHosts, labelsOf, linesOfKind, readingsOf,
} from "./resource-past.js";
import { createStrip, spansOf } from "./strip.js";

const READ_NOW = ["power", "temperature", "thermal_state", "fan_speed", "low_power_mode"];
const KINDS = ["power", "energy", "temperature", "thermal_state", "fan_speed", "low_power_mode"];
const QUESTIONS = {
  power: { kind: "power" },
  energy: { kind: "energy", reading: "last" },
  temperature: { kind: "temperature", reading: "high" },
  fan_speed: { kind: "fan_speed" },
  thermal_state: { kind: "thermal_state", reading: "high" },
  low_power_mode: { kind: "low_power_mode", reading: "high" },
};
const HEAT = {
  0: { word: "nominal", level: 0 },
  1: { word: "fair", level: 1 },
  2: { word: "serious", level: 2 },
  3: { word: "critical", level: 3 },
};
const SAVING = { 0: { word: "off", level: 0 }, 1: { word: "on", level: 1 } };
const NAMES = {
  power: "Power",
  energy: "Energy",
  temperature: "Temperature",
  fan_speed: "Fans",
  thermal_state: "Thermal state",
  low_power_mode: "Low-power mode",
};

export function createView(page) {
  const past = followReadings(page, QUESTIONS);
  const notice = createNotice();
  const now = createNow("No sensor gives power or heat.");
  const absences = createAbsences();
  const charts = {
    power: past.chart({ title: "Power by rail", kind: "power", unit: "watts", height: 220 }),
    temperature: past.chart({ title: "Temperature", kind: "temperature", unit: "celsius" }),
    fan_speed: past.chart({
      title: "Fans", kind: "fan_speed", unit: "rpm", axis: (number) => ({ text: format.significant(number) }),
    }),
  };
  const emptyText = "no reading in this time";
  const strips = {
    thermal_state: createStrip({ title: "Thermal state", states: HEAT, emptyText }),
    low_power_mode: createStrip({ title: "Low-power mode", states: SAVING, emptyText }),
  };
  const energy = createEnergy();
  const node = el(
    "div",
    { class: "view-resources" },
    notice.node,
    el(
      "div",
      { class: "beside" },
      el(
        "div", { class: "stack" },
        charts.power.node, energy.node, charts.temperature.node,
        strips.thermal_state.node, strips.low_power_mode.node, charts.fan_speed.node, absences.node,
      ),
      now.node,
    ),
  );

  const draw = () => {
    notice.say(past.why());
    const lines = Object.fromEntries(KINDS.map((kind) => [kind, linesOfKind(past.answer(kind), kind)]));
    now.draw(page, liveReadings(page, READ_NOW) ?? readingsOf(READ_NOW.flatMap((kind) => lines[kind])));
    for (const [kind, chart] of Object.entries(charts)) {
      chart.node.hidden = lines[kind].length === 0;
      if (lines[kind].length) chart.draw(past.answer(kind), lines[kind], { ceilings: isOfHosts(page) ? "none" : "near" });
    }
    for (const [kind, strip] of Object.entries(strips)) {
      drawStrip(strip, page, past.answer(kind), lines[kind]);
    }
    energy.draw(past.answer("energy"), lines);
    const missing = past.isWaiting() || past.why() ? [] : KINDS.filter((kind) => lines[kind].length === 0);
    absences.draw(page, missing.map((kind) => absenceOf(page, NAMES[kind], kind)));
  };

  return { node, draw, enter: past.look, look: past.look, leave: past.leave, redraw: draw };
}

function drawStrip(strip, page, answer, lines) {
  strip.node.hidden = lines.length === 0;
  if (lines.length === 0) return;
  const labelOf = labelsOf(lines, "the system");
  const { start, step } = answer.data;
  strip.update({
    ...page.window(),
    rows: lines.map((line) => ({ label: labelOf(line), spans: spansOf(line, start, step) })),
  });
}

// -- energy ------------------------------------------------------------------------------------

const numeric = (id, label, cell, title) => ({
  id, label, title, numeric: true, cell, sort: (row) => row[id],
});

function createEnergy() {
  const table = createTable({
    caption: "Energy used in this time, by rail",
    columns: [
      { id: "rail", label: "Rail", cell: (row) => row.label, sort: (row) => row.label },
      numeric("used", "Energy used", (row) => joules(row.used)),
      numeric("mean", "Mean power", (row) => watts(row.mean)),
      numeric("most", "Highest power", (row) => watts(row.most), "The highest mean of one step"),
      numeric("seconds", "Over", (row) => format.span(row.seconds)),
    ],
    sortBy: "used",
    descending: true,
    key: (row) => row.key,
    emptyText: "no reading in this time",
  });
  const card = createCard("Energy used in this time", table.node);
  return {
    node: card.node,
    draw(answer, { energy, power }) {
      card.node.hidden = energy.length === 0;
      if (energy.length) table.update(energyOf(energy, power, answer.data.step));
    },
  };
}

/** What each rail used between its first and its last reading of this time. */
function energyOf(energy, power, step) {
  const labelOf = labelsOf(energy);
  return energy.map((line) => {
    const used = growth(line.values).reduce((sum, [, grown]) => sum + grown, 0);
    const first = line.values.findIndex(Number.isFinite);
    const seconds = (line.values.findLastIndex(Number.isFinite) - first) * step;
    const rail = power.find((one) => ["name", "device", "host"].every((part) => one[part] === line[part]));
    return {
      key: JSON.stringify([line.name, line.device, line.host]),
      label: labelOf(line),
      used: seconds > 0 ? used : null,
      mean: seconds > 0 ? used / seconds : null,
      most: rail ? highest(rail.values) : null,
      seconds,
    };
  });
}

const joules = (value) => known("energy", "joules", value);
const watts = (value) => known("power", "watts", value);
const known = (kind, unit, value) =>
  value === null ? format.absent("it needs two readings") : format.reading(kind, unit, value);
