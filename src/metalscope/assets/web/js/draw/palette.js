// Colours and dashes. Hues come from the theme's custom properties; a dash goes with each, so that
// colour is never the only sign of a line.

const HUES = 6;

/** Dashes in CSS pixels: a line's is told apart from that of the same hue six lines before. */
const DASHES = [[], [6, 3], [2, 2], [9, 3, 2, 3], [12, 4], [2, 5]];

/**
 * Cividis in ten steps from dark to light: lightness rises evenly, and it reads alike with any kind
 * of colour blindness. Nuñez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239.
 */
const CIVIDIS = [
  [0, 34, 78], [18, 53, 112], [59, 73, 108], [87, 93, 109], [112, 113, 115],
  [138, 134, 120], [165, 156, 116], [195, 179, 105], [225, 204, 85], [254, 232, 56],
];

/** The darkest end is left out on a dark ground, so that what is least still stands off it. */
const DARK_FROM = 0.14;

const read = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const kept = new Map();
let keptFor = null;

/** A custom property of the theme, such as `--grid`; read once a theme. */
export function colour(name) {
  const theme = document.documentElement.dataset.theme ?? "";
  if (theme !== keptFor) {
    kept.clear();
    keptFor = theme;
  }
  let value = kept.get(name);
  if (value === undefined) {
    value = read(name);
    // Before its style sheet is there a property is empty, and is asked for again.
    if (value) kept.set(name, value);
  }
  return value;
}

export const isDark = () => document.documentElement.dataset.theme === "dark";

/** 1..6, as in `--series-1` and the class `c1`. */
export const hueOf = (index) => (index % HUES) + 1;

export const seriesColour = (index) => colour(`--series-${hueOf(index)}`);

/** The dash of a line, in CSS pixels; empty for an unbroken one. */
export const dashOf = (index) => DASHES[Math.floor(index / HUES) % DASHES.length];

/** [red, green, blue], each 0..255, of `#rrggbb`; grey for what is none. */
export function rgbOf(hex) {
  const found = /^#([0-9a-f]{6})$/i.exec(hex);
  const bits = found ? Number.parseInt(found[1], 16) : 0x808080;
  return [bits >> 16, (bits >> 8) & 255, bits & 255];
}

export function translucent(hex, opacity) {
  const [r, g, b] = rgbOf(hex);
  return `rgb(${r} ${g} ${b} / ${opacity})`;
}

/**
 * The colour of a share 0..1 as [red, green, blue]. More stands off the ground more: it is darker in
 * the light theme and lighter in the dark one.
 */
export function heat(share, dark = isDark()) {
  const within = Math.min(1, Math.max(0, share));
  const at = (dark ? DARK_FROM + (1 - DARK_FROM) * within : 1 - within) * (CIVIDIS.length - 1);
  const low = Math.min(CIVIDIS.length - 2, Math.floor(at));
  const part = at - low;
  return CIVIDIS[low].map((from, n) => Math.round(from + (CIVIDIS[low + 1][n] - from) * part));
}

export const heatColour = (share) => `rgb(${heat(share).join(" ")})`;

const SVG = "http://www.w3.org/2000/svg";

/** A short piece of line n as it is drawn, for a legend. */
export function swatchOf(index, { dashed = false, faint = false } = {}) {
  const node = document.createElementNS(SVG, "svg");
  const line = document.createElementNS(SVG, "line");
  const parts = { x1: 0, y1: 4, x2: 22, y2: 4, stroke: "currentColor", "stroke-width": 3 };
  for (const [name, value] of Object.entries(parts)) line.setAttribute(name, value);
  const dash = dashed ? DASHES[1] : dashOf(index);
  if (dash.length) line.setAttribute("stroke-dasharray", dash.join(" "));
  node.setAttribute("viewBox", "0 0 22 8");
  node.setAttribute("class", `line-swatch c${hueOf(index)}${faint ? " faint" : ""}`);
  node.setAttribute("aria-hidden", "true");
  node.append(line);
  return node;
}

/** The dash a line is drawn with: of its own where it is dashed to be told from what it goes with. */
export const dashOfLine = (line, index) => (line.dashed ? DASHES[1] : dashOf(index));
