// What the page knows. It goes on learning while the view is paused.

const MAX_POINTS = 3600;
const MAX_EVENTS = 100;
const RATE_WINDOW_S = 10;
const OUTAGE_S = 15; // a longer gap between readings is drawn as a gap

export const operationKey = (operation) => JSON.stringify([operation.kind, operation.name, operation.device]);
export const resourceKey = (resource) => JSON.stringify([resource.kind, resource.name, resource.device]);

export function createState() {
  return {
    startedAt: null,
    alertsOn: false, // whether the program looks at rules, so that silence means that all is well
    snapshot: null,
    activity: { t: [], operations: [], errorRate: [], mean: [] },
    memory: { t: [], pools: new Map() },
    events: [],
    readings: [], // {t, counts} of the last seconds, for rates by operation
  };
}

/** The history the server sends when a stream opens. It replaces ours, gaps and all. */
export function takeRecent(state, { started_at, points, alerts }) {
  const startedAt = Date.parse(started_at);
  if (state.startedAt !== null && state.startedAt !== startedAt) {
    Object.assign(state, createState()); // another run of the program: nothing carries over
  }
  state.startedAt = startedAt;
  state.alertsOn = alerts === true;
  state.activity = { t: [], operations: [], errorRate: [], mean: [] };
  takePoints(state.activity, points);
}

function takePoints(activity, points) {
  for (const [t, operations, errors, mean] of points) {
    if (activity.t.length && t <= activity.t.at(-1)) continue;
    activity.t.push(t);
    activity.operations.push(operations);
    activity.errorRate.push(operations > 0 ? (100 * errors) / operations : null);
    activity.mean.push(mean);
  }
  const excess = activity.t.length - MAX_POINTS;
  if (excess > 0) for (const column of Object.values(activity)) column.splice(0, excess);
}

export function takeSnapshot(state, snapshot) {
  state.snapshot = snapshot;
  takePoints(state.activity, snapshot.recent.points);
  const t = Date.parse(snapshot.timestamp) / 1000;
  takeMemory(state.memory, t, snapshot.resources);
  takeReading(state, t, snapshot.operations);
}

function takeMemory(memory, t, resources) {
  if (memory.t.length && t <= memory.t.at(-1)) return;
  if (memory.t.length && t - memory.t.at(-1) > OUTAGE_S) pushMemory(memory, t - 0.001, []);
  const charted = resources.filter(isCharted);
  charted.sort((a, b) => (a.kind === "host_memory") - (b.kind === "host_memory")); // the device's first
  pushMemory(memory, t, charted);
  if (memory.t.length > MAX_POINTS) {
    memory.t.shift();
    for (const pool of memory.pools.values()) pool.values.shift();
  }
}

function pushMemory(memory, t, resources) {
  for (const resource of resources) {
    const key = resourceKey(resource);
    if (!memory.pools.has(key)) {
      const values = memory.t.map(() => null);
      memory.pools.set(key, { name: poolName(resource), device: resource.device, values });
    }
  }
  memory.t.push(t);
  const now = new Map(resources.map((resource) => [resourceKey(resource), resource.current]));
  for (const [key, pool] of memory.pools) pool.values.push(now.get(key) ?? null);
}

// The host's memory as a whole would flatten every other line; it has its place among the figures.
const isCharted = (resource) =>
  resource.kind === "memory" || (resource.kind === "host_memory" && resource.name === "process_resident");

export function poolName(resource) {
  if (resource.kind === "host_memory" && resource.name === "used") return "host memory";
  return resource.name.replaceAll("_", " ");
}

export function poolLabel(resource) {
  return [poolName(resource), resource.device].filter(Boolean).join(" · ");
}

function takeReading(state, t, operations) {
  const counts = new Map(operations.map((operation) => [operationKey(operation), operation.executions]));
  state.readings.push({ t, counts });
  while (state.readings.length > 2 && t - state.readings[0].t > RATE_WINDOW_S) state.readings.shift();
}

/** Operations/s of one series over the last seconds; null before there are two readings. */
export function rateOf(state, key) {
  const [first, last] = [state.readings[0], state.readings.at(-1)];
  if (!first || last.t <= first.t) return null;
  const grown = (last.counts.get(key) ?? 0) - (first.counts.get(key) ?? 0);
  return Math.max(0, grown) / (last.t - first.t);
}

export function takeEvent(state, event) {
  const last = state.events[0];
  if (last && event.sequence <= last.sequence) return;
  state.events.unshift(event);
  state.events.length = Math.min(state.events.length, MAX_EVENTS);
}
