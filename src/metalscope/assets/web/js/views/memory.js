// Memory: each pool over time with what it cannot pass, the host's, the pressure and the traffic.

import { el, keyedList, setAttribute } from "../dom.js";
import { absenceOf, createAbsences, createNotice, createNow, liveReadings } from "./cards.js";
import {
  ceilingsOf,
  followReadings,
  isNear,
  isOfHosts,
  labelsOf,
  linesOfKind,
  readingsOf,
} from "./resource-past.js";
import { createStrip, spansOf } from "./strip.js";

const KINDS = ["memory", "gpu_memory", "host_memory", "bandwidth", "memory_pressure"];
const QUESTIONS = {
  // Of a long step the highest reading counts: memory runs out at its peak.
  memory: { kind: "*memory*", reading: "high" },
  bandwidth: { kind: "bandwidth" },
};
const PRESSURES = {
  0: { word: "low", level: 0 },
  1: { word: "medium", level: 1 },
  2: { word: "high", level: 2 },
  3: { word: "critical", level: 3 },
};
const BYTES = { unit: "bytes", binary: true };

export function createView(page) {
  const past = followReadings(page, QUESTIONS);
  const notice = createNotice();
  const now = createNow("No sensor gives any memory.");
  const absences = createAbsences();
  const scale = createScale(page);
  const pools = el("div", { class: "charts pools" });
  const updatePools = keyedList(pools, (group) => group.key, (group) => createPools(past, group));
  const fixed = {
    gpu: past.chart({ title: "Memory held by the GPU's driver", kind: "gpu_memory", ...BYTES }),
    host: past.chart({ title: "Host memory", kind: "host_memory", whole: "host", ...BYTES }),
    process: past.chart({ title: "Resident memory of the process", kind: "host_memory", ...BYTES }),
    traffic: past.chart({ title: "Memory traffic", kind: "bandwidth", unit: "bytes_per_second" }),
  };
  const pressure = createStrip({
    title: "Memory pressure",
    states: PRESSURES,
    emptyText: "no reading in this time",
  });
  const charts = el("div", { class: "charts row" }, ...Object.values(fixed).map((chart) => chart.node), pressure.node);
  const node = el(
    "div",
    { class: "view-resources" },
    notice.node,
    el("div", { class: "beside" }, el("div", { class: "stack" }, scale.node, pools, charts, absences.node), now.node),
  );

  const draw = () => {
    notice.say(past.why());
    const memory = past.answer("memory");
    const traffic = past.answer("bandwidth");
    const lines = {
      memory: linesOfKind(memory, "memory"),
      gpu: linesOfKind(memory, "gpu_memory"),
      host: linesOfKind(memory, "host_memory", ({ name }) => name !== "process_resident"),
      process: linesOfKind(memory, "host_memory", ({ name }) => name === "process_resident"),
      traffic: linesOfKind(traffic, "bandwidth"),
      pressure: linesOfKind(memory, "memory_pressure"),
    };
    now.draw(page, liveReadings(page, KINDS) ?? lastOf(page, Object.values(lines).flat()));
    scale.draw(lines.memory);
    const ceilings = scale.isAll() ? "all" : isOfHosts(page) ? "none" : "near";
    updatePools(groupsOf(page, lines.memory).map((group) => ({ ...group, answer: memory, ceilings })));
    pools.hidden = lines.memory.length === 0;
    for (const [name, chart] of Object.entries(fixed)) {
      chart.node.hidden = lines[name].length === 0;
      if (lines[name].length) chart.draw(name === "traffic" ? traffic : memory, lines[name], { ceilings });
    }
    drawPressure(pressure, page, memory, lines.pressure);
    absences.draw(page, past.isWaiting() || past.why() ? [] : absencesOf(page, lines));
  };

  return {
    node,
    draw,
    enter: past.look,
    look: past.look,
    leave: past.leave,
    redraw: draw,
  };
}

// Of many hosts those pools that can run out.
function lastOf(page, lines) {
  const isTold = ({ kind, ceiling }) => ceiling > 0 || kind === "memory_pressure";
  return readingsOf(isOfHosts(page) ? lines.filter(isTold) : lines);
}

function drawPressure(strip, page, answer, lines) {
  strip.node.hidden = lines.length === 0;
  if (lines.length === 0) return;
  const labelOf = labelsOf(lines, "the host");
  const { start, step } = answer.data;
  strip.update({
    ...page.window(),
    rows: lines.map((line) => ({ label: labelOf(line), spans: spansOf(line, start, step) })),
  });
}

function absencesOf(page, lines) {
  const wanted = [
    ["Memory of a device", "memory"],
    ["Memory traffic", "bandwidth", "traffic"],
    ["Memory pressure", "memory_pressure", "pressure"],
    ["Memory held by the GPU's driver", "gpu_memory", "gpu"],
  ];
  return wanted
    .filter(([, kind, name = kind]) => lines[name].length === 0)
    .map(([what, kind]) => absenceOf(page, what, kind));
}

// Of one process a chart each device; of a fleet one chart, or it would be one each host and device.
function groupsOf(page, lines) {
  if (page.isFleet) return lines.length ? [{ key: "fleet", title: "Memory by pool", lines }] : [];
  const groups = new Map();
  for (const line of lines) {
    if (!groups.has(line.device)) groups.set(line.device, { key: `device ${line.device}`, lines: [] });
    groups.get(line.device).lines.push(line);
  }
  return [...groups].map(([device, group]) => ({
    ...group,
    title: device ? `Memory of ${device}` : "Memory by pool",
  }));
}

function createPools(past, { title }) {
  const chart = past.chart({ title, kind: "memory", height: 240, ...BYTES });
  return {
    node: chart.node,
    update: ({ answer, lines, ceilings }) => chart.draw(answer, lines, { ceilings }),
  };
}

// Whether limits far above what is used are drawn too; in the address, so that a link shows it.
function createScale(page) {
  const button = el("button", { type: "button", class: "button", "aria-pressed": "false" }, "Up to the limits");
  const hint = el("p", { class: "hint" });
  const node = el("div", { class: "scale-row" }, button, hint);
  const isAll = () => page.address.params.get("limits") === "all";
  button.addEventListener("click", () => page.address.set({ limits: isAll() ? null : "all" }));
  return {
    node,
    isAll,
    draw(lines) {
      const far = ceilingsOf(lines, labelsOf(lines)).filter((one) => !isNear(one));
      node.hidden = far.length === 0;
      setAttribute(button, "aria-pressed", String(isAll()));
      hint.textContent = isAll()
        ? "The charts reach up to what each pool cannot pass."
        : "Limits more than four times above what is used are left out of the charts.";
    },
  };
}
