// The picture of a graph of numbers: from left to right where that fits, else from the top down.
// Python gives the places of the nodes and the bends of the edges; see play_backward.py.

import { element, fitted, svg } from "./parts.js";

const MARGIN = 10; // pixels around the graph
const BESIDE = { across: [MARGIN, 30], down: [84, MARGIN] }; // room left and right, above and below
const LEAST = 0.9; // the smallest scale at which a graph from left to right is drawn
const LINE = 16; // pixels from line to line

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
      ...ways
        .filter(({ k }) => state.nodes[shown.edges[k].to].isComputed)
        .sort((one, other) => state.edges[one.k].isActive - state.edges[other.k].isActive)
        .map((way) => labelOf(way, state.edges[way.k], shown.edges[way.k].slope)),
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

/** What stands at an edge: its slope, then gradient times slope, and then what it has brought. */
function labelOf({ points, isAcross, side }, { isActive, sent }, slope) {
  const [start, end] = points.slice(-2);
  const [x, y] = [(start[0] + end[0]) / 2, (start[1] + end[1]) / 2];
  const isMoved = isActive && sent;
  const texts = isMoved ? [`${sent[0]} \u00d7 ${slope}`, `= ${sent[1]}`] : [sent?.[1] ?? slope];
  const block = (texts.length - 1) * LINE;
  const first = isAcross ? (side < 0 ? y - 11 - block : y + LINE + 5) : y + 5 - block / 2;
  const place = isAcross
    ? { x, "text-anchor": "middle" }
    : { x: x + 8 * side, "text-anchor": side < 0 ? "end" : "start" };
  const kind = isMoved ? "play-moved" : sent ? "play-brought" : "play-slope";
  return svg(
    "g",
    { class: kind },
    ...texts.map((text, k) => {
      return svg("text", { ...place, y: first + k * LINE, class: "play-halo" }, text);
    }),
  );
}
