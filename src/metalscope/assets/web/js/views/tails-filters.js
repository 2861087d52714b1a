// The fields that choose records or traces. What they say is in the address.

import { el } from "../dom.js";

const WRITE_MS = 300; // an address that changes with each key is more than browsers allow

/**
 * fields: [{name, label, type, options?, placeholder?, wide?}]: name is that of the parameter, of the
 * address and of the API alike; type is search, text, number or select, with options [value, text].
 * Gives {node, look(), wanted(), isAny(), leave()}.
 */
export function createFilters(page, label, fields) {
  const controls = fields.map((field) => createControl(field));
  const clear = el("button", { type: "button", class: "button" }, "Clear the filters");
  const node = el(
    "form",
    { class: "tail-filters", role: "search", "aria-label": label },
    ...controls.map(({ node: control }) => control),
    clear,
  );
  let timer = 0;

  const write = () => {
    clearTimeout(timer);
    timer = 0;
    page.address.set(Object.fromEntries(controls.map(({ name, input }) => [name, input.value.trim() || null])));
  };
  const read = (name) => page.address.params.get(name) ?? "";
  const isAny = () => fields.some(({ name }) => read(name) !== "");

  node.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(write, WRITE_MS);
  });
  node.addEventListener("change", write);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    write();
  });
  clear.addEventListener("click", () => {
    for (const { input } of controls) input.value = "";
    write();
    controls[0].input.focus();
  });

  return {
    node,
    /** The fields as the address has them, but for what is being typed. */
    look() {
      clear.hidden = !isAny();
      if (timer) return;
      for (const { name, input } of controls) {
        if (input.value.trim() !== read(name)) input.value = read(name);
      }
    },
    /** As parameters of the question. */
    wanted: () => Object.fromEntries(fields.map(({ name }) => [name, read(name)])),
    isAny,
    leave: () => clearTimeout(timer),
  };
}

function createControl({ name, label, type, options, placeholder, wide }) {
  const input =
    type === "select"
      ? el("select", { class: "field" }, ...options.map(([value, text]) => el("option", { value }, text)))
      : el("input", { class: "field", type, placeholder, autocomplete: "off", spellcheck: "false" });
  if (type === "number") {
    input.min = "0";
    input.step = "any";
  }
  const node = el("label", { class: wide ? "wide" : null }, el("span", {}, label), input);
  return { name, input, node };
}
