// Facts of the host, the process and its devices, and what metalscope says of itself.

import { el, keyedList, setText, show } from "./dom.js";
import * as format from "./format.js";

const NOT_SAID = "the system does not say";

const text = (value) => (value === null || value === "" ? format.absent(NOT_SAID) : { text: String(value) });
const size = (value) => format.joined(format.bytes(value, NOT_SAID));
const yesNo = (value) => text(value === null ? null : value ? "yes" : "no");

const SYSTEM_FACTS = [
  ["Host", (s) => text(s.host)],
  ["Process", (s) => text(s.pid)],
  ["System", (s) => text([s.os, s.os_version, s.architecture].filter(Boolean).join(" "))],
  ["Processors", (s) => text(s.processors)],
  ["Memory", (s) => size(s.memory_total_bytes)],
  ["Available", (s) => size(s.memory_available_bytes)],
  ["Python", (s) => text(s.python)],
  ["metalscope", (s) => text(s.metalscope)],
];

const DEVICE_FACTS = [
  ["Backend", (d) => text(d.backend)],
  ["Memory", (d) => size(d.memory_bytes)],
  ["Working set", (d) => size(d.recommended_working_set_bytes)],
  ["Largest buffer", (d) => size(d.max_buffer_bytes)],
  ["Threads a group", (d) => text(d.max_threads_per_threadgroup)],
  ["Unified memory", (d) => yesNo(d.unified_memory)],
];

export function createSystem(container) {
  const absent = el("p", { class: "quiet" }, "No facts are known.");
  const facts = factList(SYSTEM_FACTS);
  const devices = el("div");
  container.append(absent, facts.node, devices);
  const noDevice = el("p", { class: "device-name quiet" }, "No device has been named yet.");
  container.append(noDevice);
  const keyOf = (device) => JSON.stringify([device.name, device.backend]);
  const updateDevices = keyedList(devices, keyOf, createDevice);
  return ({ snapshot: { system } }) => {
    absent.hidden = system !== null;
    facts.node.hidden = system === null;
    if (system) facts.update(system);
    const found = system?.devices ?? [];
    noDevice.hidden = found.length > 0;
    updateDevices(found);
  };
}

function createDevice(device) {
  const facts = factList(DEVICE_FACTS);
  const more = Object.entries(device.properties).flatMap(([name, value]) => [
    el("dt", {}, name),
    el("dd", {}, value),
  ]);
  facts.node.append(...more);
  const node = el("div", {}, el("h3", { class: "device-name" }, device.name), facts.node);
  return { node, update: facts.update };
}

function factList(known) {
  const values = known.map(([, read]) => [el("dd"), read]);
  const node = el(
    "dl",
    { class: "facts" },
    ...known.flatMap(([label], index) => [el("dt", {}, label), values[index][0]]),
  );
  const update = (item) => {
    for (const [value, read] of values) show(value, read(item));
  };
  return { node, update };
}

/** The line under everything: failures, drops and overflow of metalscope's own, counted exactly. */
export function createInternals(node) {
  return ({ snapshot: { internals } }) => {
    const sum = (counts) => Object.values(counts).reduce((total, number) => total + number, 0);
    const errors = sum(internals.errors);
    const rooms = Object.keys(internals.errors).join(", ");
    setText(
      node,
      `metalscope itself: ${format.count(errors).text} internal errors${rooms && ` (${rooms})`}, ` +
        `${format.count(sum(internals.dropped)).text} dropped, ` +
        `${format.count(internals.overflowed).text} past the cap on series`,
    );
  };
}
