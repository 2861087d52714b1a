// Single keys, and the dialog that lists them. They can be switched off (WCAG 2.1.4).

import { el } from "./dom.js";

const PLACE = "metalscope-keys";

function areOn() {
  try {
    return localStorage.getItem(PLACE) !== "off";
  } catch {
    return true;
  }
}

function keep(isOn) {
  try {
    localStorage.setItem(PLACE, isOn ? "on" : "off");
  } catch {
    // It holds until the page is closed.
  }
}

const isTyping = (target) => target.closest?.("input, select, textarea, [contenteditable], [role=grid], [role=application]");

/** keys: [{key, shown?, says, act}]. Gives what opens the dialog. */
export function setUpKeyboard(keys) {
  let isOn = areOn();
  const dialog = createDialog(keys, isOn, (next) => {
    isOn = next;
    keep(next);
  });
  document.body.append(dialog);

  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (document.querySelector("dialog[open]")) return;
    const found = keys.find((one) => one.key === event.key);
    if (!found || (!isOn && found.key !== "?")) return;
    event.preventDefault();
    found.act();
  });
  return () => dialog.showModal();
}

function createDialog(keys, isOn, onSwitch) {
  const box = el("input", { type: "checkbox", id: "keys-on" });
  box.checked = isOn;
  box.addEventListener("change", () => onSwitch(box.checked));
  const close = el("button", { type: "button", class: "button" }, "Close");
  const rows = keys.map(({ key, shown, says }) =>
    el("div", {}, el("dt", {}, el("kbd", {}, shown ?? key)), el("dd", {}, says)),
  );
  const dialog = el(
    "dialog",
    { class: "keys-dialog", "aria-labelledby": "keys-title" },
    el("h2", { id: "keys-title" }, "Keys"),
    el("dl", { class: "keys" }, ...rows),
    el("p", {}, box, " ", el("label", { for: "keys-on" }, "Single keys are on")),
    close,
  );
  close.addEventListener("click", () => dialog.close());
  return dialog;
}
