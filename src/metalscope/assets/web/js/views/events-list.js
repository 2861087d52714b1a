// Entries of the line of time, the latest first, with where they lead.

import { el, keyedList, setAttribute, setText } from "../dom.js";
import * as format from "../format.js";
import { KINDS } from "./events-entries.js";

export function createEntries(page) {
  const node = el("ol", { class: "entries", "aria-label": "What happened, the latest first" });
  const fill = keyedList(node, ({ key }) => key, (entry) => createEntry(page, entry));
  return {
    node,
    update(entries) {
      node.hidden = entries.length === 0;
      fill(entries);
    },
  };
}

function createEntry(page, { t, kind, sign, severity, isBad, title, text, facts, correlations, traces, alert }) {
  const date = new Date(t * 1000);
  const time = el("time", { datetime: date.toISOString(), title: date.toString() }, format.moment(date));
  const badge = el("span", { class: "badge", "aria-hidden": "true" }, sign);
  const what = el("p", { class: "entry-title" }, el("strong", {}, title), " ");
  what.append(el("span", { class: "quiet" }, [KINDS[kind].word, severity].filter(Boolean).join(", ")));
  const body = el("div", { class: "entry-body" }, what);
  if (text) body.append(el("p", {}, text));
  if (facts.length) body.append(el("p", { class: "entry-facts" }, facts.join("  ")));
  const links = el("p", { class: "entry-links" });
  const parts = [
    ...(alert ? [el("a", { data: { to: "alert" } }, "The alert")] : []),
    ...correlations.flatMap((id) => [
      narrowing(page, id),
      lead("logs", id, "Its log"),
      lead("traces", id, "Its traces"),
    ]),
    ...traces.map((id) => lead("trace", id, `Trace ${id.slice(0, 8)}`)),
  ];
  links.append(...parts);
  links.hidden = parts.length === 0;
  body.append(links);
  const node = el("li", { class: "entry", data: { kind, bad: String(isBad) } }, time, badge, body);
  const update = () => {
    setText(time, format.moment(date));
    for (const link of links.querySelectorAll("a")) showLink(page, link, alert);
  };
  return { node, update };
}

const lead = (to, id, words) => el("a", { data: { to, id }, title: id }, words);

// The time goes along, so the address is another one each time that another is looked at.
function showLink({ about, address }, link, alert) {
  const { to, id } = link.dataset;
  const leads = {
    alert: () => address.of("alerts", { alert }),
    logs: () => address.of("logs", { correlation_id: id }),
    traces: () => address.of("traces", { correlation_id: id }),
    trace: () => address.of("traces", { trace: id }),
  };
  setAttribute(link, "href", leads[to]());
  link.hidden = to !== "alert" && about?.[to === "logs" ? "logs" : "traces"]?.is_on !== true;
}

/** The correlation id, which narrows the list to what has it. */
function narrowing(page, id) {
  const title = "Show only what has this correlation id";
  const button = el("button", { type: "button", class: "id-button", title }, id);
  button.addEventListener("click", () => page.address.set({ filter: id }, { push: true }));
  return button;
}
