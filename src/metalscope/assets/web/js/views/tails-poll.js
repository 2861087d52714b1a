// Asks for what is the latest, again and again while the page is live and not paused.

/**
 * ask() resolves to an answer; onAnswer(answer) gives whether there is more to fetch at once.
 * begin() asks anew, and drops what was asked before; stop() ends it.
 */
export function createPoll(page, { everyMs, ask, onAnswer }) {
  let turn = 0;
  let timer = 0;

  const later = (mine, ms) => {
    timer = setTimeout(() => {
      if (page.isPaused() || !page.window().isLive) later(mine, everyMs);
      else look(mine);
    }, ms);
  };

  const look = async (mine) => {
    const answer = await ask();
    if (mine !== turn) return;
    const isMore = onAnswer(answer) === true;
    later(mine, isMore ? 50 : everyMs);
  };

  const stop = () => {
    turn += 1;
    clearTimeout(timer);
  };

  return {
    stop,
    begin() {
      stop();
      look(turn);
    },
  };
}

/** Whether a moment, s, is in the time that is looked at. What goes on has no beginning. */
export function isInSight(page, seconds) {
  const { isLive, since, until } = page.window();
  if (!isLive) return seconds >= since && seconds <= until;
  return !page.isPaused() || seconds <= page.now();
}

/**
 * Gives a function that says whether something else is asked for now than when it was last called:
 * by other filters, in another time that is over, or of another run of the program.
 */
export function createTurn(page, filters) {
  let run = null;
  let seen = null;
  return () => {
    const { isLive, since, until } = page.window();
    const now = JSON.stringify([filters.wanted(), isLive || [since, until]]);
    const isOtherRun = run !== null && run !== page.live.startedAt;
    const isOther = now !== seen || isOtherRun;
    run = page.live.startedAt;
    seen = now;
    return isOther;
  };
}
