// One series, what is forecast of it, and the band in which it is likely to be.

import { el, setText } from "../dom.js";
import { createLines } from "../draw/lines.js";
import * as format from "../format.js";
import { stepOf } from "../window.js";

const LEAST_MS = 10_000; // a forecast costs the program some work
const STEPS = 180; // of the past: a forecast is drawn from, and in, steps this coarse
const MOST_STEPS = 900; // as many as a window has; see window.js
const MOST_AHEAD = 4; // times the past
const MOST_UNSETTLED = 3;
const NEAR = 0.25; // a limit further up than four times what is known would flatten it

/** {node, ask(horizon), draw(), redraw(), leave()}; horizon in s, null for half of the time. */
export function createForecastChart(page, { title, wanted, value, axis, binary }) {
  const chart = createLines({
    title, value, axis, binary,
    height: 220,
    emptyText: "nothing of it is known in this time",
    onZoom: (since, until) => page.lookAt(since, until),
  });
  const note = el("p", { class: "hint chart-note" });
  chart.node.append(note);
  let answer = null;
  let asked = null; // what was asked for: where it is another, what comes of it is not for us
  let isFresh = false;
  let timer = 0;

  const look = async (question) => {
    clearTimeout(timer);
    const { seconds, isLive } = page.window();
    const within = windowOf(page);
    const horizon = Math.min(question.horizon ?? seconds / 2, MOST_AHEAD * seconds);
    if (!page.isPaused() || answer === null) {
      const { since, until, step } = within;
      const found = await page.ask("past/forecast", { ...wanted, since, until, step, horizon });
      if (question !== asked) return;
      const came = isLive || !found.ok ? null : await whatCame(page, wanted, within, horizon);
      if (question !== asked) return;
      answer = { ...found, within, horizon, isLive, came };
      isFresh = true;
      page.drawSoon();
    }
    if (isLive) timer = setTimeout(() => look(question), Math.max(LEAST_MS, within.step * 1000));
  };

  return {
    node: chart.node,
    ask(horizon) {
      const key = JSON.stringify([horizon, timeOf(page)]);
      if (asked?.key === key) return;
      asked = { key, horizon };
      look(asked);
    },
    draw() {
      if (!isFresh) return;
      isFresh = false;
      const { within, horizon, isLive } = answer;
      const until = within.until + horizon;
      if (!answer.ok) {
        chart.update({ t: [], lines: [], since: within.since, until });
        setText(note, `Cannot be read now: ${answer.why}.`);
        return;
      }
      chart.update({ ...drawn(answer.data, isLive, answer.came), since: within.since, until });
      setText(note, noteOf(answer.data, value));
    },
    redraw: chart.redraw,
    leave() {
      asked = null;
      clearTimeout(timer);
      chart.destroy();
    },
  };
}

/** What of the address says which time of which host is looked at. */
export const timeOf = ({ address }) => ["range", "since", "until", "host"].map((name) => address.params.get(name));

/** The time that is looked at in coarser steps, and only whole ones: the last is still going on. */
function windowOf(page) {
  const { since, until, seconds, step: fine, isLive } = page.window();
  const step = Math.max(fine, stepOf((seconds * MOST_STEPS) / STEPS));
  const whole = (moment, round) => round(moment / step) * step;
  const end = isLive ? whole(Math.min(until, page.now()), Math.floor) : whole(until, Math.ceil);
  return { since: Math.min(whole(since, Math.floor), end - step), until: end, step };
}

/** Of a time that is over what came after it, {start, step, values}; null where nothing is known. */
async function whatCame(page, wanted, { until: since, step }, horizon) {
  const until = Math.floor(Math.min(since + horizon, page.now()) / step) * step;
  if (until <= since) return null;
  const found = await page.ask("past/lines", { ...wanted, since, until, step, limit: 1 });
  const [line] = found.ok ? found.data.lines : [];
  return line ? { start: found.data.start, step: found.data.step, values: line.values } : null;
}

function drawn({ past: { start, step, values }, forecast, ceiling }, isLive, came) {
  const past = { start, step, values: settled(values) };
  const known = past.values.length;
  const total = known + (forecast?.values.length ?? 0);
  const t = Array.from({ length: total }, (_, n) =>
    n < known ? past.start + n * past.step : forecast.start + (n - known) * forecast.step,
  );
  const gap = new Array(total - known).fill(null);
  const lines = [{ label: "until now", values: [...past.values, ...gap], colourIndex: 0 }];
  if (!isLive) lines[0].label = "until then";
  if (forecast) lines.push(forecastLine(past, forecast));
  if (forecast && came) {
    lines.push({ label: "what came", values: t.map((moment) => valueAt(came, moment)), colourIndex: 2 });
  }
  const most = highest([...past.values, ...(forecast?.upper ?? [])]);
  if (ceiling > 0 && most >= NEAR * ceiling) {
    lines.push({ label: "limit", values: new Array(total).fill(ceiling), colourIndex: 1, dashed: true });
  }
  const marks = known ? [{ t: t[known - 1], label: isLive ? "now" : "then" }] : [];
  return { t, lines, marks };
}

// Half a thousandth of a step makes good what adding fractions loses.
const valueAt = ({ start, step, values }, moment) => values[Math.floor((moment - start) / step + 0.0005)] ?? null;

/** Without the last steps of which nothing is known yet. */
function settled(values) {
  const last = values.findLastIndex(Number.isFinite);
  return last >= 0 && values.length - 1 - last <= MOST_UNSETTLED ? values.slice(0, last + 1) : values;
}

// It begins where what is known ends, so that the two are one line.
function forecastLine({ values }, forecast) {
  const last = values.at(-1) ?? null;
  const lead = [...new Array(Math.max(0, values.length - 1)).fill(null), ...(values.length ? [last] : [])];
  const put = (column) => [...lead, ...column];
  const sure = `${Math.round(100 * forecast.confidence)} %`;
  return {
    label: `forecast, ${sure} within the band`,
    values: put(forecast.values),
    lower: put(forecast.lower),
    upper: put(forecast.upper),
    colourIndex: 0,
    dashed: true,
  };
}

const highest = (values) => values.reduce((most, value) => (value > most ? value : most), Number.NEGATIVE_INFINITY);

/** What the figures come to, in words. */
function noteOf({ past, forecast, ceiling, why }, value) {
  const limit = ceiling > 0 ? `Limit ${format.whole(value(ceiling))}` : "";
  if (!forecast) {
    const nothing = past.values.some(Number.isFinite) ? "No forecast" : "";
    return [limit && `${limit}.`, nothing && `${nothing}: ${why}.`].filter(Boolean).join(" ");
  }
  const end = forecast.values.length - 1;
  const figure = (column) => format.whole(value(forecast[column][end]));
  const bounds = `between ${figure("lower")} and ${figure("upper")}`;
  const said = `At ${moment(forecast, end)} about ${figure("values")}, ${bounds}.`;
  return [said, limit && `${limit}${reachText(forecast, ceiling)}.`].filter(Boolean).join(" ");
}

function reachText(forecast, ceiling) {
  const when = (values) => values.findIndex((number) => number >= ceiling);
  const [at, earliest] = [when(forecast.values), when(forecast.upper)];
  if (earliest < 0) return ", not reached in this time";
  const soonest = `${moment(forecast, earliest)} at the soonest`;
  return at < 0 ? `, possibly reached, ${soonest}` : `, reached at about ${moment(forecast, at)}, ${soonest}`;
}

const moment = ({ start, step }, place) => format.moment(new Date((start + place * step) * 1000));
