// Moments to the ms, and values of any shape as text.

import * as format from "../format.js";

const dayFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** {text, title, isOtherDay} of an RFC 3339 time. */
export function timeToTheMs(text) {
  const date = new Date(text);
  const isOtherDay = date.toDateString() !== new Date().toDateString();
  const clock = `${format.clock(date)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  return { text: isOtherDay ? `${dayFormat.format(date)} ${clock}` : clock, title: text, isOtherDay };
}

export const secondsOf = (text) => Date.parse(text) / 1000;

/** A value as it reads best: lists line by line, what has parts with an indent. */
export function textOf(value) {
  if (typeof value === "string") return value;
  const isPlain = Array.isArray(value) && value.every((part) => typeof part !== "object");
  return isPlain ? value.join("\n") : JSON.stringify(value, null, 2);
}

/** The same in one line, cut where it is long. */
export function lineOf(value, most = 120) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
