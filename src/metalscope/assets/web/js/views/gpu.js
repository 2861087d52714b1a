// How busy GPUs are: a heat map of engines, or of a fleet's hosts, over time; clock, restarts, CPU.

import { createHeatmap } from "../draw/heatmap.js";
import { el } from "../dom.js";
import * as format from "../format.js";
import { absenceOf, createAbsences, createNotice, createNow, liveReadings } from "./cards.js";
import {
  byHost, followReadings, growth, isOfHosts, labelsOf, linesOfKind, readingsOf,
} from "./resource-past.js";

const KINDS = ["gpu_utilization", "frequency", "recoveries", "cpu_utilization"];
const QUESTIONS = {
  utilization: { kind: "*_utilization" },
  frequency: { kind: "frequency" },
  recoveries: { kind: "recoveries", reading: "last" },
};
const ROW_HEIGHT = 26;
const LEAST_HEIGHT = 120;
const MOST_HEIGHT = 620;
const MOST_MARKS = 24;

export function createView(page) {
  const past = followReadings(page, QUESTIONS);
  const notice = createNotice();
  const now = createNow("No sensor gives anything of a GPU.");
  const absences = createAbsences();
  const map = createMap();
  const gpu = past.chart({
    title: "GPU utilisation", kind: "gpu_utilization", unit: "percent", whole: "GPU",
  });
  const clock = past.chart({ title: "GPU clock", kind: "frequency", unit: "hertz" });
  const cpu = past.chart({
    title: "CPU load, all processors together", kind: "cpu_utilization", unit: "percent", whole: "CPU",
  });
  const restarts = el("p", { class: "card restarts" });
  const node = el(
    "div",
    { class: "view-resources" },
    notice.node,
    el(
      "div",
      { class: "beside" },
      el("div", { class: "stack" }, map.node, gpu.node, clock.node, restarts, absences.node, cpu.node),
      now.node,
    ),
  );

  const draw = () => {
    notice.say(past.why());
    const utilization = past.answer("utilization");
    const busy = togetherOf(page, utilization);
    const lines = {
      gpu: linesOfKind(busy, "gpu_utilization"),
      cpu: linesOfKind(utilization, "cpu_utilization"),
      clock: linesOfKind(past.answer("frequency"), "frequency"),
      recoveries: linesOfKind(past.answer("recoveries"), "recoveries"),
    };
    now.draw(page, liveReadings(page, KINDS) ?? readingsOf(Object.values(lines).flat()));
    const began = restartsOf(past.answer("recoveries"), lines.recoveries);
    map.draw(page, busy, lines.gpu);
    drawOr(gpu, lines.gpu, () => gpu.draw(busy, lines.gpu, { marks: began.slice(-MOST_MARKS) }));
    drawOr(cpu, lines.cpu, () => cpu.draw(utilization, lines.cpu));
    const ceilings = isOfHosts(page) ? "none" : "near";
    drawOr(clock, lines.clock, () => clock.draw(past.answer("frequency"), lines.clock, { ceilings }));
    restarts.hidden = lines.recoveries.length === 0;
    restarts.textContent = restartsText(began);
    absences.draw(page, past.isWaiting() || past.why() ? [] : absencesOf(page, lines));
  };

  return {
    node,
    draw,
    enter: past.look,
    look: past.look,
    leave() {
      past.leave();
      map.leave();
    },
    redraw() {
      map.redraw();
      draw();
    },
  };
}

// A row for each engine; of many hosts one for each host, or there would be too many to read.
function togetherOf(page, answer) {
  if (!isOfHosts(page) || !answer?.ok) return answer;
  const together = (data) => data && { ...data, lines: byHost(data.lines.filter(isGpu)) };
  return { ...answer, data: together(answer.data), before: together(answer.before) };
}

const isGpu = (line) => line.kind === "gpu_utilization";

function drawOr(chart, lines, draw) {
  chart.node.hidden = lines.length === 0;
  if (lines.length) draw();
}

function createMap() {
  const value = (number) =>
    number === null ? format.absent("no reading in this step") : format.percent(number);
  const place = el("div");
  let map = null;
  let made = "";
  // Its height and title are set as it is made, so that another number of rows makes another one.
  const mapOf = (count, isByHost) => {
    if (map && made === `${count} ${isByHost}`) return map;
    made = `${count} ${isByHost}`;
    map?.destroy();
    map = createHeatmap({
      title: isByHost ? "GPU utilisation by host, the busiest engine of each" : "GPU utilisation by engine",
      rowAxis: "GPU",
      value,
      emptyText: "no reading in this time",
      height: Math.min(MOST_HEIGHT, Math.max(LEAST_HEIGHT, 40 + ROW_HEIGHT * count)),
    });
    place.replaceChildren(map.node);
    return map;
  };
  return {
    node: place,
    redraw: () => map?.redraw(),
    leave: () => map?.destroy(),
    draw(page, answer, given) {
      place.hidden = given.length === 0;
      if (given.length === 0) return;
      const { since, until } = page.window();
      const { start, step } = answer.data;
      const first = Math.max(0, Math.round((since - start) / step));
      const columns = Math.max(1, Math.round((until - start) / step) - first);
      const labelOf = labelsOf(given, "GPU");
      const lines = given.toReversed(); // the first one is on top
      const cells = lines.flatMap((line, row) => cellsOf(line.values, row, first, columns));
      mapOf(lines.length, isOfHosts(page)).update({
        t0: start + first * step, step, columns, cells,
        rows: lines.map(labelOf),
        scale: "linear",
        max: 100,
      });
    },
  };
}

function cellsOf(values, row, first, columns) {
  const cells = [];
  for (let column = 0; column < columns; column += 1) {
    const value = values[first + column];
    if (Number.isFinite(value)) cells.push([column, row, value]);
  }
  return cells;
}

/** When a GPU was restarted, as marks of a chart; `count` how often at that moment. */
function restartsOf(answer, lines) {
  if (lines.length === 0) return [];
  const { start, step } = answer.data;
  const marks = lines.flatMap((line) =>
    growth(line.values).map(([place, count]) => ({
      t: start + place * step,
      count,
      label: "GPU restarted",
      bad: true,
    })),
  );
  return marks.sort((a, b) => a.t - b.t);
}

function restartsText(marks) {
  const count = marks.reduce((sum, mark) => sum + mark.count, 0);
  if (count === 0) return "The system has not restarted a GPU in this time.";
  const when = format.moment(new Date(marks.at(-1).t * 1000));
  return count === 1
    ? `The system restarted a GPU once in this time, at ${when}.`
    : `The system restarted GPUs ${count} times in this time, the last time at ${when}.`;
}

function absencesOf(page, lines) {
  const wanted = [
    ["GPU utilisation", "gpu_utilization", "gpu"],
    ["GPU clock", "frequency", "clock"],
    ["GPU restarts", "recoveries", "recoveries"],
    ["CPU load", "cpu_utilization", "cpu"],
  ];
  return wanted
    .filter(([, , name]) => lines[name].length === 0)
    .map(([what, kind]) => absenceOf(page, what, kind));
}
