// Alerts that have fired, the latest first, of all rules or of one.

import { ask } from "../changes.js";
import { el, keyedList, setText } from "../dom.js";
import { createCard } from "./cards.js";
import { createChoice } from "./fields.js";

const PAGE = 20;
const MOST = 1000; // so many are answered

/** {node, load(), look(), draw(now, active)}; makeAlert() makes what shows one. */
export function createHistory(page, { makeAlert }) {
  const list = el("ul", { class: "alerts", "aria-label": "Alerts that have fired" });
  const said = el("p", { class: "quiet", role: "status" });
  const older = el("button", { type: "button", class: "button more" }, "Older");
  const rule = createChoice(page, { name: "rule", label: "Rule" });
  const card = createCard("What has fired", list, said, older);
  card.node.classList.add("alerts-card");
  card.head.append(rule.node);
  const update = keyedList(list, ({ alert }) => alert.id, makeAlert);
  const rules = new Set();
  let known = null;
  let wanted = PAGE;
  let seen = null; // the rule that was asked for
  let failure = "";
  let turn = 0;

  const load = async () => {
    const mine = ++turn;
    const query = new URLSearchParams({ limit: String(wanted) });
    if (rule.value()) query.set("rule", rule.value());
    const found = await ask(`api/v1/alerts/history?${query}`);
    if (mine !== turn) return;
    older.disabled = false;
    failure = found.ok ? "" : found.why;
    if (found.ok) {
      known = found.data.alerts;
      for (const alert of known) rules.add(alert.rule);
    }
    page.drawSoon();
  };
  // Several fire at one moment: by how many, none is left out, as by time some were.
  older.addEventListener("click", () => {
    wanted = Math.min(MOST, wanted + PAGE);
    older.disabled = true;
    load();
  });

  return {
    node: card.node,
    load,
    look() {
      const now = page.address.params.get("rule") ?? "";
      if (now) rules.add(now);
      showRules();
      if (seen !== null && now !== seen) {
        wanted = PAGE;
        load();
      }
      seen = now;
    },
    draw(now, active) {
      showRules();
      // What is still active is known better than when it was last asked for.
      const fresh = new Map(active.map((alert) => [alert.id, alert]));
      update((known ?? []).map((alert) => ({ alert: fresh.get(alert.id) ?? alert, now, active })));
      const isNone = known !== null && known.length === 0;
      setText(said, failure ? `Cannot be read now: ${failure}` : isNone ? noneText(rule.value()) : "");
      said.hidden = said.textContent === "";
      list.hidden = !known?.length;
      older.hidden = !known || known.length < wanted || wanted === MOST;
      setText(card.hint, hintOf(known, wanted));
    },
  };

  function showRules() {
    rule.look([["", "All rules"], ...[...rules].sort().map((name) => [name, name])]);
  }
}

const noneText = (rule) => (rule ? `No alert of ${rule} has fired.` : "No alert has fired yet.");

function hintOf(known, wanted) {
  if (!known?.length) return "";
  return known.length < wanted ? `${known.length} in all` : `the latest ${known.length}`;
}
