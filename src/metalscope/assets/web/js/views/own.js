// A page of one's own, as its file describes it: panels on a grid of four columns.

import { el, setText } from "../dom.js";
import { createNotice } from "./cards.js";
import { createPanel } from "./own-panel.js";

export function createView(page, wanted) {
  const notice = createNotice();
  const title = el("h2", { class: "own-title" }, wanted.title);
  const grid = el("div", { class: "own-grid" });
  const node = el("div", { class: "view-parts" }, title, notice.node, grid);
  let panels = [];
  let why = "";
  let seen = null; // what was known of the program when the page was asked for
  let isLeft = false;

  const learn = async () => {
    // A page is the same for all hosts.
    const found = await page.ask(`pages/${encodeURIComponent(wanted.page)}`, { host: null });
    if (isLeft) return;
    why = found.ok ? "" : found.why;
    if (found.ok) {
      for (const panel of panels) panel.leave();
      setText(title, found.data.title);
      panels = found.data.panels.map((panel, number) => createPanel(page, panel, { id: wanted.page, number }));
      grid.replaceChildren(...panels.map((panel) => panel.node));
      for (const panel of panels) panel.look();
    }
    page.drawSoon();
  };

  const look = () => {
    if (page.about !== seen) learn();
    else for (const panel of panels) panel.look();
    seen = page.about;
  };

  look();
  return {
    node,
    look,
    draw() {
      notice.say(whyNot(page, why));
      for (const panel of panels) panel.draw();
    },
    redraw: () => panels.forEach((panel) => panel.redraw()),
    leave() {
      isLeft = true;
      for (const panel of panels) panel.leave();
    },
  };
}

function whyNot(page, why) {
  if (why) return `This page cannot be had now: ${why}.`;
  if (page.about && !page.hasPast) return `There is no past to show: ${page.about.why || "the program keeps none"}.`;
  return "";
}
