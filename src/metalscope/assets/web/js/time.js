// The controls of the time that is looked at: how far back, from when until when, compared with what.

import { el, setAttribute } from "./dom.js";
import { COMPARISONS, RANGES, rangeOf } from "./window.js";

/** ranges: the element of the buttons; more: that of the rest. onLive() is called on going on. */
export function setUpTime({ ranges, more }, page) {
  const buttons = RANGES.map(({ name, label }) => {
    const button = el("button", { type: "button", data: { range: name } }, label);
    button.addEventListener("click", () => page.address.set({ range: name, since: null, until: null }));
    return button;
  });
  ranges.append(...buttons);

  const from = momentField("time-from");
  const to = momentField("time-to");
  const compare = el(
    "select",
    { id: "time-compare" },
    ...COMPARISONS.map(({ name, label }) => el("option", { value: name }, label)),
  );
  const show = el("button", { type: "submit", class: "button" }, "Show");
  const said = el("p", { class: "time-said", role: "alert" });
  const form = el(
    "form",
    { class: "time-form" },
    el("label", { for: "time-from" }, "From"),
    from,
    el("label", { for: "time-to" }, "Until"),
    to,
    show,
    said,
    el("label", { for: "time-compare" }, "Compare with"),
    compare,
  );
  more.append(form);
  compare.addEventListener("change", () => page.address.set({ compare: compare.value || null }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const [since, until] = [secondsOf(from), secondsOf(to)];
    const isRight = until - since >= 10;
    said.textContent = isRight ? "" : "Until must be at least ten seconds after from.";
    if (!isRight) return;
    page.lookAt(since, until);
    more.open = false;
  });
  more.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !more.open) return;
    more.open = false;
    more.querySelector("summary").focus();
  });

  return {
    show() {
      const { params } = page.address;
      const window = page.window();
      const chosen = window.isLive ? rangeOf(params).name : "";
      for (const button of buttons) {
        setAttribute(button, "aria-pressed", String(button.dataset.range === chosen));
      }
      compare.value = params.get("compare") ?? "";
      more.dataset.chosen = String(!window.isLive || compare.value !== "");
      if (!more.open) {
        from.value = localMoment(window.since);
        to.value = localMoment(window.until);
      }
    },
    /** The next longer or shorter range. */
    widen(by) {
      const at = RANGES.indexOf(rangeOf(page.address.params)) + by;
      if (RANGES[at]) page.address.set({ range: RANGES[at].name, since: null, until: null });
    },
    /** So many spans forth, or back. */
    move(by) {
      const { since, until } = page.window();
      const shift = by * (until - since);
      if (until + shift >= page.now()) page.address.set({ since: null, until: null });
      else page.lookAt(since + shift, until + shift);
    },
  };
}

const momentField = (id) => el("input", { type: "datetime-local", id, step: "1", required: "" });

const secondsOf = (field) => new Date(field.value).getTime() / 1000;

// Of this time zone, as the field has it.
function localMoment(seconds) {
  const date = new Date(seconds * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
