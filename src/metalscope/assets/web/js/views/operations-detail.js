// The chosen operation, or all of them together: figures, charts, failures, and where to read on.

import { el, keyedList, setAttribute, setText, show } from "../dom.js";
import * as format from "../format.js";
import { createOperationCharts } from "./operations-charts.js";
import { fits, patternsOf, placeOf, titleOf } from "./operations-chosen.js";
import { changeOf, changeText, gradeChange, itemOf, rateOf, shareOf } from "./operations-columns.js";

const NOT_TIMED = "none that went well was timed";
const NOT_RUN = "nothing ran in this time";
const SEVERAL = "of several rows together there are no percentiles; choose one";

const FIGURES = [
  ["Operations", (row) => format.count(row.operations)],
  ["A second", (row) => ({ ...format.rate(row.rate, NOT_RUN), unit: undefined }), "rate"],
  ["Failed", (row) => format.count(row.errors)],
  ["Error rate", (row) => format.share(row.error_rate, NOT_RUN)],
  ["Mean", (row) => format.duration(row.mean_ms, row.why ?? NOT_TIMED), "mean_ms"],
  ["p50", (row) => format.duration(row.p50_ms, row.why ?? NOT_TIMED), "p50_ms"],
  ["p95", (row) => format.duration(row.p95_ms, row.why ?? NOT_TIMED), "p95_ms"],
  ["p99", (row) => format.duration(row.p99_ms, row.why ?? NOT_TIMED), "p99_ms"],
  ["Max", (row) => format.duration(row.max_ms, NOT_TIMED)],
  ["Bytes", (row) => format.bytes(row.nbytes, "none says how many bytes it had")],
];

export function createDetail(page, { onAll }) {
  const title = el("h2", { id: "chosen-operation" });
  const where = el("p", { class: "hint" });
  const note = el("p", { class: "quiet detail-note" });
  const links = el("p", { class: "detail-links" });
  const all = el("button", { type: "button", class: "button" }, "All operations");
  all.addEventListener("click", onAll);
  const figures = FIGURES.map(([label]) => {
    const value = el("dd");
    const change = el("dd", { class: "change" });
    return { node: el("div", {}, el("dt", {}, label), value, change), value, change };
  });
  const charts = createOperationCharts(page);
  const failures = createFailures();
  const node = el(
    "section", { class: "detail", "aria-labelledby": "chosen-operation" },
    el(
      "div", { class: "card" },
      el("div", { class: "card-head" }, title, where, links, all),
      el("dl", { class: "figures" }, ...figures.map((figure) => figure.node)),
      note,
    ),
    el("div", { class: "charts" }, ...charts.nodes, failures.node),
  );

  let chosen = null;
  let drawn = { row: null }; // {found, chosen, row}: what the figures are of

  const showFigures = (row, before, label, why) => {
    for (const [n, [, figure, id]] of FIGURES.entries()) {
      const { value, change } = figures[n];
      show(value, row === null ? format.absent(why) : format.joined(figure(row)));
      const by = id && row && label ? changeOf(row[id], before?.[id]) : null;
      setText(change, by === null ? "" : changeText(by));
      gradeChange(change, id === "rate" ? null : by);
      setAttribute(change, "title", by === null ? null : `against ${label}`);
    }
  };

  return {
    node,
    /** Another operation is chosen, or none. */
    choose(next) {
      chosen = next;
      setText(title, titleOf(chosen));
      title.classList.toggle("mono", chosen !== null);
      setText(where, placeOf(chosen));
      all.hidden = chosen === null;
      links.replaceChildren(...linksOf(page, chosen));
      charts.ask(patternsOf(chosen));
    },
    /** found: {total, rows, before, seconds, secondsBefore, label} of what ran, or null. */
    draw(found) {
      if (found !== drawn.found || chosen !== drawn.chosen) {
        const row = found && rowOf(chosen, found.total, found.rows, found.seconds);
        const before = found && rowOf(chosen, found.totalBefore, found.rowsBefore, found.secondsBefore);
        showFigures(row, before, found?.label, found ? NOT_RUN : "not known");
        failures.update(row, found !== null);
        drawn = { found, chosen, row };
      }
      charts.draw(drawn.row);
      setText(note, noteOf(chosen, found, charts.why()));
      note.hidden = note.textContent === "";
    },
    redraw: charts.redraw,
    leave: charts.leave,
  };
}

/** One row of all that are meant: of several what can be added up. */
function rowOf(chosen, total, rows, seconds) {
  if (chosen === null) return total && itemOf(total, seconds);
  const meant = rows.filter((row) => fits(chosen, row));
  if (meant.length === 0) return null;
  if (meant.length === 1) return itemOf(meant[0], seconds);
  const sum = (id) => meant.reduce((all, row) => all + (row[id] ?? 0), 0);
  const failures = {};
  for (const row of meant) {
    for (const [type, count] of Object.entries(row.failures)) failures[type] = (failures[type] ?? 0) + count;
  }
  const known = { operations: sum("operations"), errors: sum("errors") };
  const longest = meant.map((row) => row.max_ms).filter((ms) => ms !== null);
  return {
    ...known,
    failures,
    rate: rateOf(known, seconds),
    error_rate: shareOf(known),
    mean_ms: null, p50_ms: null, p90_ms: null, p95_ms: null, p99_ms: null, p999_ms: null,
    max_ms: longest.length ? Math.max(...longest) : null,
    nbytes: meant.every((row) => row.nbytes === null) ? null : sum("nbytes"),
    why: SEVERAL,
  };
}

function noteOf(chosen, found, why) {
  if (why) return `Not all could be read: ${why}.`;
  if (chosen === null || found === null) return "";
  if (!found.rows.some((row) => fits(chosen, row))) {
    return found.omitted > 0
      ? "It is not among the busiest operations of this time, which the table has."
      : "It did not run in this time.";
  }
  return "";
}

function linksOf(page, chosen) {
  if (page.isFleet || chosen === null) return [];
  return [
    el("a", { href: page.address.of("traces", { name: chosen.name }) }, "Its traces"),
    el("a", { href: page.address.of("logs", { contains: chosen.name }) }, "Its log"),
  ];
}

function createFailures() {
  const list = el("div");
  const none = el("p", { class: "quiet" });
  const node = el(
    "section", { class: "card failures", "aria-labelledby": "failures-of-time" },
    el("div", { class: "card-head" }, el("h3", { id: "failures-of-time" }, "Failures by type")),
    list, none,
  );
  const fill = keyedList(list, ([type]) => type, ([type]) => createFailure(type));
  return {
    node,
    update(row, isKnown) {
      const types = Object.entries(row?.failures ?? {}).sort(([, a], [, b]) => b - a);
      const total = types.reduce((sum, [, count]) => sum + count, 0);
      fill(types.map(([type, count]) => [type, count, total]));
      none.hidden = types.length > 0;
      setText(
        none,
        !isKnown ? "Not known."
        : row === null || row.operations === 0 ? "Nothing ran in this time."
        : row.errors > 0 ? "What failed is not known by type."
        : "Nothing failed in this time.",
      );
    },
  };
}

function createFailure(type) {
  const value = el("span", { class: "value" });
  const bar = el("span");
  const node = el(
    "div", { class: "meter-row" },
    el("div", { class: "meter-head" }, el("span", { class: "label" }, format.words(type)), value),
    el("div", { class: "meter", "aria-hidden": "true" }, bar),
  );
  const update = ([, count, total]) => {
    setText(value, `${format.count(count).text} · ${format.whole(format.share(count / total))}`);
    bar.style.width = `${(100 * count) / total}%`;
  };
  return { node, update };
}
