// What fires on the hosts of a fleet, as the store of metrics has it.

import { el, setText } from "../dom.js";
import { createTable } from "../draw/table.js";
import * as format from "../format.js";
import { createCard, createNotice } from "./cards.js";
import { createField, holds } from "./fields.js";

const AGAIN_MS = 15_000;
const RANK = { low: 0, medium: 1, high: 2, critical: 3 };
const SIGN = { critical: "✕", high: "▲", medium: "!", low: "i" };

export function createFleetAlerts(page) {
  const notice = createNotice();
  const filter = createField(page, { name: "filter", label: "Filter alerts", placeholder: "Filter by host, rule" });
  const table = createTable({
    caption: "Alerts that fire, by host",
    columns: [
      { id: "rule", label: "Rule", cell: ({ rule }) => rule, sort: ({ rule }) => rule },
      {
        id: "severity", label: "Severity",
        cell: ({ severity }) => `${SIGN[severity] ?? "?"} ${severity}`,
        sort: ({ severity }) => RANK[severity] ?? -1,
      },
      { id: "host", label: "Host", cell: (row) => row.link, sort: ({ host }) => host },
      {
        id: "health", label: "Health of the host",
        cell: ({ health }) => health ?? format.absent("the host does not say"),
        sort: ({ health }) => health,
      },
    ],
    sortBy: "severity",
    descending: true,
    key: ({ key }) => key,
    emptyText: "Nothing fires on any host.",
  });
  const card = createCard("Firing", table.node);
  card.head.append(filter.node);
  const links = new Map();
  let answer = null;
  let timer = 0;
  let isLeft = false;

  const load = async () => {
    clearTimeout(timer);
    if (!page.isPaused() || answer === null) {
      const found = await page.ask("past/hosts", { host: null });
      if (isLeft) return;
      answer = found;
      page.drawSoon();
    }
    clearTimeout(timer);
    timer = setTimeout(load, AGAIN_MS);
  };
  load();

  const linkTo = (key, host) => {
    const link = links.get(key) ?? el("a", {}, host);
    links.set(key, link);
    link.href = page.address.of("fleet", { host });
    return link;
  };

  return {
    node: el("div", { class: "view-parts" }, notice.node, card.node),
    look: filter.look,
    draw() {
      notice.say(answer && !answer.ok ? `The hosts cannot be read now: ${answer.why}.` : "");
      card.node.hidden = !answer?.ok;
      if (!answer?.ok) return;
      const hosts = answer.data.hosts.filter(({ host }) => page.host() === "" || host === page.host());
      const rows = hosts.flatMap(({ host, health, alerts }) =>
        alerts.map(([rule, severity], place) => {
          const key = JSON.stringify([host, rule, severity, place]);
          return { key, host, health, rule, severity, link: linkTo(key, host) };
        }),
      );
      for (const key of links.keys()) if (!rows.some((row) => row.key === key)) links.delete(key);
      table.update(rows.filter(({ rule, severity, host }) => holds(filter.text(), `${rule} ${severity} ${host}`)));
      setText(card.hint, hintOf(rows, hosts));
    },
    leave() {
      isLeft = true;
      clearTimeout(timer);
    },
  };
}

function hintOf(rows, hosts) {
  if (rows.length === 0) return "";
  const affected = new Set(rows.map(({ host }) => host)).size;
  const fire = rows.length === 1 ? "1 fires" : `${rows.length} fire`;
  return `${fire}, on ${affected} of ${hosts.length} hosts. Each host's own page says more.`;
}
