// Parts of keyed lists that hold nothing but text.

import { el, setText } from "../dom.js";

/** An item that is its own key. */
export function createText(text) {
  return { node: el("li", {}, text), update: () => {} };
}

/** A term and what it is, of [label, text]; codeOf(label) is whether that is code. */
export function createFact([label], codeOf = () => false) {
  const value = el("dd", { class: codeOf(label) ? "mono" : null });
  const node = el("div", { class: "fact" }, el("dt", {}, label), value);
  return { node, update: ([, text]) => setText(value, text) };
}
