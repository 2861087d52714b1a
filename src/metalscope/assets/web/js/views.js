// The views, in the order in which they stand. Each is loaded when it is first looked at.

export const VIEWS = [
  { id: "overview", title: "Overview", load: () => import("./views/overview.js") },
  { id: "fleet", title: "Fleet", load: () => import("./views/fleet.js"), fleet: true },
  { id: "operations", title: "Operations", load: () => import("./views/operations.js") },
  { id: "memory", title: "Memory", load: () => import("./views/memory.js") },
  { id: "gpu", title: "GPU", load: () => import("./views/gpu.js") },
  { id: "power", title: "Power and heat", load: () => import("./views/power.js") },
  { id: "health", title: "Health", load: () => import("./views/health.js") },
  { id: "alerts", title: "Alerts", load: () => import("./views/alerts.js") },
  { id: "logs", title: "Logs", load: () => import("./views/logs.js"), live: true },
  { id: "traces", title: "Traces", load: () => import("./views/traces.js"), live: true },
  { id: "forecasts", title: "Forecasts", load: () => import("./views/forecasts.js") },
  { id: "events", title: "Events", load: () => import("./views/events.js"), live: true },
  { id: "report", title: "Report", load: () => import("./views/report.js"), live: true },
];

/** Which of them there are: of a fleet, those that a store of metrics can fill; and one's own. */
export function viewsOf(about) {
  const isFleet = about?.live === false;
  const own = (about?.pages ?? []).map(({ id, title }) => ({
    id: `page-${id}`,
    title,
    page: id,
    load: () => import("./views/own.js"),
  }));
  const hidden = (view) => (isFleet ? view.live || view.id === "overview" : view.fleet);
  return [...VIEWS.filter((view) => !hidden(view)), ...own];
}
