// The connection: an EventSource that is looked after until it is live again.

import { addressOfEvents, askForKey, wantsKey } from "./key.js";

const HEARTBEAT_MS = 15_000; // the server says something at least this often
const SHORTEST_SILENCE_MS = 10_000;
const LONGEST_SILENCE_MS = 3 * HEARTBEAT_MS;
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 8_000;

/**
 * Follow the server's events.
 * handlers: recent(data), snapshot(data), event(data), connection("connecting" | "live" | "locked" | "lost").
 */
export function follow(url, handlers) {
  let source = null;
  let delay = FIRST_DELAY_MS;
  let timer = 0;
  let lastMessage = performance.now();
  let longestGap = HEARTBEAT_MS;

  const heard = () => {
    const now = performance.now();
    longestGap = Math.max(longestGap * 0.9, now - lastMessage);
    lastMessage = now;
    delay = FIRST_DELAY_MS;
    handlers.connection("live");
  };

  const open = async () => {
    clearTimeout(timer);
    source?.close();
    source = null;
    let address;
    try {
      address = await addressOfEvents(url);
    } catch {
      handlers.connection("lost");
      retryLater();
      return;
    }
    source = new EventSource(address);
    lastMessage = performance.now();
    for (const kind of ["recent", "snapshot", "event"]) {
      source.addEventListener(kind, (message) => {
        heard();
        handlers[kind](JSON.parse(message.data));
      });
    }
    source.addEventListener("alive", heard);
    source.addEventListener("error", async () => {
      source.close();
      // A browser does not tell why; without a server this fails as well.
      if (await wantsKey(url).catch(() => false)) {
        handlers.connection("locked");
        await askForKey();
      } else handlers.connection("lost");
      retryLater();
    });
  };

  const retryLater = () => {
    source?.close();
    clearTimeout(timer);
    timer = setTimeout(open, delay);
    delay = Math.min(delay * 1.6, LONGEST_DELAY_MS);
  };

  // A machine that slept, or a network that swallowed the end, leaves a stream that only looks open.
  setInterval(() => {
    const silence = performance.now() - lastMessage;
    const tooLong = Math.min(LONGEST_SILENCE_MS, Math.max(SHORTEST_SILENCE_MS, 4 * longestGap));
    if (source?.readyState === EventSource.OPEN && silence > tooLong) {
      handlers.connection("lost");
      retryLater();
    }
  }, 5_000);

  handlers.connection("connecting");
  open();
}
