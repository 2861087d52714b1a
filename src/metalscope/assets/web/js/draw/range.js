// Places and extremes in the values of lines.

/** The first place in ascending `t` that is not before `moment`; its length where none is. */
export function firstFrom(t, moment) {
  let low = 0;
  let high = t.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (t[middle] < moment) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The place in ascending `t` closest to `moment`, null where there is none. */
export function nearest(t, moment) {
  const after = firstFrom(t, moment);
  if (after === 0) return t.length ? 0 : null;
  if (after === t.length) return t.length - 1;
  return moment - t[after - 1] < t[after] - moment ? after - 1 : after;
}

/** Widen [least, most] by what a line and its band have from place `from` to before `to`. */
export function widen(extremes, { values, lower, upper }, from, to) {
  widenBy(extremes, values, from, to);
  if (lower && upper) {
    widenBy(extremes, lower, from, to);
    widenBy(extremes, upper, from, to);
  }
}

function widenBy(extremes, values, from, to) {
  let [least, most] = extremes;
  for (let i = from; i < to; i += 1) {
    const value = values[i];
    // What is null compares as 0, which is within from the start.
    if (value > most) {
      if (value < Infinity) most = value;
    } else if (value < least && value > -Infinity) least = value;
  }
  extremes[0] = least;
  extremes[1] = most;
}

/** The scale of extremes that began as [0, 0]: a little room, and 0 always in sight. */
export function scaleOf([least, most]) {
  return [least * 1.12, most > 0 ? most * 1.12 : least < 0 ? 0 : 1];
}
