// The section of alerts: those that are active, those that were, and the one the address names.

import { createAlert } from "./alert.js";
import { ask, fetchAlert } from "./changes.js";
import { el, keyedList, setText } from "./dom.js";

const PAGE = 20;

/** How many fire, as the title of the document has it; empty where none does. */
export function firingText({ alerts, alerts_omitted: omitted }) {
  const firing = alerts.filter((alert) => alert.state === "firing").length;
  return firing ? `${firing}${omitted ? "+" : ""}` : "";
}

export function createAlerts({ card, hint, body, history }, onChange) {
  const parts = new Map();
  const list = el("ul", { class: "alerts", "aria-labelledby": "alerts-title" });
  const more = el("p", { class: "quiet" });
  const past = createHistory(history);
  const named = createNamed(onChange);
  body.append(named.node, list, more, past.node);

  const updateList = keyedList(list, ({ alert }) => alert.id, ({ alert }) => {
    const part = createAlert();
    parts.set(alert.id, part);
    return part;
  });

  return ({ snapshot, alertsOn }) => {
    const { alerts, alerts_omitted: omitted } = snapshot;
    const now = Date.parse(snapshot.timestamp);
    card.hidden = !alertsOn && alerts.length === 0;
    card.dataset.firing = firingText(snapshot);
    setText(hint, hintOf(alerts, omitted));
    updateList(alerts.map((alert) => ({ alert, now, canChange: alertsOn, active: alerts })));
    for (const [id, part] of parts) if (!part.node.isConnected) parts.delete(id);
    list.hidden = alerts.length === 0;
    more.hidden = !omitted;
    setText(more, `${omitted} more are not shown; metalscope alerts lists them all.`);
    history.hidden = !alertsOn;
    past.redraw(now);
    named.look(parts, alertsOn, now);
  };
}

function hintOf(alerts, omitted) {
  const firing = alerts.filter((alert) => alert.state === "firing").length;
  const parts = [`${firing} firing`];
  if (alerts.length > firing) parts.push(`${alerts.length - firing} pending`);
  if (omitted) parts.push(`${omitted} more`);
  return alerts.length ? parts.join(", ") : "None is active";
}

function createHistory(button) {
  const list = el("ul", { class: "alerts", "aria-label": "Recent alerts" });
  const said = el("p", { class: "quiet", role: "status" });
  const older = el("button", { type: "button", class: "button" }, "Older");
  const node = el("div", { class: "past", id: "alerts-past", hidden: true }, el("h3", {}, "Recent alerts"), list, said, older);
  const updateList = keyedList(list, ({ alert }) => alert.id, createAlert);
  let known = [];
  let time = 0;

  const redraw = (now) => {
    time = now;
    if (!node.hidden) updateList(known.map((alert) => ({ alert, now })));
  };
  const load = async (before) => {
    const since = before ? `&before=${encodeURIComponent(before)}` : "";
    older.disabled = true;
    const found = await ask(`api/v1/alerts/history?limit=${PAGE}${since}`);
    older.disabled = false;
    if (found.ok) known = before ? [...known, ...found.data.alerts] : found.data.alerts;
    setText(said, found.ok ? (known.length ? "" : "No alert has fired yet.") : `Cannot be read: ${found.why}`);
    older.hidden = !found.ok || found.data.alerts.length < PAGE;
    redraw(time);
  };
  older.addEventListener("click", () => load(known.at(-1).fired_at));
  button.setAttribute("aria-controls", node.id);
  button.addEventListener("click", () => {
    node.hidden = !node.hidden;
    button.setAttribute("aria-expanded", String(!node.hidden));
    if (!node.hidden) load("");
  });
  return { node, redraw };
}

/** #alert=<id> opens that alert, and asks for it where it is over. */
function createNamed(onChange) {
  const list = el("ul", { class: "alerts", "aria-label": "The alert of the address" });
  const said = el("p", { class: "quiet", role: "status" });
  const node = el("div", {}, list, said);
  const updateList = keyedList(list, ({ alert }) => alert.id, (item) => (shown = createAlert(item)));
  let wanted = idInAddress();
  let shown = null;
  let known = null;
  let isNew = false; // whether what is known has yet to be opened

  addEventListener("hashchange", () => {
    wanted = idInAddress();
    known = null;
    setText(said, "");
    onChange();
  });

  const fetchWanted = async (id) => {
    const found = await fetchAlert(id);
    if (found.ok) known = found.data;
    else setText(said, `The alert ${id} of the address is not known here: ${found.why}`);
    isNew = found.ok;
    onChange();
  };
  const look = (parts, canAsk, now) => {
    const id = wanted;
    if (id !== null) {
      wanted = null;
      if (parts.has(id)) parts.get(id).open();
      else if (canAsk) fetchWanted(id);
    }
    updateList(known ? [{ alert: known, now }] : []);
    if (isNew && known) shown.open();
    isNew = false;
  };
  return { node, look };
}

function idInAddress() {
  const found = /^#alert=(.+)$/.exec(location.hash);
  try {
    return found && decodeURIComponent(found[1]);
  } catch {
    return null;
  }
}
