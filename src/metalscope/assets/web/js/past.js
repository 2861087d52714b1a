// Questions about the past. What goes on is asked for piece by piece: only what is new is fetched.

import { ask } from "./changes.js";

const LEAST_MS = 2_000;
const MOST_MS = 60_000;
const LEAST_WHOLE_MS = 5_000; // where nothing is fetched piece by piece: panels of one's own
const PIECES = 30; // after so many, all is asked for once more: the highest lines may be others
const MOST_LINES = 200;
const UNSETTLED_STEPS = 2; // the latest are asked for again: not all was counted when they were given
const UNSETTLED_S = 120; // so much of a fleet, which is scraped but now and then

/**
 * page: {window(), comparison(), isPaused(), host()}. The functions it makes:
 * ask(path, params) and follow(path, params, onData); see createPage in page.js.
 */
export function createPast(page) {
  const followers = new Set();

  const askFor = (path, params) => {
    const query = new URLSearchParams();
    const known = page.host() ? { host: page.host(), ...params } : params;
    for (const [name, value] of Object.entries(known)) {
      // An operation may be on a device without a name; whatever else is empty is not asked for.
      const isWanted = value !== null && value !== undefined && (value !== "" || name === "device");
      if (isWanted) query.set(name, value);
    }
    const text = query.toString();
    return ask(`api/v1/${path}${text && `?${text}`}`);
  };

  const follow = (path, params, onData) => {
    const follower = createFollower({ page, askFor, path, params, onData });
    followers.add(follower);
    follower.begin();
    return () => {
      follower.stop();
      followers.delete(follower);
    };
  };

  return {
    ask: askFor,
    follow,
    /** Another time, another host, or going on after a pause: all is asked for anew. */
    again: () => followers.forEach((follower) => follower.begin()),
    hold: () => followers.forEach((follower) => follower.hold()),
  };
}

function createFollower({ page, askFor, path, params, onData }) {
  let turn = 0; // an answer to what was asked before a change is not for us any more
  let timer = 0;
  let known = null;
  let before; // what is compared with, as it was when all was asked for
  let pieces = 0;

  const begin = () => {
    turn += 1;
    clearTimeout(timer);
    known = null;
    before = undefined;
    pieces = 0;
    look(turn);
  };

  const look = async (mine) => {
    const window = page.window();
    const isPiece = known !== null && pieces > 0;
    const again = Math.max(UNSETTLED_STEPS * window.step, page.isFleet ? UNSETTLED_S : 0);
    const since = isPiece ? Math.max(window.since, lastStep(known) - again) : window.since;
    const found = await askFor(path, {
      since,
      until: window.until,
      // Steps are as long as those that are known: a past that is old has longer ones than asked for.
      step: isPiece ? known.step : window.step, // null in params where there are no steps
      ...params,
      ...(isPiece && "limit" in params && { limit: MOST_LINES }),
    });
    if (mine !== turn) return;
    if (found.ok) {
      known = isPiece ? join(known, found.data, window.since) : found.data;
      pieces = canJoin(path, found.data) ? (pieces + 1) % PIECES : 0;
      if (!isPiece) before = await compared(window);
      if (mine !== turn) return;
      onData({ ok: true, data: known, before });
    } else onData(found);
    if (window.isLive && !page.isPaused()) {
      const least = isPieced(path) ? LEAST_MS : LEAST_WHOLE_MS;
      timer = setTimeout(() => look(mine), Math.min(MOST_MS, Math.max(least, window.step * 1000)));
    }
  };

  // The span that is compared with, moved onto this one, and as much of what came after it as
  // pieces will be added here; undefined where nothing is compared.
  const compared = async (window) => {
    const comparison = page.comparison();
    if (!comparison) return undefined;
    const { since, until, step } = window;
    const shift = comparison.seconds;
    const ahead = window.isLive && pieces > 0 ? PIECES * step : 0;
    const found = await askFor(path, {
      since: since - shift,
      until: Math.min(until - shift + ahead, until),
      step,
      ...params,
    });
    if (!found.ok) return undefined;
    return "start" in found.data ? { ...found.data, start: found.data.start + shift } : found.data;
  };

  const stop = () => {
    turn += 1;
    clearTimeout(timer);
  };

  return { begin, stop, hold: () => clearTimeout(timer) };
}

// Panels of one's own pages are not: growth needs the step before, and two lines may be of the same.
const isPieced = (path) => path.startsWith("past/");

const canJoin = (path, data) => isPieced(path) && "start" in data && ("lines" in data || "cells" in data);

const lastStep = (data) => data.start + Math.max(0, lengthOf(data) - 1) * data.step;

const lengthOf = (data) =>
  "lines" in data ? Math.max(0, ...data.lines.map((line) => line.values.length)) : data.steps;

export const lineKey = ({ kind, name, device, host, labels }) =>
  JSON.stringify([kind, name, device, host, labels ?? {}]);

/** What was known, with what is newer put behind it, from `since` on. */
export function join(known, newer, since) {
  if (newer.step !== known.step) return newer;
  const step = known.step;
  const start = Math.max(known.start, Math.floor(since / step) * step);
  const at = Math.round((newer.start - start) / step);
  const dropped = Math.round((start - known.start) / step);
  if (at < 0) return newer;
  return "lines" in known
    ? { ...known, start, lines: joinLines(known, newer, at, dropped) }
    : { ...known, start, ...joinCells(known, newer, at, dropped) };
}

function joinLines(known, newer, at, dropped) {
  const found = new Map(newer.lines.map((line) => [lineKey(line), line.values]));
  const length = at + lengthOf(newer);
  const joined = known.lines.map((line) => {
    const values = line.values.slice(dropped, dropped + at);
    while (values.length < at) values.push(null);
    values.push(...(found.get(lineKey(line)) ?? []));
    while (values.length < length) values.push(null);
    return { ...line, values };
  });
  // Where nothing was known, what begins now is shown at once.
  if (joined.length > 0) return joined;
  return newer.lines.map((line) => ({ ...line, values: [...new Array(at).fill(null), ...line.values] }));
}

function joinCells(known, newer, at, dropped) {
  const edges = [...new Set([...known.edges_ms, ...newer.edges_ms])].sort((a, b) => a - b);
  const cells = known.cells
    .map(([step, cell, count]) => [step - dropped, cell, count])
    .filter(([step]) => step >= 0 && step < at);
  return {
    steps: at + newer.steps,
    edges_ms: edges,
    cells: [
      ...moved(cells, known.edges_ms, edges),
      ...moved(newer.cells, newer.edges_ms, edges).map(([step, cell, count]) => [step + at, cell, count]),
    ],
  };
}

// An answer has no more edges than it needs: a cell is where its upper edge is among all of them.
function moved(cells, from, to) {
  const places = new Map(to.map((edge, place) => [edge, place]));
  const place = (cell) => (cell < from.length ? places.get(from[cell]) : (places.get(from.at(-1)) ?? -1) + 1);
  return cells.map(([step, cell, count]) => [step, place(cell), count]);
}
