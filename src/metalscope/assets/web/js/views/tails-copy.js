// A button that copies a link to somewhere on this page.

import { el, setText } from "../dom.js";

const SAID_MS = 2_000;

/** hash() is where the link leads. */
export function createCopy(text, hash) {
  const button = el("button", { type: "button", class: "button small" }, text);
  const said = el("span", { class: "visually-hidden", role: "status" });
  const node = el("span", { class: "copy" }, button, said);
  let timer = 0;

  const say = (words) => {
    setText(button, words);
    setText(said, words);
    clearTimeout(timer);
    timer = setTimeout(() => {
      setText(button, text);
      setText(said, "");
    }, SAID_MS);
  };

  button.addEventListener("click", async () => {
    const link = new URL(hash(), location.href).href;
    try {
      await navigator.clipboard.writeText(link);
      say("Copied");
    } catch {
      // Over plain HTTP from another machine a browser lets no page do it.
      showLink(link);
    }
  });

  function showLink(link) {
    const field = el("input", { class: "field", readonly: "", "aria-label": "The link, to copy" });
    field.value = link;
    button.replaceWith(field);
    field.focus();
    field.select();
    field.addEventListener("blur", () => field.replaceWith(button));
  }

  return node;
}
