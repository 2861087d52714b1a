// The legend of a line chart: each line's value at the cursor. Of many lines it has the highest
// ones there, and all of them on demand, in a list that scrolls.

import { el, setAttribute, setText } from "../dom.js";
import * as format from "../format.js";
import { swatchOf } from "./palette.js";

export const MOST_AT_ONCE = 12;

export function createLegend(value) {
  const list = el("ul", { class: "legend" });
  const more = el("button", { type: "button", class: "legend-more", "aria-expanded": "false" });
  const rows = [];
  const top = new Int32Array(MOST_AT_ONCE);
  const places = [];
  const heights = new Float64Array(MOST_AT_ONCE);
  let all = false;
  let lines = [];
  let at = -1;

  more.hidden = true;
  more.addEventListener("click", () => {
    all = !all;
    show();
  });

  const show = () => {
    setText(more, all ? `Show the ${MOST_AT_ONCE} highest` : `Show all ${lines.length}`);
    setAttribute(more, "aria-expanded", String(all));
    list.classList.toggle("legend-all", all);
    const isShort = lines.length <= MOST_AT_ONCE;
    const count = isShort || all ? lines.length : highest(lines, at, top, heights);
    while (rows.length < count) rows.push(createRow(value));
    for (let n = 0; n < rows.length; n += 1) {
      const row = rows[n];
      if (n >= count) {
        row.node.remove();
        continue;
      }
      const index = isShort || all ? n : top[n];
      row.update(lines[index], index, at, lines.length === 1);
      if (!row.node.isConnected || row.node.parentNode !== list) list.append(row.node);
    }
    if (!all && rows.length > 4 * MOST_AT_ONCE) rows.length = MOST_AT_ONCE;
  };

  return {
    node: list,
    more,
    /** Show `lines` at place `at` of their values; -1 where there is none. */
    update(newLines, newAt) {
      lines = newLines;
      at = newAt;
      more.hidden = lines.length <= MOST_AT_ONCE;
      if (more.hidden) all = false;
      show();
    },
    /** The places of the lines shown, highest first where there are many; the same list each time. */
    shown: () => {
      const isShort = lines.length <= MOST_AT_ONCE;
      places.length = isShort ? lines.length : highest(lines, at, top, heights);
      for (let n = 0; n < places.length; n += 1) places[n] = isShort ? n : top[n];
      return places;
    },
  };
}

/** Fill `top` with the places of the highest lines at `at`; how many. Without any garbage. */
function highest(lines, at, top, heights) {
  let count = 0;
  for (let index = 0; index < lines.length; index += 1) {
    const value = lines[index].values[at];
    const height = Number.isFinite(value) ? value : -Infinity;
    if (count === top.length && height <= heights[count - 1]) continue;
    let place = count < top.length ? count : count - 1;
    count = Math.min(count + 1, top.length);
    for (; place > 0 && heights[place - 1] < height; place -= 1) {
      heights[place] = heights[place - 1];
      top[place] = top[place - 1];
    }
    heights[place] = height;
    top[place] = index;
  }
  return count;
}

function createRow(value) {
  const number = el("strong");
  const label = el("span", { class: "legend-label" });
  const node = el("li", {}, label, number);
  let swatch = null;
  let drawn = "";
  let numberShown;
  return {
    node,
    update(line, index, at, lone) {
      const hue = line.colourIndex ?? index;
      const look = lone ? "" : `${hue} ${Boolean(line.dashed)} ${Boolean(line.faint)}`;
      if (look !== drawn) {
        swatch?.remove();
        swatch = look ? swatchOf(hue, line) : null;
        if (swatch) node.prepend(swatch);
        drawn = look;
      }
      label.hidden = lone && !line.label;
      setText(label, line.label);
      setAttribute(label, "title", line.label);
      const now = at < 0 ? null : (line.values[at] ?? null);
      if (now === numberShown) return;
      numberShown = now;
      const shown = value(now);
      setText(number, format.whole(shown));
      number.classList.toggle("absent", Boolean(shown.absent));
      setAttribute(number, "title", shown.absent ? shown.title : null);
    },
  };
}
