// A canvas that is as sharp as the screen and as wide as its box, for drawings of our own.

import { el } from "../dom.js";
import { colour } from "./palette.js";

/** draw(pen, width, height) in CSS pixels. Gives {node, redraw, destroy}; redraws are once a frame. */
export function createCanvas(height, draw) {
  const canvas = el("canvas", { "aria-hidden": "true" });
  const node = el("div", { class: "draw-canvas" }, canvas);
  const pen = canvas.getContext("2d");
  let scheduled = 0;
  node.style.height = `${height}px`;

  const paint = () => {
    scheduled = 0;
    const width = node.clientWidth;
    if (width === 0) return;
    const ratio = devicePixelRatio || 1;
    const [wide, tall] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== wide || canvas.height !== tall) {
      canvas.width = wide;
      canvas.height = tall;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${colour("--sans") || "sans-serif"}`;
    draw(pen, width, height);
  };
  const redraw = () => {
    if (!scheduled) scheduled = requestAnimationFrame(paint);
  };
  const observer = new ResizeObserver(redraw);
  observer.observe(node);
  const leaveScreen = watchRatio(redraw);
  return {
    node,
    redraw,
    destroy() {
      observer.disconnect();
      leaveScreen();
      cancelAnimationFrame(scheduled);
    },
  };
}

/** Act when the page comes to a screen of another density, or is zoomed; gives what ends that. */
export function watchRatio(act) {
  let query = null;
  const listen = () => {
    // A ratio such as 1.1 is not met exactly.
    const [low, high] = [devicePixelRatio - 0.001, devicePixelRatio + 0.001];
    query = matchMedia(`(min-resolution: ${low}dppx) and (max-resolution: ${high}dppx)`);
    query.addEventListener("change", changed, { once: true });
  };
  const changed = () => {
    listen();
    act();
  };
  listen();
  return () => query.removeEventListener("change", changed);
}

/** The box of a plot within its axes: {left, top, width, height}. */
export const plotBox = (width, height, left) => ({
  left, top: 8, width: Math.max(1, width - left - 8), height: Math.max(1, height - 8 - 24),
});

const ROUND_SECONDS = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
  172_800, 604_800, 2_592_000,
];

/** Round times between two, at most `most` of them, in local time. */
export function timeMarks(since, until, most) {
  const step = ROUND_SECONDS.find((seconds) => (until - since) / seconds <= most) ?? 31_536_000;
  const shift = step >= 3600 ? new Date(since * 1000).getTimezoneOffset() * 60 : 0;
  const marks = [];
  for (let t = Math.ceil((since - shift) / step) * step + shift; t <= until; t += step) marks.push(t);
  return { step, marks };
}

/** Text at a place, kept within left..right. */
export function textWithin(pen, text, middle, y, left, right) {
  const half = pen.measureText(text).width / 2;
  pen.textAlign = "center";
  pen.fillText(text, Math.min(right - half, Math.max(left + half, middle)), y);
}

/** Cut a text so that it is at most so wide. */
export function cut(pen, text, width) {
  if (pen.measureText(text).width <= width) return text;
  let end = Math.min(text.length, 60);
  while (end > 1 && pen.measureText(`${text.slice(0, end)}…`).width > width) end -= 1;
  return `${text.slice(0, end)}…`;
}
