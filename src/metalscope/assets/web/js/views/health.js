// Health: the whole and each component with reasons, what it was over time, and what stands behind
// it. Of a fleet, each host's components.

import { el, setAttribute, setText } from "../dom.js";
import { createHealth, SIGN } from "../health.js";
import { createCard, createNotice } from "./cards.js";
import { createFleetHealth } from "./health-fleet.js";
import { createHistory } from "./health-history.js";
import { createAnomalies, createBreakers, createHealthEvents, createPredictions } from "./health-parts.js";
import { createObjectives } from "./health-objectives.js";

const SENTENCES = {
  healthy: "Every component with data is well.",
  degraded: "Something works worse than it should.",
  critical: "Something does not work.",
  unknown: "Nothing is known yet: health is judged from what runs.",
};

export function createView(page) {
  const fleet = createFleetHealth(page);
  const own = createOwnHealth(page);
  const node = el("div", { class: "view-resources" }, fleet.node, own.node);
  const show = () => {
    fleet.node.hidden = !page.isFleet;
    own.node.hidden = page.isFleet;
  };
  const look = () => {
    show();
    if (page.isFleet) fleet.look();
    else fleet.leave();
  };
  show();
  return {
    node,
    enter: look,
    look,
    leave: fleet.leave,
    draw() {
      if (page.isFleet) fleet.draw();
      else own.draw();
    },
    redraw: () => {},
  };
}

function createOwnHealth(page) {
  const notice = createNotice();
  const overall = createOverall();
  const components = el("div");
  const drawComponents = createHealth(components);
  const history = createHistory();
  const parts = [
    createAnomalies(),
    createObjectives(),
    createPredictions(page),
    createBreakers(),
    createHealthEvents(page),
  ];
  const [anomalies, objectives, predictions, breakers, events] = parts;
  const now = createCard("Health", overall.node, components);
  const node = el(
    "div",
    { class: "view-resources" },
    notice.node,
    el(
      "div",
      { class: "beside health-top" },
      now.node,
      el("div", { class: "stack" }, history.node, anomalies.node, objectives.node),
    ),
    breakers.node,
    el("div", { class: "pair" }, predictions.node, events.node),
  );
  return {
    node,
    draw() {
      const { snapshot } = page.state;
      notice.say(snapshot ? "" : "Waiting for the first figures of the program.");
      if (!snapshot) return;
      setText(now.hint, page.window().isLive ? "" : "as it is now, not in the time shown");
      overall.draw(snapshot.health);
      drawComponents(page.state);
      history.draw(page, snapshot);
      for (const part of parts) part.draw(snapshot.health, page);
    },
  };
}

function createOverall() {
  const badge = el("span", { class: "badge", "aria-hidden": "true" });
  const status = el("strong");
  const sentence = el("span", { class: "quiet" });
  const node = el("p", { class: "overall" }, badge, el("span", {}, status, " ", sentence));
  return {
    node,
    draw(health) {
      setAttribute(badge, "data-status", health.status);
      setText(badge, SIGN[health.status] ?? SIGN.unknown);
      setText(status, `${health.status[0].toUpperCase()}${health.status.slice(1)}.`);
      setText(sentence, SENTENCES[health.status] ?? "");
    },
  };
}
