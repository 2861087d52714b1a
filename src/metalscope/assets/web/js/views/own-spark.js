// A small line without axes, beside a figure. The figure is read out; the line is for the eye.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [120, 26];

export function createSpark() {
  const node = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  node.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  node.setAttribute("preserveAspectRatio", "none");
  node.setAttribute("class", "spark");
  node.setAttribute("aria-hidden", "true");
  node.append(path);
  return {
    node,
    update(values) {
      path.setAttribute("d", pathOf(values));
    },
  };
}

function pathOf(values) {
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (least > most || values.length < 2) return "";
  const parts = [];
  let isOpen = false;
  for (const [place, value] of values.entries()) {
    if (!Number.isFinite(value)) {
      isOpen = false;
      continue;
    }
    const x = (place / (values.length - 1)) * WIDTH;
    const share = most > least ? (value - least) / (most - least) : 0.5;
    parts.push(`${isOpen ? "L" : "M"}${x.toFixed(1)} ${(HEIGHT - 2 - share * (HEIGHT - 4)).toFixed(1)}`);
    isOpen = true;
  }
  return parts.join("");
}
