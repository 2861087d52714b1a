// What can be done about an alert: say that it is known, keep it quiet for a while.

import { acknowledge, endSilence, silence, unacknowledge } from "./changes.js";
import { el, setText } from "./dom.js";
import * as format from "./format.js";

/**
 * {node, update(alert, canChange)}. createChooser({onChoose, onCancel}) makes what asks for how long
 * it is to be quiet, {node, open(alert), close()}; without it that is an hour. onDone() is called
 * after each change.
 */
export function createButtons({ createChooser = null, onDone = () => {} } = {}) {
  let alert = null;
  let made = null; // the silence that was made here
  let isHeld = false; // whether it was seen to hold
  const know = el("button", { type: "button", class: "button" });
  const quiet = el("button", { type: "button", class: "button" });
  const said = el("p", { class: "alert-said", role: "status", hidden: true });
  const chooser = createChooser?.({
    onChoose: (how) => change(quiet, () => quieten(how)),
    onCancel: () => quiet.focus(),
  });
  const node = el("div", { class: "alert-buttons" }, know, quiet, ...(chooser ? [chooser.node] : []), said);

  const label = (button, text) => {
    setText(button, text);
    button.setAttribute("aria-label", `${text}: ${alert.title}`);
  };
  const draw = () => {
    label(know, alert.acknowledged ? "Unacknowledge" : "Acknowledge");
    label(quiet, made ? "End silence" : chooser ? "Silence…" : "Silence for 1 h");
    quiet.hidden = !made && alert.silenced_by.length > 0;
  };
  const say = (text) => {
    said.hidden = !text;
    setText(said, text);
  };
  const enable = (enabled) => {
    for (const button of [know, quiet]) button.disabled = !enabled;
  };
  const change = async (button, act) => {
    enable(false);
    const failure = await act();
    enable(true);
    if (failure) say(`Nothing was changed: ${failure}`);
    draw();
    // A button that cannot be pressed loses the focus.
    if (document.activeElement === document.body) button.focus();
    if (!failure) onDone();
  };
  const quieten = async (how) => {
    const done = made ? await endSilence(made) : await silence(alert, how);
    if (!done.ok) return done.why;
    made = made ? null : done.data;
    isHeld = false;
    chooser?.close();
    say(made ? `Silenced until ${format.moment(new Date(made.ends_at))}.` : "The silence has ended.");
    return null;
  };

  know.addEventListener("click", () =>
    change(know, async () => {
      const done = alert.acknowledged ? await unacknowledge(alert) : await acknowledge(alert);
      if (!done.ok) return done.why;
      alert = done.data;
      say(alert.acknowledged ? "Acknowledged: nobody is told again." : "No longer acknowledged.");
      return null;
    }),
  );
  quiet.addEventListener("click", () => {
    if (chooser && !made) chooser.open(alert);
    else change(quiet, () => quieten());
  });

  const update = (now, canChange) => {
    alert = now;
    const holds = made !== null && alert.silenced_by.includes(made.id);
    // Over, or ended elsewhere.
    if (made && !holds && (isHeld || Date.parse(made.ends_at) < Date.now())) {
      made = null;
      say("");
    }
    isHeld = holds;
    node.hidden = !canChange || alert.state === "resolved";
    draw();
  };
  return { node, update };
}
