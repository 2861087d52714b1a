// What ran in the time that is looked at: each operation in a table, and one of them, or all, in
// detail.

import { el, setText } from "../dom.js";
import { chosenOf } from "./operations-chosen.js";
import { createDetail } from "./operations-detail.js";
import { cannotBeRead, showNotice } from "./operations-notice.js";
import { createOperationsTable } from "./operations-table.js";

const MOST_ROWS = 500;

export function createView(page) {
  const notice = el("p", { class: "notice" });
  const said = el("p", { class: "visually-hidden", role: "status" });
  const choose = (text) => page.address.set({ operation: text }, { push: true });
  const table = createOperationsTable(page, { onChoose: choose });
  const detail = createDetail(page, {
    onAll() {
      choose(null);
      // The button is gone: what is left of the choice is the table.
      table.node.querySelector("input[type=search]").focus();
    },
  });
  const node = el("div", { class: "view-parts" }, notice, table.node, detail.node, said);

  let answer = null;
  let found = null;
  let readAt = null; // when what was asked for last was read; s
  let stop = null;
  let seen = null; // of the address, when it was last looked at

  const onAnswer = (now) => {
    answer = now;
    // What was read before the source failed stays, and the notice says of when it is.
    if (now.ok) {
      found = foundIn(now, page);
      readAt = page.now();
    } else if (readAt === null) found = null;
    table.update(found);
    page.drawSoon();
  };

  const begin = () => {
    stop?.();
    stop = null;
    readAt = null;
    if (!page.hasPast) return;
    stop = page.follow("past/operations", { limit: MOST_ROWS, step: null }, onAnswer);
  };

  const look = () => {
    const operation = page.address.params.get("operation");
    const time = timeOf(page);
    const isOther = operation !== seen?.operation;
    const isAnother = time !== seen?.time || page.about !== seen.about;
    table.look();
    if (isAnother) begin();
    if (page.hasPast && (isAnother || isOther)) {
      const chosen = chosenOf(operation);
      detail.choose(chosen);
      if (isOther && seen) setText(said, chosen ? `${chosen.name} is shown below` : "All operations are shown below");
    }
    seen = { time, about: page.about, operation };
    page.drawSoon();
  };

  look();
  return {
    node,
    look,
    draw() {
      showNotice(notice, page, answer && !answer.ok ? `What ran ${cannotBeRead(answer, readAt)}` : "");
      table.node.hidden = detail.node.hidden = !page.hasPast;
      node.setAttribute("aria-busy", String(page.hasPast && answer === null));
      if (page.hasPast) detail.draw(found);
    },
    redraw: detail.redraw,
    leave() {
      stop?.();
      table.leave();
      detail.leave();
    },
  };
}

/** What of the address makes other questions. */
const timeOf = ({ address }) =>
  ["range", "since", "until", "compare", "host"].map((name) => address.params.get(name) ?? "").join(" ");

/** What table and detail need of an answer, with how long telemetry ran; s. */
function foundIn({ data, before }, page) {
  const { since, until } = page.window();
  const label = page.comparison()?.label ?? "";
  const isKnown = (before?.operations.length ?? 0) > 0;
  return {
    total: data.total,
    rows: data.operations,
    omitted: data.omitted,
    covered: data.covered_seconds,
    seconds: data.covered_seconds ?? Math.max(1, Math.min(until, page.now()) - since),
    totalBefore: isKnown ? before.total : null,
    rowsBefore: isKnown ? before.operations : [],
    secondsBefore: before?.covered_seconds ?? until - since,
    label: isKnown ? label : "", // what it is compared with
    // Where nothing is known of it all would look new.
    missing: before && !isKnown ? label : "",
  };
}
