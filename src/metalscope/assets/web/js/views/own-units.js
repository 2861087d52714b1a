// Values in the unit of a line, or of its panel.

import * as format from "../format.js";

const NOTHING = "nothing is known of this moment";

/** What formats a line's values; unit is ours (ms, bytes, ratio …) or any text of the page's author. */
export function formatterOf(unit, kind = "") {
  return (number) => {
    if (number === null || number === undefined || !Number.isFinite(number)) return format.absent(NOTHING);
    if (unit === "/s") return format.rate(number);
    if (unit === "%") return format.percent(number);
    if (unit === "level") return format.reading(kind, unit, number);
    return format.figure(number, unit);
  };
}

/** The one unit of lines, and the kind that goes with it; of several units none is everyone's. */
export function unitOf(lines, panel) {
  if (panel.unit) return { unit: panel.unit, kind: "" };
  const units = new Set(lines.map((line) => line.unit));
  return units.size === 1 ? { unit: lines[0].unit, kind: lines[0].kind } : { unit: "", kind: "" };
}
