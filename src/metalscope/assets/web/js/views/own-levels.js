// Thresholds of a panel: how a value stands, by a sign and a word, not by colour alone.

const LEVELS = {
  fine: { rank: 0, sign: "✓", word: "fine", status: "healthy" },
  warn: { rank: 1, sign: "!", word: "warning", status: "degraded" },
  bad: { rank: 2, sign: "✕", word: "bad", status: "critical" },
};

/** thresholds: {warn, bad}, either may be null, or null where there are none. */
export function createLevels(thresholds) {
  const { warn = null, bad = null } = thresholds ?? {};
  // Where a warning comes before what is bad on the way down, low values are the bad ones.
  const isLowBad = warn !== null && bad !== null && warn > bad;
  const passes = (value, limit) => limit !== null && (isLowBad ? value <= limit : value >= limit);

  /** {rank, sign, word, status} of a value; null where there are no thresholds or no value. */
  const of = (value) => {
    if (!thresholds || !Number.isFinite(value)) return null;
    return passes(value, bad) ? LEVELS.bad : passes(value, warn) ? LEVELS.warn : LEVELS.fine;
  };

  return {
    of,
    /** That of the worst of lines' last known values. */
    worst(lines) {
      const found = lines.map((line) => of(line.values.findLast(Number.isFinite))).filter(Boolean);
      return found.reduce((worst, one) => (worst === null || one.rank > worst.rank ? one : worst), null);
    },
    /** [{label, value, isBad}…], to be drawn across a chart. */
    limits: () => [
      ...(warn === null ? [] : [{ label: "warning", value: warn, isBad: false }]),
      ...(bad === null ? [] : [{ label: "bad", value: bad, isBad: true }]),
    ],
  };
}
