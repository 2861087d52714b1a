// Silences: those that hold, will hold or have ended; and what asks for how long one is to hold.

import { ask, endSilence } from "../changes.js";
import { el, keyedList, setText } from "../dom.js";
import * as format from "../format.js";
import { createCard } from "./cards.js";
import { createText } from "./texts.js";

const LENGTHS = [
  [900, "15 minutes"],
  [3600, "1 hour"],
  [14_400, "4 hours"],
  [86_400, "1 day"],
  [604_800, "7 days"],
];
const USUAL = 3600;
const MOST_ENDED = 50;
const MOST_COMMENT = 200;

/** Asks for a length and a comment; for createButtons of alert-buttons.js. */
export function createChooser({ onChoose, onCancel }) {
  const options = LENGTHS.map(([value, text]) => el("option", { value: String(value) }, text));
  const length = el("select", { class: "field" }, ...options);
  length.value = String(USUAL);
  const comment = el("input", { type: "text", class: "field", maxlength: String(MOST_COMMENT), autocomplete: "off" });
  const cancel = el("button", { type: "button", class: "button" }, "Cancel");
  const node = el(
    "form", { class: "chooser", hidden: true },
    el("label", {}, el("span", {}, "For"), length),
    el("label", {}, el("span", {}, "Why"), comment),
    el("p", { class: "chooser-buttons" }, cancel, el("button", { type: "submit", class: "button" }, "Silence")),
  );
  const close = () => {
    node.hidden = true;
  };
  const giveUp = () => {
    close();
    onCancel();
  };
  cancel.addEventListener("click", giveUp);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") giveUp();
  });
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    onChoose({ seconds: Number(length.value), comment: comment.value });
  });
  return {
    node,
    close,
    open(alert) {
      if (node.hidden) comment.value = [...alert.title].slice(0, MOST_COMMENT).join("");
      node.hidden = false;
      node.setAttribute("aria-label", `Silence: ${alert.title}`);
      length.focus();
    },
  };
}

export function createSilences(page) {
  const list = el("ul", { class: "silences", "aria-label": "Silences" });
  const ended = el("ul", { class: "silences", "aria-label": "Silences that have ended" });
  const count = el("summary");
  const over = el("details", { class: "ended", hidden: true }, count, ended);
  const said = el("p", { class: "quiet", role: "status" });
  const card = createCard("Silences", list, said, over);
  const load = async () => {
    const found = await ask("api/v1/silences");
    failure = found.ok ? "" : found.why;
    if (found.ok) known = found.data.silences;
    page.drawSoon();
  };
  const make = () => createSilence(load);
  const updateList = keyedList(list, ({ silence }) => silence.id, make);
  const updateEnded = keyedList(ended, ({ silence }) => silence.id, make);
  let known = null;
  let failure = "";

  return {
    node: card.node,
    load,
    draw(now) {
      const all = (known ?? []).map((silence) => ({ silence, now, state: stateOf(silence, now) }));
      const standing = all.filter(({ state }) => state !== "ended").sort(byEnd);
      const past = all.filter(({ state }) => state === "ended").sort(byEnd).toReversed();
      updateList(standing);
      updateEnded(past.slice(0, MOST_ENDED));
      list.hidden = standing.length === 0;
      over.hidden = past.length === 0;
      setText(count, endedText(past.length));
      const none = known !== null && standing.length === 0 ? "Nothing is kept quiet. An alert that is active can be." : "";
      setText(said, failure ? `Cannot be read now: ${failure}` : none);
      said.hidden = said.textContent === "";
    },
  };
}

function endedText(count) {
  if (count > MOST_ENDED) return `The latest ${MOST_ENDED} that have ended`;
  return count === 1 ? "1 that has ended" : `${count} that have ended`;
}

const byEnd = (a, b) => Date.parse(a.silence.ends_at) - Date.parse(b.silence.ends_at);

function stateOf({ starts_at: starts, ends_at: ends }, now) {
  if (Date.parse(ends) <= now) return "ended";
  return Date.parse(starts) > now ? "waiting" : "holds";
}

function createSilence(onDone) {
  const state = el("strong");
  const facts = el("span", { class: "quiet" });
  const matchers = el("ul", { class: "matchers" });
  const comment = el("p", { class: "silence-comment" });
  const said = el("p", { class: "alert-said", role: "status" });
  const end = el("button", { type: "button", class: "button" }, "End");
  const node = el(
    "li", { class: "silence" },
    el("div", { class: "silence-text" }, el("p", {}, state, " ", facts), matchers, comment),
    el("div", { class: "alert-buttons" }, end, said),
  );
  const updateMatchers = keyedList(matchers, (text) => text, createText);
  let silence = null;
  end.addEventListener("click", async () => {
    end.disabled = true;
    const done = await endSilence(silence);
    end.disabled = false;
    setText(said, done.ok ? "" : `Nothing was changed: ${done.why}`);
    if (done.ok) onDone();
    else end.focus();
  });
  const update = (item) => {
    ({ silence } = item);
    node.dataset.state = item.state;
    setText(state, WORDS[item.state]);
    setText(facts, factsOf(item));
    updateMatchers(silence.matchers);
    setText(comment, silence.comment);
    comment.hidden = silence.comment === "";
    end.hidden = item.state === "ended";
    end.setAttribute("aria-label", `End the silence of ${silence.matchers.join(", ")}`);
  };
  return { node, update };
}

const WORDS = { holds: "Quiet", waiting: "Not yet", ended: "Ended" };

function factsOf({ silence, now, state }) {
  const [starts, ends] = [Date.parse(silence.starts_at), Date.parse(silence.ends_at)];
  const until = `until ${format.moment(new Date(ends))}`;
  const when = {
    holds: `${until}, ${format.span((ends - now) / 1000)} more`,
    waiting: `from ${format.moment(new Date(starts))} ${until}`,
    ended: `at ${format.moment(new Date(ends))}`,
  }[state];
  return `${when} · by ${silence.created_by}`;
}
