// Alerts: what fires, what has fired, what is kept quiet, and the rules. Of a fleet, what fires where.

import { el } from "../dom.js";
import { createFleetAlerts } from "./alerts-fleet.js";
import { createOwnAlerts } from "./alerts-own.js";

export function createView(page) {
  const node = el("div", { class: "view-parts" });
  let part = null;
  let isOfFleet = null;

  // What the page is of is known a moment after it has begun.
  const look = () => {
    if (page.isFleet !== isOfFleet) {
      part?.leave();
      isOfFleet = page.isFleet;
      part = isOfFleet ? createFleetAlerts(page) : createOwnAlerts(page);
      node.replaceChildren(part.node);
    }
    part.look();
    page.drawSoon();
  };

  look();
  return { node, look, draw: () => part.draw(), leave: () => part.leave() };
}
