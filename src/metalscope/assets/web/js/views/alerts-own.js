// The alerts of this program: those that are active, the one of the address, and all around them.

import { createAlertWith } from "../alert.js";
import { createButtons } from "../alert-buttons.js";
import { fetchAlert } from "../changes.js";
import { el, keyedList, setText } from "../dom.js";
import { createHistory } from "./alerts-history.js";
import { createRules } from "./alerts-rules.js";
import { createChooser, createSilences } from "./alerts-silences.js";
import { createCard, createNotice } from "./cards.js";
import { createField, holds } from "./fields.js";

const OFF = "No rules are looked at here: alerts are off, or are another program's.";

export function createOwnAlerts(page) {
  const notice = createNotice();
  const silences = createSilences(page);
  const history = createHistory(page, { makeAlert: () => createOpening(page, createButtons()) });
  const rules = createRules(page);
  const active = createActive(page, { onDone: silences.load });
  const named = createNamed(page);
  const parts = [notice, named, active, silences, history, rules];
  const node = el("div", { class: "view-parts" }, ...parts.map((part) => part.node));
  let known = null; // which alerts there were when all around them was asked for

  const learn = ({ alerts }) => {
    const now = alerts.map(({ id, state, silenced_by: by }) => `${id} ${state} ${by}`).join("\n");
    if (now === known) return;
    known = now;
    history.load();
    silences.load();
  };

  return {
    node,
    look() {
      named.look();
      active.look();
      history.look();
      rules.look();
    },
    draw() {
      const { snapshot, alertsOn } = page.state;
      notice.say(snapshot === null ? "The program has not yet said what fires." : alertsOn ? "" : OFF);
      for (const part of [silences, history, rules]) part.node.hidden = !alertsOn;
      active.node.hidden = snapshot === null || (!alertsOn && snapshot.alerts.length === 0);
      if (snapshot === null) return;
      if (alertsOn) {
        learn(snapshot);
        rules.load();
      }
      const now = Date.parse(snapshot.timestamp);
      active.draw(snapshot, alertsOn, now);
      named.draw(active.parts, snapshot.alerts, alertsOn, now);
      history.draw(now, snapshot.alerts);
      silences.draw(now);
      rules.draw(snapshot.alerts);
    },
    leave() {},
  };
}

/** An alert that puts itself into the address when it is opened, so that a link opens it too. */
function createOpening(page, buttons) {
  const alert = createAlertWith(buttons);
  let id = null;
  const details = alert.node.querySelector("details");
  details.addEventListener("toggle", () => {
    const isOf = page.address.params.get("alert") === id;
    if (details.open && !isOf) page.address.set({ alert: id });
    if (!details.open && isOf) page.address.set({ alert: null });
  });
  const update = (item) => {
    id = item.alert.id;
    details.dataset.alert = id;
    alert.update(item);
  };
  return { ...alert, update };
}

function createActive(page, { onDone }) {
  const parts = new Map();
  const list = el("ul", { class: "alerts", "aria-label": "Active alerts" });
  const more = el("p", { class: "quiet" });
  const placeholder = "Filter by text, rule, label";
  const filter = createField(page, { name: "filter", label: "Filter alerts", placeholder });
  const card = createCard("Active", list, more);
  card.node.classList.add("alerts-card");
  card.head.append(filter.node);
  const update = keyedList(list, ({ alert }) => alert.id, ({ alert }) => {
    const part = createOpening(page, createButtons({ createChooser, onDone }));
    parts.set(alert.id, part);
    return part;
  });
  return {
    node: card.node,
    parts,
    look: filter.look,
    draw({ alerts, alerts_omitted: omitted }, canChange, now) {
      const firing = alerts.filter((alert) => alert.state === "firing").length;
      card.node.dataset.firing = firing ? String(firing) : "";
      const shown = alerts.filter((alert) => holds(filter.text(), textOf(alert)));
      update(shown.map((alert) => ({ alert, now, canChange, active: alerts })));
      for (const [id, part] of parts) if (!part.node.isConnected) parts.delete(id);
      list.hidden = shown.length === 0;
      const pending = alerts.length - firing;
      const parted = [`${firing} firing`, pending && `${pending} pending`, omitted && `${omitted} more`];
      setText(card.hint, alerts.length ? parted.filter(Boolean).join(", ") : "");
      const none = alerts.length === 0 ? "Nothing fires, and nothing is about to." : "No alert fits the filter.";
      const said = shown.length === 0 ? none : "";
      const left = omitted ? `${omitted} more are not shown; metalscope alerts lists them all.` : "";
      setText(more, [said, left].filter(Boolean).join(" "));
      more.hidden = more.textContent === "";
    },
  };
}

function textOf({ title, rule, severity, state, component, description, labels }) {
  return [title, rule, severity, state, component, description, ...Object.entries(labels).flat()].join(" ");
}

/** The alert of the address: opened where it stands, else asked for and shown by itself. */
function createNamed(page) {
  const list = el("ul", { class: "alerts", "aria-label": "The alert of the address" });
  const said = el("p", { class: "quiet", role: "status" });
  const card = createCard("The alert of the address", list, said);
  const update = keyedList(list, ({ alert }) => alert.id, () => (shown = createAlertWith(createButtons())));
  let shown = null;
  let seen = null; // the id that was last acted upon
  let isNew = false;
  let known = null;
  let failure = "";

  const fetchWanted = async (id) => {
    const found = await fetchAlert(id);
    if (id !== seen) return;
    if (found.ok) known = found.data;
    else failure = `The alert ${id} is not known here: ${found.why}`;
    page.drawSoon();
  };

  return {
    node: card.node,
    look() {
      const id = page.address.params.get("alert");
      if (id === seen) return;
      seen = id;
      isNew = id !== null;
      known = null;
      failure = "";
    },
    draw(parts, active, canAsk, now) {
      if (isNew) {
        isNew = false;
        const standing = parts.get(seen);
        // Whoever opened it put it into the address.
        const isOpen = [...document.querySelectorAll(".alert details[open]")].some((one) => one.dataset.alert === seen);
        if (!isOpen && standing) standing.open();
        else if (!isOpen && canAsk) fetchWanted(seen);
      }
      const isFresh = known !== null && shown === null;
      update(known ? [{ alert: known, now, active }] : []);
      setText(said, failure);
      said.hidden = failure === "";
      card.node.hidden = known === null && failure === "";
      if (isFresh) shown.open();
      if (known === null) shown = null;
    },
  };
}
