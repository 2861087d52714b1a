// The columns of the table of hosts.

import { el } from "../dom.js";
import * as format from "../format.js";

const GRAVITY = { critical: 300, degraded: 200, unknown: 100, healthy: 0 };
const SEVERITIES = { critical: 40, high: 30, medium: 20, low: 10 };
const SIGNS = { healthy: "✓", degraded: "!", critical: "✕", unknown: "?" };
const LATELY = "nothing ran in the last minutes";

/** A host with how much trouble it is in: first its health, then its gravest alert, then how many. */
export function itemOfHost(host) {
  const grave = Math.max(0, ...host.alerts.map(([, severity]) => SEVERITIES[severity] ?? 10));
  const health = host.health === null ? 50 : (GRAVITY[host.health] ?? 100);
  return { ...host, trouble: health >= 200 || grave > 0 ? health + grave + host.alerts.length / 100 : health / 1000 };
}

function healthNode({ health, components }) {
  if (health === null) return format.absent("the host does not say how it is");
  const ill = Object.entries(components).filter(([, status]) => status !== "healthy");
  const title = ill.map(([component, status]) => `${format.words(component)} ${status}`).join(", ");
  return el(
    "span", { class: "host-health", title: title || null },
    el("span", { class: "badge", data: { status: health }, "aria-hidden": "true" }, SIGNS[health] ?? "?"),
    ` ${format.words(health)}`,
  );
}

function alertsNode({ alerts }) {
  if (alerts.length === 0) return "none";
  const byGravity = [...alerts].sort(([, a], [, b]) => (SEVERITIES[b] ?? 0) - (SEVERITIES[a] ?? 0));
  const title = byGravity.map(([rule, severity]) => `${rule} (${severity})`).join(", ");
  const [[rule, severity]] = byGravity;
  const more = alerts.length > 1 ? ` and ${alerts.length - 1} more` : "";
  return el("span", { class: "alarming", title }, `${severity}: ${rule}${more}`);
}

export function columnsOfHosts(nameOf) {
  const figure = (id, label, cell) => ({ id, label, numeric: true, cell, sort: (row) => row[id] });
  const sensed = "no sensor of the host gives it";
  return [
    { id: "host", label: "Host", cell: nameOf, sort: (row) => row.host },
    {
      id: "health", label: "Health", title: "by health, then by the gravest alert",
      cell: healthNode, sort: (row) => row.trouble,
    },
    figure("operations", "Ops/s", ({ operations }) => ({ ...format.rate(operations, LATELY), unit: undefined })),
    figure("error_rate", "Error rate", ({ error_rate: share }) => format.share(share, LATELY)),
    figure("mean_ms", "Mean", ({ mean_ms: ms }) => format.duration(ms, LATELY)),
    figure("p99_ms", "p99", ({ p99_ms: ms }) => format.duration(ms, LATELY)),
    figure("memory_bytes", "Memory", ({ memory_bytes: bytes }) => format.bytes(bytes, sensed)),
    figure("gpu_percent", "GPU", ({ gpu_percent: percent }) => format.percent(percent, sensed)),
    figure("power_watts", "Power", ({ power_watts: watts }) =>
      watts === null ? format.absent(sensed) : { text: format.significant(watts), unit: "W" }),
    { id: "alerts", label: "Alerts", cell: alertsNode, sort: (row) => row.alerts.length },
    {
      id: "version", label: "Version", sort: (row) => row.version,
      cell: ({ version }) => version ?? format.absent("the host does not say it"),
    },
  ];
}
