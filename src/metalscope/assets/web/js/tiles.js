// The key figures at the top.

import { el, setAttribute, setText, show } from "./dom.js";
import * as format from "./format.js";
import { poolLabel, poolName } from "./state.js";

const STATUS_NOTE = {
  healthy: "every component with data is well",
  unknown: "nothing is known yet",
};

export function createTiles(container) {
  const tiles = {
    health: tile("Health"),
    operations: tile("Operations/s"),
    errors: tile("Error rate"),
    mean: tile("Mean duration"),
    memory: tile("Memory"),
    gpu: tile("GPU utilisation"),
  };
  container.append(...Object.values(tiles).map((one) => one.node));

  return (state) => {
    const { snapshot, activity } = state;
    const { recent } = snapshot;
    showHealth(tiles.health, snapshot.health);

    tiles.operations.show(
      format.rate(activity.operations.at(-1), "needs two ticks"),
      `${format.count(snapshot.total_operations).text} in all`,
    );

    const errors = `${format.count(snapshot.total_errors).text} failed in all`;
    tiles.errors.show(format.share(recent.error_rate, "nothing ran in the window"), errors);
    const failing = recent.error_rate > 0;
    tiles.errors.value.classList.toggle("alarming", failing);

    const window = recent.seconds > 0 && `Failed by executed over the last ${format.span(recent.seconds)}`;
    setAttribute(tiles.errors.node, "title", window || null);

    tiles.mean.show(
      format.duration(activity.mean.at(-1) ?? null, "nothing ran in the last tick"),
      "in the last tick",
    );
    showMemory(tiles.memory, snapshot.resources);
    showGpu(tiles.gpu, snapshot.resources);
  };
}

function tile(label) {
  const value = el("span");
  const unit = el("span", { class: "unit" });
  const note = el("p", { class: "tile-note" });
  const node = el(
    "div",
    { class: "tile" },
    el("p", { class: "tile-label" }, label),
    el("p", { class: "tile-value" }, value, unit),
    note,
  );
  return {
    node,
    value,
    show(formatted, noteText) {
      show(value, formatted);
      setText(unit, formatted.unit ?? "");
      setText(note, noteText);
      setAttribute(note, "title", noteText);
    },
  };
}

function showHealth(one, health) {
  const ill = health.components.filter((component) => component.status === health.status);
  const note =
    STATUS_NOTE[health.status] ?? ill.map((component) => component.component).join(", ");
  one.show({ text: health.status[0].toUpperCase() + health.status.slice(1) }, note);
  one.node.dataset.status = health.status;
}

function showMemory(one, resources) {
  const pools = resources.filter((resource) => resource.kind === "memory");
  const pool =
    pools.find((resource) => resource.name.includes("active")) ??
    pools[0] ??
    resources.find((resource) => resource.name === "process_resident");
  if (!pool) {
    one.show(format.absent("no sensor gives it"), "");
    return;
  }
  const most = pool.peak !== null ? `, peak ${format.whole(format.bytes(pool.peak))}` : "";
  one.show(format.bytes(pool.current), `${poolName(pool)}${most}`);
  setAttribute(one.node, "title", poolLabel(pool));
}

function showGpu(one, resources) {
  const readings = resources.filter((resource) => resource.kind === "gpu_utilization");
  const busiest = readings.reduce((most, now) => (most && most.current >= now.current ? most : now), null);
  if (!busiest) {
    one.show(format.absent("no sensor on this machine gives it; see metalscope doctor"), "no sensor here");
    return;
  }
  one.show(format.percent(busiest.current), busiest.device || busiest.name);
}
