// Cards that several views are made of.

import { el, keyedList, setText } from "../dom.js";
import { createMeters } from "../resources.js";

const MOST_READINGS = 30;
let numbered = 0;

/** A section with its heading; `hint` is a paragraph of its head, `node` takes more children. */
export function createCard(title, ...content) {
  const id = `card-${(numbered += 1)}`;
  const heading = el("h2", { id }, title);
  const hint = el("p", { class: "hint" });
  const head = el("div", { class: "card-head" }, heading, hint);
  const node = el("section", { class: "card", "aria-labelledby": id }, head, ...content);
  return { node, head, hint, title: (text) => setText(heading, text), id };
}

/** A sentence at the top of a view, shown while there is one. */
export function createNotice() {
  const node = el("p", { class: "notice", role: "status" });
  node.hidden = true;
  return {
    node,
    say(text) {
      setText(node, text);
      node.hidden = text === "";
    },
  };
}

/** The last readings as meters. Of this moment they are the sensors', else the past's last ones. */
export function createNow(emptyText) {
  const list = el("div", { class: "meters" });
  const empty = el("p", { class: "quiet" }, emptyText);
  const more = el("p", { class: "meter-note" });
  const card = createCard("Now", list, more, empty);
  const update = createMeters(list);
  return {
    node: card.node,
    draw(page, readings) {
      const { isLive } = page.window();
      card.title(isLive ? "Now" : "At the end of this time");
      const said = isLive && !page.isFleet ? "Peaks since the start" : "Peaks of the time shown";
      setText(card.hint, readings.some((reading) => reading.peak !== null) ? said : "");
      empty.hidden = readings.length > 0;
      const omitted = readings.length - MOST_READINGS;
      setText(more, omitted > 0 ? `and ${omitted} more${page.isFleet ? "; choose a host to see its own" : ""}` : "");
      update(readings.slice(0, MOST_READINGS));
    },
  };
}

/** What is not known here, each with its reason, and where to read more. */
export function createAbsences() {
  const list = el("ul", { class: "reasons absences" });
  const hint = el("p", { class: "meter-note" });
  const card = createCard("Not read here", list, hint);
  const update = keyedList(list, (item) => item.what, createAbsence);
  card.node.hidden = true;
  return {
    node: card.node,
    draw(page, items) {
      card.node.hidden = items.length === 0;
      update(items);
      const isHere = items.some((item) => item.isOfSensor);
      const text = page.isFleet
        ? "on a host says which sensors it has, and why not others."
        : "says which sensors there are, and why not others.";
      if (hint.dataset.text !== text) {
        hint.replaceChildren(el("code", {}, "metalscope doctor"), ` ${text}`);
        hint.dataset.text = text;
      }
      hint.hidden = !isHere;
    },
  };
}

function createAbsence({ what }) {
  const why = el("span", { class: "quiet" });
  const node = el("li", {}, el("strong", {}, what), " ", why);
  return { node, update: (item) => setText(why, item.why) };
}

/**
 * Why readings of `kind` are absent: `what` names them. A sensor that reads now says that it is this
 * time in which there was nothing.
 */
export function absenceOf(page, what, kind) {
  if (page.isFleet) return { what, why: "no host gives it in this time", isOfSensor: true };
  const isRead = page.state.snapshot?.resources.some((resource) => resource.kind === kind);
  return isRead
    ? { what, why: "there is no reading in this time", isOfSensor: false }
    : { what, why: "no sensor on this machine gives it", isOfSensor: true };
}

/** The readings of this moment that the sensors gave, of some kinds; null where it is not of now. */
export function liveReadings(page, kinds) {
  const { snapshot } = page.state;
  if (page.isFleet || !page.window().isLive || !snapshot) return null;
  return snapshot.resources.filter((resource) => kinds.includes(resource.kind));
}
