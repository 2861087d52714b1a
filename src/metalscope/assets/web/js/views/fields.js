// Fields whose content is in the address.

import { el } from "../dom.js";

const AFTER_MS = 150; // typing is over

/** A search field: {node, look(), text()}; `name` is the parameter that keeps it. */
export function createField(page, { name, label, placeholder }) {
  const input = el("input", { type: "search", placeholder, autocomplete: "off", spellcheck: "false" });
  const node = el("label", { class: "filter" }, el("span", { class: "visually-hidden" }, label), input);
  let timer = null;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = null;
      page.address.set({ [name]: input.value.trim() });
    }, AFTER_MS);
    page.drawSoon();
  });
  return {
    node,
    look() {
      const kept = page.address.params.get(name) ?? "";
      // What is just being typed is newer than the address.
      if (timer === null && input.value.trim() !== kept) input.value = kept;
    },
    text: () => input.value,
  };
}

/** Whether each word of a filter is somewhere in a text. */
export function holds(filter, text) {
  const lower = text.toLowerCase();
  return filter.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}

/** A choice: {node, look(options), value()}; options: [[value, label]…], the first the usual one. */
export function createChoice(page, { name, label, onChange = () => {} }) {
  const select = el("select", { class: "field" });
  const node = el("label", { class: "choice" }, el("span", {}, label), select);
  const usual = () => select.options[0]?.value ?? "";
  select.addEventListener("change", () => {
    page.address.set({ [name]: select.value === usual() ? null : select.value });
    onChange();
  });
  const look = (options) => {
    const wanted = page.address.params.get(name) ?? options[0]?.[0] ?? "";
    // What the address says is among them, though nothing is known of it yet.
    const all = options.some(([value]) => value === wanted) ? options : [...options, [wanted, wanted]];
    const shown = JSON.stringify(all);
    if (select.dataset.options !== shown) {
      select.replaceChildren(...all.map(([value, text]) => el("option", { value }, text)));
      select.dataset.options = shown;
    }
    select.value = wanted;
  };
  return { node, look, value: () => page.address.params.get(name) ?? usual() };
}
