// The rules that are looked at, and how each stands.

import { ask } from "../changes.js";
import { el, keyedList, setAttribute, setText } from "../dom.js";
import { createCard } from "./cards.js";
import { createField, holds } from "./fields.js";
import { createFact, createText } from "./texts.js";

const SIGN = { firing: "✕", pending: "!", quiet: "✓", off: "–" };
const STATUS = { firing: "critical", pending: "degraded", quiet: "healthy", off: "unknown" };
const AGAIN_MS = 60_000;

export function createRules(page) {
  const list = el("ul", { class: "rules", "aria-label": "Rules" });
  const said = el("p", { class: "quiet", role: "status" });
  const filter = createField(page, { name: "rules", label: "Filter rules", placeholder: "Filter rules" });
  const card = createCard("Rules", list, said);
  card.head.append(filter.node);
  const update = keyedList(list, ({ rule }) => rule.name, () => createRule(page));
  let known = null;
  let failure = "";
  let askedAt = Number.NEGATIVE_INFINITY;

  const load = async () => {
    if (performance.now() - askedAt < AGAIN_MS) return;
    askedAt = performance.now();
    const found = await ask("api/v1/rules");
    failure = found.ok ? "" : found.why;
    if (found.ok) known = found.data.rules;
    page.drawSoon();
  };

  return {
    node: card.node,
    load,
    look: filter.look,
    draw(alerts) {
      const items = (known ?? []).map((rule) => ({ rule, ...standing(rule, alerts) }));
      const shown = items.filter(({ rule }) => holds(filter.text(), textOf(rule)));
      shown.sort((a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || (a.rule.name < b.rule.name ? -1 : 1));
      update(shown);
      list.hidden = shown.length === 0;
      const nothing = known?.length ? "No rule fits the filter." : "No rule is looked at.";
      setText(said, failure ? `Cannot be read now: ${failure}` : known && shown.length === 0 ? nothing : "");
      said.hidden = said.textContent === "";
      setText(card.hint, known ? `${known.filter((rule) => rule.enabled).length} are looked at` : "");
    },
  };
}

const ORDER = ["firing", "pending", "quiet", "off"];

const textOf = ({ name, expr, summary, severity, component }) => [name, expr, summary, severity, component].join(" ");

/** {state, firing, pending}: how many alerts a rule has now. */
function standing(rule, alerts) {
  const own = alerts.filter((alert) => alert.rule === rule.name);
  const firing = own.filter((alert) => alert.state === "firing").length;
  const pending = own.length - firing;
  const state = !rule.enabled ? "off" : firing ? "firing" : pending ? "pending" : "quiet";
  return { state, firing, pending };
}

const stateText = ({ state, firing, pending }) =>
  state === "off" ? "is not looked at"
  : [firing && `${firing} firing`, pending && `${pending} pending`].filter(Boolean).join(", ") || "quiet";

function createRule(page) {
  const sign = el("span", { class: "badge", "aria-hidden": "true" });
  const name = el("span", { class: "rule-name" });
  const state = el("span", { class: "rule-state" });
  const title = el("span", { class: "quiet" });
  const facts = el("dl", { class: "facts" });
  const actions = el("ol", { class: "rule-actions" });
  const history = el("a", {}, "What it has fired");
  const description = el("p");
  const body = el("div", { class: "rule-body" }, description, facts, actions, el("p", {}, history));
  const node = el("li", { class: "rule" }, el("details", {}, el("summary", {}, sign, name, state, title), body));
  const updateFacts = keyedList(facts, ([label]) => label, (fact) => createFact(fact, isCode));
  const updateActions = keyedList(actions, (text) => text, createText);
  const update = ({ rule, ...now }) => {
    setText(sign, SIGN[now.state]);
    setAttribute(sign, "data-status", STATUS[now.state]);
    setText(name, rule.name);
    setText(state, `${rule.severity} · ${stateText(now)}`);
    setText(title, rule.summary);
    setText(description, rule.description);
    description.hidden = rule.description === "";
    updateFacts(factsOf(rule));
    updateActions(rule.actions);
    actions.hidden = rule.actions.length === 0;
    history.href = page.address.of("alerts", { rule: rule.name });
  };
  return { node, update };
}

function factsOf(rule) {
  const graver = Object.entries(rule.severities).map(([severity, expr]) => [`${severity} where`, expr]);
  const labels = Object.entries(rule.labels).map(([label, value]) => `${label}=${value}`);
  return [
    ["Raised where", rule.expr],
    ...graver,
    ["Held for", rule.for === "0s" ? "fires at once" : rule.for],
    ["Goes on while", rule.keep_firing_while],
    ["Goes on for", rule.keep_firing_for === "0s" ? "" : rule.keep_firing_for],
    ["Component", rule.component],
    ["Labels", labels.join(", ")],
    ["Runbook", rule.runbook],
  ].filter(([, text]) => text);
}

const isCode = (label) => /(where|while)$/.test(label);
