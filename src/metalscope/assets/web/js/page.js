// What every view is given: the live state, the past, the time that is looked at, the address.

import { createAddress } from "./address.js";
import { ask } from "./changes.js";
import { createPast } from "./past.js";
import { createState } from "./state.js";
import { comparisonOf, windowOf } from "./window.js";

/**
 * A view is what createView(page) of its module gives, made each time it is gone to:
 *
 *   node       its element
 *   draw()     draws what is known now; called at most once a frame
 *   redraw()   draws canvases anew, in another theme
 *   look()     the time, the host or the view's own part of the address is another now; without it
 *              all that is followed is asked for anew
 *   leave()    ends what it follows
 */
export function createPage({ onChange, onDraw }) {
  let paused = null; // the moment, s, and what was known then
  let ahead = 0; // how far the server's clock is ahead of this one, s
  let drawing = false;
  const live = createState();
  const now = () => paused?.at ?? Date.now() / 1000 + ahead;

  const page = {
    live,
    /** What the page knows of this moment; while paused, of that moment. */
    get state() {
      return paused?.state ?? live;
    },
    /** What the server says of its past, log and traces: /api/v1/past; null before it answered. */
    about: null,
    /** Whether the past is that of many processes, so that there is no live state. */
    get isFleet() {
      return page.about?.live === false;
    },
    get hasPast() {
      return Boolean(page.about?.source);
    },
    address: null,
    now,
    /** {since, until, step, seconds, isLive}: Unix seconds, in whole steps. */
    window: () => windowOf(page.address.params, now()),
    /** {seconds, label} of what is compared with, or null. */
    comparison: () => comparisonOf(page.address.params, page.window()),
    host: () => (page.isFleet ? (page.address.params.get("host") ?? "") : ""),
    isPaused: () => paused !== null,
    /** A question to api/v1/<path> with parameters: resolves to {ok, data} or {ok: false, why}. */
    ask: null,
    /**
     * A question about the time that is looked at, asked again as it goes on: onData({ok, data,
     * before}) or onData({ok: false, why}); `before` is of what is compared with. Gives what ends it.
     */
    follow: null,
    /** Look at a time that is over, s; a step to go back to. */
    lookAt(since, until) {
      const [first, last] = [Math.floor(since), Math.ceil(until)];
      if (last - first < 10) return;
      page.address.set({ since: first, until: last, range: null }, { push: true });
    },
    pause() {
      paused = { at: now(), state: structuredClone(live) };
      past.hold();
    },
    resume() {
      paused = null;
      past.again();
    },
    /** Draw at the browser's next frame, however often this is asked. */
    drawSoon() {
      if (drawing) return;
      drawing = true;
      requestAnimationFrame(() => {
        drawing = false;
        onDraw();
      });
    },
    /** Ask what there is; whether that was answered. */
    async learn() {
      const found = await ask("api/v1/past");
      if (!found.ok) return false;
      page.about = found.data;
      ahead = found.data.now - Date.now() / 1000;
      return true;
    },
    again: () => past.again(),
  };
  page.address = createAddress(onChange);
  const past = createPast(page);
  page.ask = past.ask;
  page.follow = past.follow;
  return page;
}
