// Many lines at once. Stroking two hundred lines of thousands of points takes a browser longer than
// a frame; here each line becomes one span per column of pixels, and the spans are written into an
// image, a few milliseconds at a time, so that hovering stays smooth meanwhile.

import { firstFrom, scaleOf, widen } from "./range.js";

const SLICE_MS = 5;
const POINTS_A_LOOK = 40_000;

/** An image of lines that is made in slices; `onDone(scale, made)` is told when it is whole. */
export function createRaster(onDone) {
  const shown = document.createElement("canvas");
  const pen = shown.getContext("2d", { willReadFrequently: true });
  let image = null;
  let pixels = null;
  let low = new Float32Array(0);
  let high = new Float32Array(0);
  let xs = new Float64Array(0);
  let job = null;
  let scheduled = 0;

  const prepare = (width, height) => {
    if (image?.width !== width || image.height !== height) {
      image = new ImageData(width, height);
      pixels = new Uint32Array(image.data.buffer);
      low = new Float32Array(width);
      high = new Float32Array(width);
    } else pixels.fill(0);
  };

  // First the scale is found, then lines are drawn in it: two passes, each as long as a slice lets it.
  const run = () => {
    scheduled = 0;
    const { lines, count } = job;
    const until = performance.now() + SLICE_MS;
    const atOnce = Math.max(1, Math.floor(POINTS_A_LOOK / Math.max(1, count)));
    do {
      for (let n = 0; n < atOnce; n += 1) {
        if (job.measured < lines.length) {
          widen(job.extremes, lines[job.measured], job.from, job.to);
          job.measured += 1;
        } else if (job.drawn < lines.length) {
          // The first lines are the most important ones: they are drawn last, on top.
          drawLine(lines[lines.length - 1 - job.drawn]);
          job.drawn += 1;
        }
      }
    } while (job.drawn < lines.length && performance.now() < until);
    if (job.drawn < lines.length) scheduled = requestAnimationFrame(run);
    else finish();
  };

  const finish = () => {
    shown.width = image.width;
    shown.height = image.height;
    pen.putImageData(image, 0, 0);
    const { extremes, made } = job;
    job = null;
    onDone(scaleOf(extremes), made);
  };

  const drawLine = (line) => {
    const [least, most] = scaleOf(job.extremes);
    const k = image.height / (most - least);
    low.fill(Infinity);
    high.fill(-Infinity);
    spans(line.values, { count: job.count, base: image.height + least * k, k }, xs, image.width, low, high);
    fill(pixels, image.width, image.height, low, high, line);
  };

  return {
    canvas: shown,
    get isBusy() {
      return job !== null;
    },
    /**
     * lines: [{values, lower?, upper?, rgb, opacity, dash, thickness}]; since, until: the times of
     * the left and right edge; made: what onDone is given.
     */
    start({ t, lines, width, height, since, until, made }) {
      if (scheduled) cancelAnimationFrame(scheduled);
      prepare(width, height);
      if (xs.length < t.length) xs = new Float64Array(t.length + 512);
      const scale = width / (until - since || 1);
      for (let i = 0; i < t.length; i += 1) xs[i] = (t[i] - since) * scale;
      const [from, to] = [firstFrom(t, since), firstFrom(t, until + 1e-6)];
      job = { count: t.length, lines, from, to, made, measured: 0, drawn: 0, extremes: [0, 0] };
      run();
    },
    stop() {
      if (scheduled) cancelAnimationFrame(scheduled);
      scheduled = 0;
      job = null;
    },
  };
}

/** What a line covers of each column: from `low` to `high`, in pixels from the top. */
function spans(values, { count, base, k }, xs, width, low, high) {
  let known = false;
  let x0 = 0;
  let y0 = 0;
  for (let i = 0; i < count; i += 1) {
    const value = values[i];
    if (!Number.isFinite(value)) {
      known = false;
      continue;
    }
    const x = xs[i];
    const y = base - value * k;
    const column = Math.floor(x);
    if (!known || Math.floor(x0) === column) {
      if (column >= 0 && column < width) {
        const from = known && y0 < y ? y0 : y;
        const to = known && y0 > y ? y0 : y;
        if (from < low[column]) low[column] = from;
        if (to > high[column]) high[column] = to;
      }
    } else segment(x0, y0, x, y, width, low, high);
    known = true;
    x0 = x;
    y0 = y;
  }
}

function segment(x0, y0, x1, y1, width, low, high) {
  const first = Math.floor(x0);
  const last = Math.floor(x1);
  const slope = (y1 - y0) / (x1 - x0);
  const end = Math.min(last, width - 1);
  for (let column = Math.max(first, 0); column <= end; column += 1) {
    const a = column === first ? y0 : y0 + slope * (column - x0);
    const b = column === last ? y1 : y0 + slope * (column + 1 - x0);
    const from = a < b ? a : b;
    const to = a < b ? b : a;
    if (from < low[column]) low[column] = from;
    if (to > high[column]) high[column] = to;
  }
}

function fill(pixels, width, height, low, high, { rgb, opacity, dash, thickness }) {
  const [r, g, b] = rgb;
  const period = dash.reduce((sum, length) => sum + length, 0);
  const half = thickness / 2;
  for (let column = 0; column < width; column += 1) {
    if (low[column] > high[column] || (period > 0 && isGap(dash, column % period))) continue;
    const top = Math.max(0, low[column] - half);
    const bottom = Math.min(height, high[column] + half);
    const end = Math.ceil(bottom);
    for (let row = Math.floor(top); row < end; row += 1) {
      const covered = Math.min(row + 1, bottom) - Math.max(row, top);
      if (covered > 0) blend(pixels, row * width + column, r, g, b, covered * opacity);
    }
  }
}

function isGap(dash, at) {
  let left = at;
  for (let n = 0; n < dash.length; n += 1) {
    left -= dash[n];
    if (left < 0) return n % 2 === 1;
  }
  return false;
}

/** Source over destination, not premultiplied, as ImageData has it. */
function blend(pixels, at, r, g, b, alpha) {
  const below = pixels[at];
  if (below === 0 || alpha > 0.99) {
    pixels[at] = (Math.round(alpha * 255) << 24) | (b << 16) | (g << 8) | r;
    return;
  }
  const under = ((below >>> 24) / 255) * (1 - alpha);
  const whole = alpha + under;
  const red = (r * alpha + (below & 255) * under) / whole;
  const green = (g * alpha + ((below >> 8) & 255) * under) / whole;
  const blue = (b * alpha + ((below >> 16) & 255) * under) / whole;
  pixels[at] = (Math.round(whole * 255) << 24) | (blue << 16) | (green << 8) | red;
}
