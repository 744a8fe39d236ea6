import { shape } from "./items.js";

// draw plots lines, each a list of {x, y}, into an SVG chart.
export function draw(svg, lines, { zero = false } = {}) {
  const [width, height, gap] = [300, 80, 4];
  const all = lines.flat();
  svg.replaceChildren(shape("line", { x1: 0, x2: width, y1: height, y2: height }));
  if (!all.length) return;
  const xs = all.map((p) => p.x), ys = all.map((p) => p.y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [zero ? 0 : Math.min(...ys), Math.max(...ys)];
  lines.forEach((points, i) => svg.append(shape("polyline", {
    class: i ? "second" : "first",
    points: points.map((p) => `${(width * (p.x - left) / (right - left || 1)).toFixed(1)},${(height - gap - (height - 2 * gap) * (p.y - low) / (high - low || 1)).toFixed(1)}`).join(" "),
  })));
}

// smooth applies an exponential moving average to a line.
export function smooth(points) {
  let y = points[0]?.y;
  return points.map((p) => ({ x: p.x, y: (y = .75 * y + .25 * p.y) }));
}
