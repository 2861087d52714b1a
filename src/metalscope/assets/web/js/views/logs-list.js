// The records, the newest at the bottom. It follows them unless one reads further up: then nothing
// moves, and what came waits behind a button.

import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { createRecord } from "./logs-record.js";

export const MOST_ROWS = 2000;
const NEAR_PX = 8;

export function createRecordList(page) {
  const rows = el("ol", { class: "log-rows" });
  const box = el("div", { class: "log-box", role: "region", "aria-label": "Records of the log", tabindex: "0" }, rows);
  const newer = el("button", { type: "button", class: "button log-newer", hidden: true });
  const keys = el("p", { class: "visually-hidden" }, "Up and down lead from record to record.");
  const node = el("div", { class: "log-list" }, keys, box, newer);

  let shown = []; // what createRecord gives, or a gap without a button
  let waiting = [];
  let came = 0; // how many wait; there may be room for fewer
  let isFollowing = true;
  let top = 0;
  let tabbed = null;

  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight <= NEAR_PX;
  const toEnd = () => {
    box.scrollTop = box.scrollHeight;
    top = box.scrollTop;
  };
  const buttons = () => shown.filter((row) => row.button);

  const make = (item) => ("gap" in item ? createGap(item.gap) : createRecord(page, item, onOpen));

  function append(items) {
    const made = items.slice(-MOST_ROWS).map(make);
    const gone = shown.splice(0, Math.max(0, shown.length + made.length - MOST_ROWS));
    for (const row of gone) row.node.remove();
    shown.push(...made);
    rows.append(...made.map((row) => row.node));
    rove();
    if (isFollowing) toEnd();
  }

  /** One row is reached by Tab: where one is, or the last. */
  function rove(wanted = null) {
    const isHere = tabbed?.node.isConnected && tabbed.node.contains(document.activeElement);
    const next = wanted ?? (isHere ? tabbed : buttons().at(-1));
    if (tabbed && tabbed !== next) tabbed.button.tabIndex = -1;
    if (next) next.button.tabIndex = 0;
    tabbed = next ?? null;
  }

  function showWaiting() {
    newer.hidden = came === 0;
    setText(newer, `${format.count(came).text} newer ↓`);
  }

  function goOn() {
    isFollowing = true;
    const items = waiting;
    waiting = [];
    came = 0;
    showWaiting();
    append(items);
  }

  function onOpen(isOpen, row) {
    if (isOpen) {
      isFollowing = false;
      bringInSight(row);
    } else if (isAtEnd() && !shown.some((row) => row.isOpen?.())) goOn();
  }

  // As much of it as there is room for, its line at least; within the box alone.
  function bringInSight(row) {
    const [inner, outer] = [row.getBoundingClientRect(), box.getBoundingClientRect()];
    if (inner.bottom > outer.bottom) box.scrollTop += Math.min(inner.bottom - outer.bottom, inner.top - outer.top);
  }

  box.addEventListener("scroll", () => {
    const isUp = box.scrollTop < top - 1;
    top = box.scrollTop;
    if (isFollowing) isFollowing = !isUp || isAtEnd();
    else if (!isUp && isAtEnd() && !shown.some((row) => row.isOpen?.())) goOn();
  });
  const sized = new ResizeObserver(() => isFollowing && toEnd());
  sized.observe(box);

  newer.addEventListener("click", () => {
    goOn();
    buttons().at(-1)?.button.focus({ preventScroll: true });
  });

  rows.addEventListener("focusin", ({ target }) => {
    const row = shown.find(({ button }) => button === target);
    if (row) rove(row);
  });
  rows.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".log-line")) return;
    const all = buttons();
    const at = all.findIndex((row) => row.button === event.target);
    const next = { ArrowDown: all[at + 1], ArrowUp: all[at - 1], Home: all[0], End: all.at(-1) };
    if (!(event.key in next)) return;
    event.preventDefault();
    const row = next[event.key];
    if (!row) return;
    if (row !== all.at(-1)) isFollowing = false;
    row.button.focus();
  });

  return {
    node,
    /** All that there is, in place of what there was. */
    replace(items) {
      rows.replaceChildren();
      shown = [];
      waiting = [];
      came = 0;
      tabbed = null;
      isFollowing = true;
      showWaiting();
      append(items);
    },
    /** What came after it: records, or {gap: how many are not here}. */
    add(items) {
      if (items.length === 0) return;
      if (isFollowing) {
        append(items);
        return;
      }
      waiting = [...waiting, ...items].slice(-MOST_ROWS);
      came += items.length;
      showWaiting();
    },
    /** How many records stand there. */
    get length() {
      return buttons().length;
    },
    leave: () => sized.disconnect(),
  };
}

function createGap(count) {
  const text = `${format.count(count).text} records were let go of before they could be looked at here`;
  return { node: el("li", { class: "log-gap quiet" }, text) };
}
