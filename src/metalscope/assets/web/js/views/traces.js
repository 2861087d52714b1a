// The latest traces in a table, and one of them as it ran.

import { el, setText } from "../dom.js";
import { createNotice } from "./cards.js";
import { createFilters } from "./tails-filters.js";
import { createPoll, createTurn, isInSight } from "./tails-poll.js";
import { secondsOf } from "./tails-time.js";
import { createTraceTable, MOST_LIVE } from "./traces-table.js";
import { createTrace } from "./traces-one.js";

const EVERY_MS = 5_000;
const MOST = 500;

const FIELDS = [
  { name: "name", label: "Name", type: "search", placeholder: "of any span in it", wide: true },
  {
    name: "failed", label: "Outcome", type: "select",
    options: [["", "All"], ["true", "✕ failed"], ["false", "not failed"]],
  },
  { name: "min_ms", label: "Took at least, ms", type: "number" },
  { name: "correlation_id", label: "Correlation", type: "text", placeholder: "id of the work" },
];

export function createView(page) {
  const notice = createNotice();
  const said = el("p", { class: "visually-hidden", role: "status" });
  const filters = createFilters(page, "Choose traces", FIELDS);
  const table = createTraceTable(page, filters, {
    onChoose: (trace) => page.address.set({ trace, span: null }, { push: true }),
  });
  const one = createTrace(page, {
    onSpan: (span) => page.address.set({ span }),
    onClose() {
      page.address.set({ trace: null, span: null }, { push: true });
      // The button is gone: what is left of the choice is the table.
      table.focus();
    },
  });
  const node = el("div", { class: "view-parts" }, notice.node, table.node, one.node, said);

  let answer = null;
  let chosen; // the trace of the address; undefined before it was looked at

  const ask = () => page.ask("traces", { ...filters.wanted(), limit: page.window().isLive ? MOST_LIVE : MOST });
  const take = (found) => {
    answer = found;
    if (found.ok) {
      table.update(found.data.traces.filter((trace) => isInSight(page, secondsOf(trace.start))));
      one.learn(found.data.traces);
    }
    page.drawSoon();
    return false;
  };
  const poll = createPoll(page, { everyMs: EVERY_MS, ask, onAnswer: take });

  const isOther = createTurn(page, filters);
  const look = () => {
    filters.look();
    if (isOther()) poll.begin();
    const trace = page.address.params.get("trace");
    if (trace !== chosen) {
      if (chosen !== undefined) setText(said, trace ? "The trace is shown below" : "No trace is shown");
      chosen = trace;
    }
    one.choose(trace, page.address.params.get("span"));
    table.look();
    page.drawSoon();
  };

  look();
  return {
    node,
    look,
    draw() {
      notice.say(whyNot(answer));
      node.setAttribute("aria-busy", String(answer === null));
      const isOff = answer?.ok === true && !answer.data.is_on;
      table.node.hidden = isOff;
      one.node.hidden = isOff || chosen === null;
      table.draw(answer);
    },
    redraw: () => one.redraw(),
    leave() {
      poll.stop();
      filters.leave();
      one.leave();
    },
  };
}

function whyNot(answer) {
  if (answer === null) return "";
  if (!answer.ok) return `The traces cannot be read now: ${answer.why}.`;
  return answer.data.is_on ? "" : `There are no traces to show: ${answer.data.why}.`;
}
