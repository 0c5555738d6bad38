// The picture of a GAN in one dimension: what gan.js plays, as histograms, D's curve and a map.

import { element, fitted, legend, number, scale, svg, ticks } from "./parts.js";

const LEFT = 44; // of the picture: for the numbers at its axes
const RIGHT = 44;
const TOP = 26;
const UPPER = 210; // height of the histograms
const BETWEEN = 64; // for the line's numbers, and what stands over the map
const LOWER = 170; // height of the map
const HEIGHT = TOP + UPPER + BETWEEN + LOWER + 8;
const MOST_Z = 2.5;
const HEAD = 7; // length of an arrow's head in pixels

/** Both histograms and D's curve; below them the map from z to G(z) with the arrows. */
export class Picture {
  #root = svg("svg", {
    class: "play-gan-picture",
    height: HEIGHT,
    role: "img",
    "aria-label": "Above: histograms of real numbers and of fakes, and what D says along the line. "
      + "Below: where G sends each z, with arrows that push the fakes.",
  });
  #options = { times: 1, showsBest: false };
  #width = 0;
  #before = null;

  snapshot = null;

  constructor() {
    this.node = element("figure", { class: "play-chart" }, this.#root, legends());
    fitted(this.node, (width) => {
      this.#width = width;
      this.#paint();
    });
  }

  /** Change what is shown: {times} lengthens the arrows, {showsBest} shows the best D. */
  set(options) {
    this.#options = { ...this.#options, ...options };
    this.#paint();
  }

  /** Begin anew: there is nothing to compare with. */
  forget() {
    this.snapshot = null;
  }

  /** Show a state, and the one before it as thin lines unless many follow each other. */
  show(snapshot, isRunning) {
    this.#before = isRunning ? null : this.snapshot;
    this.snapshot = snapshot;
    this.#paint();
  }

  #paint() {
    if (!this.#width || !this.snapshot) return;
    const { line } = this.snapshot;
    const x = scale([line[0], line.at(-1)], [LEFT, this.#width - RIGHT]);
    this.#root.setAttribute("width", this.#width);
    this.#root.replaceChildren(HATCH.cloneNode(true), this.#upper(x), this.#lower(x));
  }

  #upper(x) {
    const { line, answers, edges, real, fake, best } = this.snapshot;
    const floor = TOP + UPPER;
    const d = scale([0, 1], [floor, TOP]);
    const most = 1.6 * Math.max(...real);
    const bars = (shares, kind) => shares.map((share, k) => {
      const height = Math.min(share / most, 1) * UPPER;
      const place = { x: x(edges[k]), y: floor - height, width: x(edges[k + 1]) - x(edges[k]) };
      return svg("rect", { ...place, height, class: kind });
    });
    const right = this.#width - RIGHT;
    const group = svg("g", {}, ...grid(x, line, TOP, floor), ...bars(real, "play-gan-real"),
      ...bars(fake, "play-gan-fake"));
    for (const [value, text] of [[0, "0"], [0.5, "\u00bd"], [1, "1"]]) {
      const kind = value === 0.5 ? "play-mark" : "play-gan-rule";
      group.append(
        svg("line", { x1: LEFT, x2: right, y1: d(value), y2: d(value), class: kind }),
        words(text, right + 8, d(value) + 5),
      );
    }
    group.append(words("how often", 0, 16), words("D says", this.#width, 16, "end"));
    if (this.#before) group.append(path(line, this.#before.answers, x, d, "play-gan-before"));
    group.append(path(line, answers, x, d, "play-line play-gan-d"));
    if (this.#options.showsBest) group.append(...diamonds(edges, best, x, d));
    for (const tick of ticks(line[0], line.at(-1), 6)) {
      group.append(words(number(tick), x(tick), floor + 19, "middle"));
    }
    return group;
  }

  #lower(x) {
    const { latent, ways, arrows, line } = this.snapshot;
    const top = TOP + UPPER + BETWEEN;
    const z = scale([MOST_Z, -MOST_Z], [top, top + LOWER]);
    const group = svg("g", {}, ...grid(x, line, top, top + LOWER), bell(z));
    for (const tick of [-2, 0, 2]) group.append(words(number(tick), LEFT - 8, z(tick) + 5, "end"));
    group.append(words("z", 8, z(0) + 5), words("each z, and its fake G(z)", 0, top - 10));
    if (this.#before) group.append(path(this.#before.ways, latent, x, z, "play-gan-before"));
    group.append(path(ways, latent, x, z, "play-gan-map"));
    const edges = [LEFT, this.#width - RIGHT];
    for (const [value, place, push] of arrows) {
      group.append(...arrow(x(place), x(place + this.#options.times * push), z(value), edges));
    }
    return group;
  }
}

/** Lines up and down at the numbers of the line. */
function grid(x, line, top, bottom) {
  return ticks(line[0], line.at(-1), 6).map((tick) =>
    svg("line", { x1: x(tick), x2: x(tick), y1: top, y2: bottom, class: "play-gan-grid" }));
}

/** How often each z comes: the normal distribution, lying on its side. */
function bell(z) {
  const heights = Array.from({ length: 51 }, (_, k) => MOST_Z - (k * MOST_Z) / 25);
  const points = heights.map((v) => `${LEFT + 30 * Math.exp((-v * v) / 2)},${z(v).toFixed(1)}`);
  const ends = [`${LEFT},${z(-MOST_Z)}`, `${LEFT},${z(MOST_Z)}`];
  return svg("polygon", { class: "play-gan-bell", points: [...points, ...ends].join(" ") });
}

function path(xs, ys, x, y, kind) {
  const points = xs.map((value, k) => `${x(value).toFixed(1)},${y(ys[k]).toFixed(1)}`);
  return svg("polyline", { class: kind, points: points.join(" ") });
}

function diamonds(edges, best, x, d) {
  const known = best.map((value, k) => [(edges[k] + edges[k + 1]) / 2, value]);
  return known.filter(([, value]) => value !== null).map(([place, value]) => {
    const [cx, cy] = [x(place), d(value)];
    const points = `${cx - 5},${cy} ${cx},${cy - 5} ${cx + 5},${cy} ${cx},${cy + 5}`;
    return svg("polygon", { class: "play-gan-best", points });
  });
}

/** A fake as a dot, and the arrow that pushes it; one that leaves the picture ends at its edge. */
function arrow(from, to, height, [low, high]) {
  const start = clamp(from, low, high);
  const end = clamp(to, low, high);
  const side = Math.sign(end - start);
  const dot = svg("circle", { class: "play-gan-dot", cx: start, cy: height, r: 4 });
  if (Math.abs(end - start) < 1) return [dot];
  const head = Math.min(HEAD, Math.abs(end - start)) * side;
  const points = `${end},${height} ${end - head},${height - 5} ${end - head},${height + 5}`;
  return [
    svg("line", { class: "play-gan-arrow", x1: start, x2: end - head, y1: height, y2: height }),
    svg("polygon", { class: "play-gan-head", points }),
    dot,
  ];
}

function words(text, x, y, anchor = "start") {
  return svg("text", { x, y, "text-anchor": anchor, class: "play-halo" }, text);
}

const HATCH = svg("defs", {}, svg("pattern", {
  id: "play-gan-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse",
  patternTransform: "rotate(45)",
}, svg("line", { x1: 0, x2: 0, y1: 0, y2: 6 })));

function legends() {
  const bar = (kind) => svg("rect", { width: 30, height: 14, class: kind });
  const diamond = svg("polygon", { class: "play-gan-best", points: "10,7 15,2 20,7 15,12" });
  const old = svg("line", { x1: 0, x2: 30, y1: 7, y2: 7, class: "play-gan-before" });
  return element(
    "figcaption",
    { class: "play-legend" },
    entry("real numbers", bar("play-gan-real")),
    entry("fakes", bar("play-gan-fake")),
    legend("D", "play-gan-d"),
    entry("best D", diamond),
    entry("a tenth of the fakes, and its push", ...arrow(4, 28, 7, [0, 30])),
    entry("before the step", old),
  );
}

function entry(text, ...shapes) {
  const sample = svg("svg", { width: 30, height: 14, "aria-hidden": "true" }, ...shapes);
  return element("span", { class: "play-legend-entry" }, sample, ` ${text}`);
}

/** A number, or the end of a range that it is beyond. */
export function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}
