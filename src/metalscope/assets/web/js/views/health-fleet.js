// The components of each host of a fleet, as they are now.

import { createTable } from "../draw/table.js";
import { el, setAttribute } from "../dom.js";
import * as format from "../format.js";
import { SIGN } from "../health.js";
import { createCard, createNotice } from "./cards.js";

const AGAIN_MS = 5_000;
const COMPONENTS = ["memory", "device", "kernel", "compiler", "system"];
const BADNESS = { critical: 3, degraded: 2, healthy: 1, unknown: 0 };

export function createFleetHealth(page) {
  const notice = createNotice();
  const links = new Map(); // a link that is made anew loses the focus
  const linkOf = (host) => {
    if (!links.has(host)) links.set(host, el("a", {}, host));
    const link = links.get(host);
    setAttribute(link, "href", page.address.of("health", { host }));
    return link;
  };
  const table = createTable({
    caption: "Components of each host",
    columns: [
      { id: "host", label: "Host", cell: (row) => linkOf(row.host), sort: (row) => row.host },
      { id: "health", label: "Health", cell: (row) => status(row.health), sort: (row) => BADNESS[row.health] ?? null },
      ...COMPONENTS.map((id) => ({
        id,
        label: id[0].toUpperCase() + id.slice(1),
        cell: (row) => status(row.components[id]),
        sort: (row) => BADNESS[row.components[id]] ?? null,
      })),
      { id: "alerts", label: "Alerts", cell: (row) => alertsOf(row), sort: (row) => row.alerts.length, numeric: true },
    ],
    sortBy: "health",
    descending: true,
    key: (row) => row.host,
    emptyText: "No host is known.",
  });
  const card = createCard("Health of hosts", table.node);
  let timer = 0;
  let turn = 0;
  let answer = null;

  const leave = () => {
    turn += 1;
    clearTimeout(timer);
  };
  const ask = async (mine) => {
    const found = page.isPaused() && answer ? answer : await page.ask("past/hosts", { host: "" });
    if (mine !== turn) return;
    answer = found;
    page.drawSoon();
    timer = setTimeout(() => ask(mine), AGAIN_MS);
  };

  return {
    node: el("div", { class: "view-resources" }, notice.node, card.node),
    leave,
    look() {
      leave();
      ask(turn);
    },
    draw() {
      notice.say(answer?.ok === false ? answer.why : "");
      card.hint.textContent = page.window().isLive ? "" : "as it is now, not in the time shown";
      if (!answer?.ok) return;
      const host = page.host();
      table.update(answer.data.hosts.filter((one) => host === "" || one.host === host));
    },
  };
}

const status = (word) =>
  word ? `${SIGN[word] ?? SIGN.unknown} ${word}` : format.absent("it says nothing of it");

function alertsOf({ alerts }) {
  const names = alerts.map(([rule, severity]) => `${rule} (${severity})`).join(", ");
  return { text: String(alerts.length), title: names || "none fires" };
}
