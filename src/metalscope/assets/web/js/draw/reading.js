// Drawings are read by keyboard, too: what stands at the cursor is said by a live region.

import { el, setAttribute, setText } from "../dom.js";

/**
 * Make `node` a drawing that takes the keyboard. `onKey(key, event)` is whether it took the key.
 * Gives {node, say(text), describe(text)}: its live region, to put beside it; say reads out,
 * describe sets what the drawing is called.
 */
export function readable(node, { onKey, onBlur }) {
  const live = el("p", { class: "visually-hidden", role: "status", "aria-live": "polite" });
  let pending = null;
  node.tabIndex = 0;
  node.setAttribute("role", "application");
  node.setAttribute("aria-roledescription", "chart");
  node.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (onKey(event.key, event)) event.preventDefault();
  });
  node.addEventListener("blur", () => {
    setText(live, "");
    if (pending !== null) setAttribute(node, "aria-label", pending);
    pending = null;
    onBlur?.();
  });
  return {
    node: live,
    say: (text) => setText(live, text),
    describe(text) {
      // A name that changes each second would be read out each second to who stands on it.
      if (document.activeElement === node && node.hasAttribute("aria-label")) pending = text;
      else setAttribute(node, "aria-label", text);
    },
  };
}

const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/** Where a key leads from place `at` of `count`, from the last one at first; null where nowhere. */
export function moved(key, event, at, count) {
  if (count === 0) return null;
  if (key === "Home") return 0;
  if (key === "End") return count - 1;
  if (!(key in STEPS)) return null;
  if (at === null) return count - 1;
  const step = STEPS[key] * (event.shiftKey ? 10 : 1);
  return Math.min(count - 1, Math.max(0, at + step));
}
