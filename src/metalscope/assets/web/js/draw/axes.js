// The axes of a line chart, as uPlot takes them.

import * as format from "../format.js";
import { colour } from "./palette.js";

/** Steps of an axis of bytes, so that its marks are round in KiB, MiB and GiB. */
const BINARY_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);

const look = () => ({
  stroke: () => colour("--muted"),
  font: `12px ${colour("--sans") || "sans-serif"}`,
  grid: { stroke: () => colour("--grid"), width: 1 },
  ticks: { show: false },
  gap: 6,
});

export const timeAxis = () => ({ ...look(), size: 26, space: 76, values: (_, splits) => clockLabels(splits) });

/** axis(number) formats a mark; binary: of bytes. */
export const valueAxis = (axis, binary) => ({
  ...look(),
  size: 64,
  space: 34,
  ...(binary && { incrs: BINARY_STEPS }),
  values: (_, splits) => splits.map((split) => format.whole(axis(split))),
});

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const isMidnight = (date) => date.getHours() === 0 && date.getMinutes() === 0;

/** Times of day, with seconds where a mark has them, and the date where a day begins. */
function clockLabels(splits) {
  const label = splits.every((t) => t % 60 === 0) ? format.shortClock : format.clock;
  const isLong = splits.length > 1 && splits.at(-1) - splits[0] > 43_200;
  return splits.map((t) => {
    const date = new Date(t * 1000);
    return isLong && isMidnight(date) ? day.format(date) : label(date);
  });
}
