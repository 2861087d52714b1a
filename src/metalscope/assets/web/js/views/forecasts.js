// What is to come: what the program itself predicts, and series with their forecast.

import { el, setText } from "../dom.js";
import { createNotice } from "./cards.js";
import { createChoice } from "./fields.js";
import { createForecastChart, timeOf } from "./forecasts-chart.js";
import { optionsOf, seriesOf, shownOf } from "./forecasts-series.js";
import { createPredictions } from "./forecasts-predictions.js";

const AGAIN_MS = 30_000; // how often is looked which series there are
const MOST_LINES = 100;

const FROM_NOW = "Drawn from the time that is looked at: a longer one says more.";
const FROM_THEN = "As it would have been said at the end of this time.";

const HORIZONS = [
  ["", "Half of this time"],
  ["300", "5 minutes"],
  ["900", "15 minutes"],
  ["3600", "1 hour"],
  ["21600", "6 hours"],
  ["86400", "1 day"],
  ["604800", "7 days"],
];

export function createView(page) {
  const notice = createNotice();
  const predictions = createPredictions(page);
  const series = createChoice(page, { name: "series", label: "Series" });
  const horizon = createChoice(page, { name: "horizon", label: "Ahead" });
  const said = el("p", { class: "hint" });
  const controls = el(
    "div", { class: "card-head choices" },
    el("h2", { id: "forecasts-title" }, "Series and their forecast"), said, series.node, horizon.node,
  );
  const charts = el("div", { class: "charts forecasts" });
  const ahead = el("section", { "aria-labelledby": "forecasts-title" }, controls, charts);
  const node = el("div", { class: "view-parts" }, notice.node, predictions.node, ahead);

  const shown = new Map(); // charts by the id of their series
  let known = []; // all series there are
  let answered = false;
  let why = "";
  let timer = 0;
  let seen = null;
  let isLeft = false;

  const learn = async () => {
    clearTimeout(timer);
    if (!page.hasPast) return;
    const { since, until, step } = page.window();
    const found = await page.ask("past/lines", { measure: "resource", limit: MOST_LINES, since, until, step });
    if (isLeft) return;
    answered = true;
    why = found.ok ? "" : found.why;
    if (found.ok) known = seriesOf(found.data.lines);
    show();
    clearTimeout(timer);
    timer = setTimeout(learn, AGAIN_MS);
  };

  const show = () => {
    series.look(optionsOf(known));
    horizon.look(HORIZONS);
    const wanted = answered ? shownOf(known, series.value()) : [];
    for (const [id, chart] of shown) {
      if (wanted.some((one) => one.id === id)) continue;
      chart.leave();
      chart.node.remove();
      shown.delete(id);
    }
    for (const one of wanted) {
      if (!shown.has(one.id)) shown.set(one.id, createForecastChart(page, one));
      const chart = shown.get(one.id);
      charts.append(chart.node);
      chart.ask(Number(horizon.value()) || null);
    }
    page.drawSoon();
  };

  const look = () => {
    const now = JSON.stringify([page.about, timeOf(page)]);
    if (now !== seen) learn();
    seen = now;
    show();
  };

  look();
  return {
    node,
    look,
    draw() {
      predictions.draw();
      notice.say(whyNot(page, why));
      ahead.hidden = !page.hasPast;
      const { isLive } = page.window();
      setText(said, isLive ? FROM_NOW : FROM_THEN);
      for (const chart of shown.values()) chart.draw();
    },
    redraw: () => shown.forEach((chart) => chart.redraw()),
    leave() {
      isLeft = true;
      clearTimeout(timer);
      for (const chart of shown.values()) chart.leave();
    },
  };
}

function whyNot(page, why) {
  if (page.about === null) return "The program has not yet said what past it keeps.";
  if (!page.hasPast) return `There is no past to draw a forecast from: ${page.about.why || "the program keeps none"}.`;
  return why ? `The past cannot be read now: ${why}.` : "";
}
