// The picture of a graph of numbers: from left to right where that fits, else from the top down.
// Python gives the places of the nodes and the bends of the edges; see play_backward.py.

import { element, fitted, svg } from "./parts.js";

const MARGIN = 10; // pixels around the graph
const BESIDE = { across: [MARGIN, 30], down: [84, MARGIN] }; // room left and right, above and below
const LEAST = 0.9; // the smallest scale at which a graph from left to right is drawn
const LINE = 16; // pixels from line to line
const LETTER = 8; // pixels of a letter or digit at an edge, at most
const DOTS = 32; // of a piece of an edge, which say where it runs

/**
 * A node or an edge at a moment.
 * @typedef {{isComputed: boolean, isActive: boolean, isComplete: boolean, sum?: string,
 *   gradient?: string}} NodeState
 * @typedef {{isActive: boolean, sent?: [string, string]}} EdgeState `sent` is the gradient that
 *   went back along it before and after it was multiplied by the slope
 */

/** The picture; `node` is for the page. */
export class Graph {
  #shown;
  #state;
  #width = 0;

  constructor() {
    this.picture = svg("svg", { role: "img", "aria-label": "the graph of the expression" });
    const label = "graph; the left and right arrow keys step";
    const settings = { class: "play-graph", tabindex: 0, role: "group", "aria-label": label };
    this.node = element("div", settings, this.picture);
    fitted(this.node, (width) => {
      this.#width = width;
      if (this.#state) this.draw(this.#shown, this.#state);
    });
  }

  /**
   * Draw a moment.
   * @param {any} shown what `show` of play_backward.py returns
   * @param {{isBack: boolean, nodes: NodeState[], edges: EdgeState[]}} state
   */
  draw(shown, state) {
    this.#shown = shown;
    this.#state = state;
    if (!this.#width) return;
    const isAcross = extent(shown.layout, "across").width * LEAST <= this.#width;
    const direction = isAcross ? "across" : "down";
    const { nodes, edges } = shown.layout[direction];
    const { x, y, width, height } = extent(shown.layout, direction);
    const size = Math.min(1, Math.max(LEAST, this.#width / width));
    this.picture.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    this.picture.setAttribute("width", Math.floor(width * size));
    this.picture.setAttribute("height", Math.floor(height * size));
    const ways = waysOf(shown.edges, nodes, edges, isAcross);
    this.picture.replaceChildren(
      svg("defs", {}, arrowHead("play-arrow"), arrowHead("play-arrow-back")),
      ...ways.map((way, k) => edgeOf(way, state.edges[k])),
      ...nodes.map((place, k) => nodeOf(place, shown.nodes[k], state.nodes[k], state.isBack)),
      ...labelsOf(ways, nodes, shown.edges, state),
    );
    this.#reveal(nodes, { x, y, size });
  }

  /** Scroll so that the node at work is seen. */
  #reveal(nodes, { x, y, size }) {
    const k = this.#state.nodes.findIndex((node) => node.isActive);
    const [left, top] = k < 0 ? [x, y] : nodes[k].at;
    this.node.scrollTo({
      left: (left - x) * size - this.node.clientWidth / 2,
      top: (top - y) * size - this.node.clientHeight / 2,
    });
  }
}

/** The box around a layout, with room for what stands at the edges. */
function extent(layout, direction) {
  const [beside, above] = BESIDE[direction];
  const nodes = layout[direction].nodes;
  const least = (k) => Math.min(...nodes.map(({ at, size }) => at[k] - size[k] / 2));
  const most = (k) => Math.max(...nodes.map(({ at, size }) => at[k] + size[k] / 2));
  const [x, y] = [least(0) - beside, least(1) - above];
  return { x, y, width: most(0) + beside - x, height: most(1) + above - y };
}

/**
 * Where the edges run. Those that meet a node at the same side share this side.
 * @returns {{k: number, points: number[][], isAcross: boolean, side: number}[]} for each edge its
 *   points, from the parent to the result, and on which side of it its label stands
 */
function waysOf(edges, nodes, bends, isAcross) {
  const [along, beside] = isAcross ? [0, 1] : [1, 0];
  const ways = bends.map((points) => points.slice(1));
  const sides = edges.map(() => (isAcross ? -1 : 1));
  nodes.forEach((node, number) => {
    const taken = edges.map(({ to }, k) => ({ k, isOwn: to === number, next: bends[k].at(-1) }));
    const used = edges.map(({ from, to }, k) => {
      return { k, isOwn: from === number, next: bends[k][1] ?? nodes[to].at };
    });
    for (const [ends, sign] of [[taken, -1], [used, 1]]) {
      const own = ends.filter((end) => end.isOwn);
      own.sort((one, other) => one.next[beside] - other.next[beside] || one.k - other.k);
      own.forEach(({ k }, place) => {
        const point = [...node.at];
        point[along] += (sign * node.size[along]) / 2;
        point[beside] += ((place + 1) / (own.length + 1) - 0.5) * 0.9 * node.size[beside];
        if (sign > 0) ways[k].unshift(point);
        else ways[k].push(point);
        if (sign < 0 && own.length > 1) sides[k] = place ? 1 : -1;
      });
    }
  });
  return ways.map((points, k) => ({ k, points, isAcross, side: sides[k] }));
}

function arrowHead(name) {
  const place = { refX: 8, refY: 4.5, markerWidth: 9, markerHeight: 9 };
  const orient = { orient: "auto-start-reverse", markerUnits: "userSpaceOnUse" };
  const shape = svg("path", { d: "M 0 0 L 9 4.5 L 0 9 z", class: name });
  return svg("marker", { id: name, ...place, ...orient }, shape);
}

/** A smooth line; while a gradient goes back along it, its arrow points at the parent. */
function edgeOf({ points, isAcross }, { isActive, sent }) {
  const curves = points.slice(1).map((end, k) => {
    const start = points[k];
    const [x, y] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
    const controls = isAcross ? [x, start[1], x, end[1]] : [start[0], y, end[0], y];
    return `C ${controls} ${end}`;
  });
  const isBack = isActive && sent;
  const kind = isBack ? "play-edge play-back" : isActive ? "play-edge play-forward" : "play-edge";
  const arrow = isBack
    ? { "marker-start": "url(#play-arrow-back)" }
    : { "marker-end": "url(#play-arrow)" };
  return svg("path", { d: `M ${points[0]} ${curves.join(" ")}`, class: kind, ...arrow });
}

/** A node: how it is made, its value, the sum that grows, and its gradient. */
function nodeOf({ at: [x, y], size: [width, height] }, { title, value }, state, isBack) {
  const kinds = ["play-node"];
  if (!state.isComputed) kinds.push("play-unknown");
  if (state.isActive) kinds.push(isBack ? "play-sends" : "play-computes");
  if (isBack && state.gradient) kinds.push(state.isComplete ? "play-complete" : "play-waits");
  const [top, bottom] = [y - height / 2 + 19, y + height / 2 - 9];
  const texts = [
    [title, top, "play-title"],
    [state.isComputed ? value : "", top + LINE, ""],
    [state.sum ?? "", bottom - LINE, "play-gradient"],
    [state.gradient ?? "", bottom, "play-gradient"],
  ];
  return svg(
    "g",
    { class: kinds.join(" ") },
    svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 6 }),
    ...texts
      .filter(([text]) => text)
      .map(([text, place, kind]) => {
        return svg("text", { x, y: place, "text-anchor": "middle", class: kind }, text);
      }),
  );
}

/** What stands at the edges. Those at work are placed first, and drawn last, above the others. */
function labelsOf(ways, nodes, edges, state) {
  const lines = ways.map(dotsOn);
  const boxes = nodes.map(({ at: [x, y], size: [width, height] }) => {
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
  });
  return ways
    .filter(({ k }) => state.nodes[edges[k].to].isComputed)
    .sort((one, other) => state.edges[other.k].isActive - state.edges[one.k].isActive)
    .map((way) => {
      const { kind, texts } = wordsOf(state.edges[way.k], edges[way.k].slope);
      const others = lines.filter((_, k) => k !== way.k).flat();
      const place = freest(placesOf(way, texts), others, boxes);
      boxes.push(place.box);
      return labelAt(place, kind, texts);
    })
    .reverse();
}

/** Its slope, then gradient times slope, and then what the edge has brought. */
function wordsOf({ isActive, sent }, slope) {
  if (!sent) return { kind: "play-slope", texts: [slope] };
  if (!isActive) return { kind: "play-brought", texts: [sent[1]] };
  return { kind: "play-moved", texts: [`${sent[0]} \u00d7 ${slope}`, `= ${sent[1]}`] };
}

/** Where a label may stand: beside the middle of its edge's last piece, or elsewhere beside it. */
function placesOf({ points, isAcross, side: own }, texts) {
  const [start, end] = points.slice(-2);
  const width = LETTER * Math.max(...texts.map((text) => text.length));
  const height = LINE * texts.length;
  return [0.5, 0.75, 0.25].flatMap((part) => {
    const [x, y] = onCurve(start, end, part, isAcross);
    return [own, -own].map((side) => {
      if (isAcross) {
        const top = side < 0 ? y - 7 - height : y + 7;
        return { x, top, anchor: "middle", box: [x - width / 2, top, x + width / 2, top + height] };
      }
      const near = x + 8 * side;
      const box = [Math.min(near, near + side * width), y - height / 2];
      const anchor = side < 0 ? "end" : "start";
      return { x: near, top: box[1], anchor, box: [...box, box[0] + width, box[1] + height] };
    });
  });
}

/** The first of the places at which the fewest dots and boxes are in the way. */
function freest(places, dots, boxes) {
  const cost = ({ box: [left, top, right, bottom] }) => {
    const isIn = ([x, y]) => left < x && x < right && top < y && y < bottom;
    const meets = ([l, t, r, b]) => left < r && l < right && top < b && t < bottom;
    return dots.filter(isIn).length + DOTS * boxes.filter(meets).length;
  };
  const costs = places.map(cost);
  return places[costs.indexOf(Math.min(...costs))];
}

/** A point of the curve that `edgeOf` draws from one point to the next. */
function onCurve(start, end, part, isAcross) {
  const ahead = (from, to) => {
    const middle = (from + to) / 2;
    const rest = 1 - part;
    return rest ** 3 * from + 3 * rest * part * middle + part ** 3 * to;
  };
  const beside = (from, to) => from + (to - from) * part ** 2 * (3 - 2 * part);
  const [across, down] = isAcross ? [ahead, beside] : [beside, ahead];
  return [across(start[0], end[0]), down(start[1], end[1])];
}

function dotsOn({ points, isAcross }) {
  const parts = Array.from({ length: DOTS }, (_, k) => k / DOTS);
  return points.slice(1).flatMap((end, k) => {
    return parts.map((part) => onCurve(points[k], end, part, isAcross));
  });
}

function labelAt({ x, top, anchor }, kind, texts) {
  const place = { x, "text-anchor": anchor, class: "play-halo" };
  const lines = texts.map((text, k) => svg("text", { ...place, y: top + k * LINE + 13 }, text));
  return svg("g", { class: kind }, ...lines);
}
