// One panel of a page of one's own: its frame, what it asks for, and what draws it.

import { el, setAttribute, setText } from "../dom.js";
import * as format from "../format.js";
import { createHeat, createSpread } from "./own-durations.js";
import { createLine, createStats, createValues } from "./own-lines.js";
import { createLevels } from "./own-levels.js";

const MAKERS = { line: createLine, stat: createStats, table: createValues, heatmap: createHeat, histogram: createSpread };

/** {node, look(), draw(), redraw(), leave()} of a panel as /api/v1/pages describes it. */
export function createPanel(page, panel, { id, number }) {
  return panel.type === "text" ? createWords(panel) : createAsking(page, panel, { id, number });
}

function createWords(panel) {
  const { node } = createFrame(panel);
  node.append(el("p", { class: "own-text" }, panel.text));
  const nothing = () => {};
  return { node, look: nothing, draw: nothing, redraw: nothing, leave: nothing };
}

function createAsking(page, panel, { id, number }) {
  const levels = createLevels(panel.thresholds);
  const { node, badge, word } = createFrame(panel);
  const make = MAKERS[panel.type];
  const drawing = make?.(page, panel, levels);
  const said = el("p", { class: "quiet own-said" });
  if (drawing) node.append(drawing.node);
  node.append(said);
  let answer = null;
  let isFresh = false;
  let stop = null;

  const leave = () => {
    stop?.();
    stop = null;
  };
  return {
    node,
    look() {
      leave();
      if (!page.hasPast || !drawing) return;
      stop = page.follow(`pages/${encodeURIComponent(id)}/values`, { panel: number }, (found) => {
        answer = found;
        isFresh = true;
        page.drawSoon();
      });
    },
    draw() {
      const why = !drawing ? `This page cannot draw the type ${panel.type}.` : whyNot(page, answer);
      setText(said, why || omittedText(answer));
      said.hidden = said.textContent === "";
      if (drawing) drawing.node.hidden = why !== "";
      if (!isFresh || why) {
        if (why) showLevel(badge, word, null);
        return;
      }
      isFresh = false;
      drawing.draw(answer);
      showLevel(badge, word, levels.worst(answer.data.lines ?? []));
    },
    redraw: () => drawing?.redraw(),
    leave() {
      leave();
      drawing?.leave();
    },
  };
}

function createFrame({ title, about, width, type }) {
  const badge = el("span", { class: "badge", "aria-hidden": "true", hidden: true });
  const word = el("span", { class: "own-word" });
  const head = el("div", { class: "own-head" }, el("h3", {}, title), badge, word);
  const data = { width: String(width), type };
  const node = el("section", { class: "card own-panel", "aria-label": title, data }, head);
  if (about) node.append(el("p", { class: "hint own-about" }, about));
  return { node, badge, word };
}

function showLevel(badge, word, level) {
  badge.hidden = level === null;
  setText(badge, level?.sign ?? "");
  setAttribute(badge, "data-status", level?.status);
  setText(word, level?.word ?? "");
  setAttribute(word, "data-status", level?.status);
}

function whyNot(page, answer) {
  if (page.about && !page.hasPast) return `Nothing is known: ${page.about.why || "no past is kept"}.`;
  if (answer === null) return "Waiting for the first answer.";
  return answer.ok ? "" : `Cannot be read now: ${answer.why}.`;
}

function omittedText(answer) {
  const omitted = answer?.ok ? (answer.data.omitted ?? 0) : 0;
  return omitted > 0 ? `${format.count(omitted).text} more ${omitted === 1 ? "line is" : "lines are"} not shown.` : "";
}
