// Numbers for people. Each function takes a number or null and gives {text, unit?, title?, absent?}.

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const momentFormat = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const shortClockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

export const DASH = "—";

export function absent(why) {
  return { text: DASH, title: why, absent: true };
}

const isKnown = (value) => typeof value === "number" && Number.isFinite(value);

/** Three significant digits, grouped from a thousand on. */
export function significant(value) {
  const size = Math.abs(value);
  if (size >= 999.5) return grouped.format(value);
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  if (size >= 0.01 || size === 0) return value.toFixed(size === 0 ? 0 : 2);
  return value.toPrecision(2);
}

function whole({ text, unit }) {
  return unit ? `${text} ${unit}` : text;
}

/** The value and its unit in one text. */
export function joined(value) {
  return { ...value, text: whole(value), unit: undefined };
}

export function count(value, why = "not known") {
  if (!isKnown(value)) return absent(why);
  const exact = grouped.format(value);
  if (value < 1e7) return { text: exact };
  const [scale, letter] = value < 1e9 ? [1e6, "M"] : value < 1e12 ? [1e9, "G"] : [1e12, "T"];
  return { text: `${(value / scale).toFixed(value / scale < 100 ? 2 : 1)} ${letter}`, title: exact };
}

export function rate(value, why = "needs two readings") {
  return isKnown(value) ? { text: significant(value), unit: "/s" } : absent(why);
}

/** Milliseconds in the unit that reads best. */
export function duration(ms, why = "nothing ran") {
  if (!isKnown(ms)) return absent(why);
  const [value, unit] =
    ms === 0 ? [0, "ms"]
    : ms < 0.001 ? [ms * 1e6, "ns"]
    : ms < 0.9995 ? [ms * 1e3, "µs"]
    : ms < 999.5 ? [ms, "ms"]
    : ms < 600_000 ? [ms / 1e3, "s"]
    : [ms / 60_000, "min"];
  return { text: significant(value), unit, title: `${ms} ms` };
}

export function bytes(value, why = "not known") {
  if (!isKnown(value)) return absent(why);
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let step = 0;
  let scaled = value;
  while (Math.abs(scaled) >= 1023.5 && step < units.length - 1) {
    scaled /= 1024;
    step += 1;
  }
  const text = step === 0 ? grouped.format(scaled) : significant(scaled);
  return { text, unit: units[step], title: `${grouped.format(value)} bytes` };
}

/** A share 0..1 as a percentage. */
export function share(value, why = "nothing ran") {
  return isKnown(value) ? percent(value * 100) : absent(why);
}

export function percent(value, why = "no sensor gives it") {
  if (!isKnown(value)) return absent(why);
  if (value > 0 && value < 0.01) return { text: "< 0.01", unit: "%", title: `${value} %` };
  const digits = value >= 99.95 || value === 0 ? 0 : value >= 9.995 ? 1 : 2;
  // What is not all is not shown as all: 99.99 % stays below 100.
  const text = value < 100 && Number(value.toFixed(digits)) >= 100 ? "99.9" : value.toFixed(digits);
  return { text, unit: "%" };
}

const LEVELS = {
  thermal_state: ["nominal", "fair", "serious", "critical"],
  memory_pressure: ["low", "medium", "high", "critical"],
  low_power_mode: ["off", "on"],
};

const SCALED = {
  bytes_per_second: [[1e9, "GB/s"], [1e6, "MB/s"], [1, "B/s"]],
  hertz: [[1e9, "GHz"], [1e6, "MHz"], [1, "Hz"]],
  joules: [[3.6e6, "kWh"], [1e3, "kJ"], [1, "J"]],
  watts: [[1, "W"]],
  celsius: [[1, "°C"]],
  rpm: [[1, "rpm"]],
};

/** What a sensor read, in the unit the snapshot gives it. */
export function reading(kind, unit, value) {
  const why = "no sensor on this machine gives it; see metalscope doctor";
  if (!isKnown(value)) return absent(why);
  if (unit === "bytes") return bytes(value);
  if (unit === "percent") return percent(value);
  if (unit === "level") return { text: LEVELS[kind]?.[value] ?? String(value) };
  if (!(unit in SCALED)) return count(value);
  const steps = SCALED[unit];
  const [scale, name] = steps.find(([least]) => Math.abs(value) >= least) ?? steps.at(-1);
  return { text: significant(value / scale), unit: name };
}

/** A number in the unit of its metric, as an alert has it: without one it is a count. */
export function figure(value, unit) {
  if (!isKnown(value)) return absent("not known");
  if (unit === "ms") return duration(value);
  if (unit === "seconds") return value < 600 ? duration(value * 1000) : { text: span(value) };
  if (unit === "bytes") return bytes(value);
  if (unit === "percent") return percent(value);
  if (unit === "ratio") return share(value);
  if (unit in SCALED) return reading("", unit, value);
  const text = Number.isSafeInteger(value) ? count(value).text : significant(value);
  return { text, unit: unit || undefined };
}

/** Seconds as the two largest units, such as 3 h 12 min. */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor((s % 86_400) / 3600)} h`;
}

export const clock = (date) => clockFormat.format(date);

/** The time of day, with the date where it is another day's. */
export const moment = (date) =>
  date.toDateString() === new Date().toDateString() ? clock(date) : momentFormat.format(date);

export const shortClock = (date) => shortClockFormat.format(date);

/** very_slow, out_of_memory → very slow, out of memory. */
export const words = (identifier) => identifier.replaceAll("_", " ");

export { whole };
