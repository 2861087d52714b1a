// All hosts that a Prometheus scrapes: how each is now, those in trouble first, and over time.

import { el, setAttribute, setText } from "../dom.js";
import { createLines } from "../draw/lines.js";
import { createTable } from "../draw/table.js";
import * as format from "../format.js";
import { columnsOfHosts, itemOfHost } from "./fleet-columns.js";
import { cannotBeRead, showNotice } from "./operations-notice.js";
import { onOneAxis, partsOf } from "../timelines.js";

const AGAIN_MS = 15_000; // how often the hosts are asked for: seldom do they say more often how they are
const MOST_LINES = 50;
const MOST_COMPARED = 4; // hosts; of more only the chosen one is drawn twice
const NOTHING = "no host says";
const ONWARD = ["operations", "memory", "health", "alerts"]; // views of the chosen host

const CHARTS = [
  {
    title: "Operations per second by host",
    wanted: { measure: "operations", by: "host" },
    value: (number) => format.rate(number, NOTHING),
    axis: (number) => ({ text: format.significant(number) }),
  },
  {
    title: "Error rate by host",
    wanted: { measure: "error_rate", by: "host" },
    scale: 100,
    value: (number) => format.percent(number, "nothing ran in this time"),
    axis: (number) => format.percent(number),
  },
  {
    title: "p99 of durations by host",
    wanted: { measure: "p99_ms", by: "host" },
    value: (number) => format.duration(number),
    axis: (number) => format.duration(number),
  },
  {
    title: "GPU utilisation by host",
    wanted: { measure: "resource", kind: "gpu_utilization", by: "host" },
    value: (number) => format.percent(number),
    axis: (number) => format.percent(number),
  },
];

export function createView(page) {
  const notice = el("p", { class: "notice" });
  const hint = el("p", { class: "hint" });
  const all = el("button", { type: "button", class: "button" }, "All hosts");
  const onward = el("p", { class: "onward" });
  const names = new Map();
  const table = createTable({
    caption: "Hosts as they are now",
    columns: columnsOfHosts((row) => nameOf(names, row)),
    sortBy: "health",
    descending: true,
    key: (row) => row.host,
    onRow: ({ host }) => page.address.set({ host: host === page.host() ? null : host }, { push: true }),
    emptyText: "No host is known.",
  });
  all.addEventListener("click", () => {
    page.address.set({ host: null }, { push: true });
    table.node.querySelector(".scroll").focus();
  });
  const card = el(
    "section", { class: "card fleet-view", "aria-labelledby": "hosts-title" },
    el("div", { class: "card-head" }, el("h2", { id: "hosts-title" }, "Hosts"), hint, onward, all),
    table.node,
  );
  const onZoom = (since, until) => page.lookAt(since, until);
  const charts = CHARTS.map((how) => ({
    ...how,
    lines: createLines({ ...how, onZoom, emptyText: NOTHING }),
    note: el("p", { class: "hint chart-note" }),
    answer: null,
    isFresh: false,
  }));
  for (const { lines, note } of charts) {
    lines.node.append(note);
    lines.node.classList.add("waiting", "never");
  }
  const nodes = charts.map(({ lines }) => lines.node);
  const over = el("section", { "aria-label": "Hosts over time", class: "charts" }, ...nodes);
  const node = el("div", { class: "view-parts" }, notice, card, over);

  let answer = null;
  let rows = [];
  let shown = {}; // of them, and which host was marked
  let readAt = null; // s
  let timer = 0;
  let isLeft = false;
  let stops = [];
  let seen = null;

  const drawAllAnew = () => {
    for (const chart of charts) chart.isFresh = chart.answer !== null;
  };

  const lookAtHosts = async () => {
    clearTimeout(timer);
    // Of all of them, whichever host is chosen.
    const now = page.isPaused() && answer ? answer : await page.ask("past/hosts", { host: null });
    if (isLeft) return;
    answer = now;
    if (now.ok) {
      readAt = page.now();
      // Colours go by what hosts there are.
      if (now.data.hosts.length !== rows.length) drawAllAnew();
      rows = now.data.hosts.map(itemOfHost);
      for (const host of names.keys()) if (!rows.some((row) => row.host === host)) names.delete(host);
    }
    clearTimeout(timer);
    timer = setTimeout(lookAtHosts, AGAIN_MS);
    page.drawSoon();
  };

  const followAll = () => {
    for (const stop of stops) stop();
    stops = charts.map((chart) =>
      page.follow("past/lines", { ...chart.wanted, host: null, limit: MOST_LINES }, (found) => {
        chart.answer = found;
        chart.isFresh = true;
        page.drawSoon();
      }),
    );
  };

  const look = () => {
    const time = ["range", "since", "until", "compare"].map((name) => page.address.params.get(name) ?? "").join(" ");
    const isAnother = time !== seen?.time || page.about !== seen.about;
    if (isAnother && page.hasPast) {
      followAll();
      lookAtHosts();
    }
    if (seen && page.host() !== seen.host) drawAllAnew();
    onward.replaceChildren(...ONWARD.map((view) => el("a", { href: page.address.of(view) }, `Its ${view}`)));
    seen = { time, about: page.about, host: page.host() };
    page.drawSoon();
  };

  const drawChart = (chart) => {
    const chosen = page.host();
    const comparison = page.comparison();
    const hosts = rows.map((row) => row.host).sort();
    const isChosen = ({ host }) => chosen === "" || host === chosen;
    const isCompared = (line) => (chosen === "" ? hosts.length <= MOST_COMPARED : isChosen(line));
    const parts = partsOf(chart.answer, {
      comparison,
      isCompared,
      scale: chart.scale,
      // A host has the same colour in all charts, whatever their order.
      colourOf: ({ host }, index) => (hosts.includes(host) ? hosts.indexOf(host) : index),
      labelOf: (line, isBefore) => [labelOfHost(line), isBefore && comparison.label].filter(Boolean).join(", "),
    });
    for (const part of parts) if (!isChosen(part.line)) part.faint = true;
    const { since, until, isLive } = page.window();
    chart.lines.node.classList.remove("waiting", "never");
    chart.lines.update({ ...onOneAxis(parts, { isLive }), since, until });
    setText(chart.note, noteOf(chart.answer));
    chart.note.hidden = chart.note.textContent === "";
  };

  const mark = () => {
    for (const { host } of rows) {
      const row = names.get(host)?.closest("tr");
      if (!row) continue;
      row.classList.toggle("chosen", host === page.host());
      setAttribute(row.querySelector(".row-button"), "aria-pressed", String(host === page.host()));
    }
  };

  // Rows that come to sight by sorting are marked as well.
  table.node.addEventListener("click", mark);
  look();
  return {
    node,
    look,
    draw() {
      showNotice(notice, page, answer && !answer.ok ? `How the hosts are ${cannotBeRead(answer, readAt)}` : "");
      card.hidden = over.hidden = !page.hasPast;
      node.setAttribute("aria-busy", String(page.hasPast && answer === null));
      const host = page.host();
      all.hidden = onward.hidden = host === "";
      setText(hint, hintOf(rows, host));
      if (shown.rows !== rows || shown.host !== host) {
        table.update(rows);
        mark();
        shown = { rows, host };
      }
      for (const chart of charts) {
        if (chart.isFresh) drawChart(chart);
        chart.isFresh = false;
      }
    },
    redraw: () => charts.forEach(({ lines }) => lines.redraw()),
    leave() {
      isLeft = true;
      clearTimeout(timer);
      for (const stop of stops) stop();
      for (const { lines } of charts) lines.destroy();
    },
  };
}

function nameOf(names, { host }) {
  if (!names.has(host)) names.set(host, el("span", { title: host }, host));
  return names.get(host);
}

// Of readings a host may have several, one a device.
function labelOfHost({ host, name, device }) {
  const reading = [name, device].filter(Boolean).join(" ");
  return [host, reading].filter(Boolean).join(" · ");
}

function noteOf(answer) {
  if (!answer.ok) return `Cannot be read now: ${answer.why}.`;
  const { omitted } = answer.data;
  return omitted > 0 ? `The highest ones; ${format.count(omitted).text} more are not drawn.` : "";
}

function hintOf(rows, chosen) {
  if (rows.length === 0) return "";
  const inTrouble = rows.filter((row) => row.trouble >= 1).length;
  const many = rows.length === 1 ? "1 host" : `${format.count(rows.length).text} hosts`;
  const trouble = inTrouble === 0 ? "none in trouble" : `${format.count(inTrouble).text} in trouble`;
  const parts = [`${many}, ${trouble}`, "over the last minutes"];
  if (chosen && !rows.some((row) => row.host === chosen)) parts.push(`${chosen} is not known now`);
  return parts.join(" · ");
}
