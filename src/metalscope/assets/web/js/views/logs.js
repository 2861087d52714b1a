// The log as it goes on: the latest records, chosen by severity, work, trace and text.

import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { createNotice } from "./cards.js";
import { createRecordList } from "./logs-list.js";
import { SEVERITIES } from "./logs-record.js";
import { createFilters } from "./tails-filters.js";
import { createPoll, createTurn, isInSight } from "./tails-poll.js";
import { secondsOf } from "./tails-time.js";

const EVERY_MS = 2_000;
const MOST = 1000; // what one answer has at most

const FIELDS = [
  { name: "contains", label: "Text", type: "search", placeholder: "in any of a record's texts", wide: true },
  {
    name: "severity", label: "Severity", type: "select",
    options: [["", "All"], ...SEVERITIES.slice(1).map(({ name, sign }) => [name, `${sign} ${name}${name === "critical" ? "" : " and graver"}`])],
  },
  { name: "correlation_id", label: "Correlation", type: "text", placeholder: "id of the work" },
  { name: "trace_id", label: "Trace", type: "text", placeholder: "32 hex digits" },
];

export function createView(page) {
  const notice = createNotice();
  const filters = createFilters(page, "Choose records", FIELDS);
  const list = createRecordList(page);
  const hint = el("p", { class: "hint" });
  const links = el("p", { class: "tail-links" });
  const nothing = el("p", { class: "empty" });
  const card = el(
    "section", { class: "card logs-view", "aria-labelledby": "log-title" },
    el("div", { class: "card-head" }, el("h2", { id: "log-title" }, "Log"), hint, links),
    filters.node, list.node, nothing,
  );
  const node = el("div", { class: "view-parts" }, notice.node, card);

  let after = null; // the number up to which records are known; null where all is asked for anew
  let answer = null;

  const ask = () => page.ask("logs", { ...filters.wanted(), limit: MOST, after: after || null });

  /** Whether there may be more already. */
  const take = (found) => {
    answer = found;
    page.drawSoon();
    if (!found.ok) return false;
    const { records, last, forgotten } = found.data;
    const fitting = records.filter((record) => isInSight(page, secondsOf(record.timestamp)));
    // Fewer than were known: another run of the program, which began to count anew.
    const isAnew = after === null || last < after;
    if (isAnew) list.replace(fitting);
    else list.add([...gapOf(forgotten - after), ...fitting]);
    const isMore = !isAnew && records.length >= MOST;
    after = last;
    return isMore;
  };
  const poll = createPoll(page, { everyMs: EVERY_MS, ask, onAnswer: take });

  const isOther = createTurn(page, filters);
  const look = () => {
    filters.look();
    if (isOther()) {
      after = null;
      poll.begin();
      links.replaceChildren(...linksOf(page));
    }
    page.drawSoon();
  };

  look();
  return {
    node,
    look,
    draw() {
      const why = whyNot(answer);
      notice.say(why);
      node.setAttribute("aria-busy", String(answer === null));
      const isOff = answer?.ok === true && !answer.data.is_on;
      card.hidden = isOff;
      list.node.hidden = list.length === 0;
      nothing.hidden = list.length > 0 || answer === null || why !== "";
      setText(nothing, whyNothing(page, filters));
      setText(hint, hintOf(page, answer, list.length));
    },
    leave() {
      poll.stop();
      filters.leave();
      list.leave();
    },
  };
}

const gapOf = (count) => (count > 0 ? [{ gap: count }] : []);

function linksOf(page) {
  const { params } = page.address;
  const [correlation, trace] = [params.get("correlation_id"), params.get("trace_id")];
  const found = [];
  if (correlation) found.push(el("a", { href: page.address.of("traces", { correlation_id: correlation }) }, `Traces of ${correlation}`));
  if (trace) found.push(el("a", { href: page.address.of("traces", { trace }) }, "The trace"));
  return found;
}

function whyNot(answer) {
  if (answer === null) return "";
  if (!answer.ok) return `The log cannot be read now: ${answer.why}.`;
  return answer.data.is_on ? "" : `There is no log to show: ${answer.data.why}.`;
}

function whyNothing(page, filters) {
  if (!page.window().isLive) {
    return filters.isAny()
      ? "No record of this time fits the filters, of those that are kept."
      : "Nothing was logged in this time, or it is not kept any more.";
  }
  return filters.isAny() ? "No record fits the filters." : "Nothing has been logged yet.";
}

function hintOf(page, answer, shown) {
  if (!answer?.ok || shown === 0) return "";
  const parts = [`${format.count(shown).text} ${shown === 1 ? "record" : "records"}`];
  parts.push(!page.window().isLive ? "of this time" : page.isPaused() ? "paused" : "the latest, as they come");
  const { forgotten } = answer.data;
  if (forgotten > 0) parts.push(`${format.count(forgotten).text} older ones are not kept any more`);
  return parts.join(" · ");
}
