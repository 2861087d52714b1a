// Service level objectives: what was promised, what was kept, and how fast the rest goes.

import { el, keyedList, setAttribute, setText, show } from "../dom.js";
import * as format from "../format.js";
import { createCard } from "./cards.js";

const LOW = 0.25; // of the budget; what is left below it is marked

export function createObjectives() {
  const list = el("div", { class: "objectives" });
  const empty = el("p", { class: "quiet" }, "No objective is set: see health_monitor.objectives in the options.");
  const card = createCard("Objectives", list, empty);
  const update = keyedList(list, (objective) => objective.name, createObjective);
  return {
    node: card.node,
    draw({ objectives }) {
      empty.hidden = objectives.length > 0;
      update(objectives);
    },
  };
}

function createObjective({ name }) {
  const attained = el("span", { class: "value" });
  const bar = el("span");
  const meter = el("div", { class: "meter", "aria-hidden": "true" }, bar);
  const budget = el("p");
  const kept = el("p", { class: "meter-note" });
  const burning = el("p", { class: "alarming" });
  const rates = el("dl", { class: "burn-rates" });
  const updateRates = keyedList(rates, (rate) => rate.seconds, createRate);
  const node = el(
    "article", { class: "objective" },
    el("div", { class: "meter-head" }, el("h3", { class: "label" }, name), attained),
    budget, meter, kept, burning,
    rates,
  );
  const update = (now) => {
    show(attained, format.joined(shareOf(now.attained)));
    const left = now.budget_left;
    setText(budget, budgetText(left));
    meter.hidden = left === null;
    bar.style.width = `${Math.min(100, Math.max(0, 100 * (left ?? 0)))}%`;
    setAttribute(meter, "data-level", left === null || left > LOW ? null : left > 0 ? "high" : "full");
    setText(kept, keptText(now));
    setText(burning, now.burning ? `▲ The budget burns too fast: ${now.burning}` : "");
    burning.hidden = !now.burning;
    rates.hidden = now.burn_rates.length === 0;
    updateRates(now.burn_rates);
  };
  return { node, update };
}

/** A share of what goes well has its digits behind the nines: 99.95 % is not 99.9 %. */
function shareOf(value) {
  if (value === null) return format.absent("nothing ran in its window");
  const percent = 100 * value;
  const digits = percent < 99 ? 1 : percent < 99.9 ? 2 : 3;
  return percent === 100 ? { text: "100", unit: "%" } : { text: cutOff(percent, digits), unit: "%" };
}

// Cut, not rounded: what is not all is not shown as all.
const cutOff = (value, digits) => (Math.floor(value * 10 ** digits) / 10 ** digits).toFixed(digits);

function budgetText(left) {
  if (left === null) return "Nothing ran, so that no error budget is known.";
  if (left < 0) return `The error budget is spent ${format.significant(1 - left)} times over.`;
  return `${format.whole(format.share(left))} of the error budget is left.`;
}

function keptText({ target, good, total, window_seconds: window, covered_seconds: covered }) {
  const promised = `${Number((100 * target).toFixed(6))} % promised over ${spanOf(window)}`;
  const known = covered < window ? `, of which ${format.span(covered)} are known` : "";
  return `${promised}${known} · ${format.count(good).text} of ${format.count(total).text} kept it`;
}

function createRate({ seconds }) {
  const value = el("dd");
  const node = el("div", {}, el("dt", {}, `over ${spanOf(seconds)}`), value);
  const update = ({ rate, good, total }) => {
    const failed = `${format.count(total - good).text} of ${format.count(total).text} failed it`;
    const known = rate !== null;
    show(value, known ? { text: `${format.significant(rate)} ×`, title: failed } : format.absent("nothing ran in it"));
    value.classList.toggle("alarming", rate > 1);
  };
  return { node, update };
}

const spanOf = (seconds) => format.span(seconds).replace(/ 0 (s|min|h)$/, "");
