// Small parts that the things to play with share: the stage with its Start button, controls with
// labels, SVG with axes, and a loop of short calls. Importing this module loads play.css too.

import { element } from "../elements.js";
import { Python, Stopped } from "../python.js";

export { element };

document.head.append(
  element("link", { rel: "stylesheet", href: new URL("./play.css", import.meta.url).href }),
);

/**
 * An SVG element.
 * @param {string} name its tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children what it holds
 * @returns {SVGElement}
 */
export function svg(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

/**
 * A number as a reader wants it: four digits, and a minus sign that is one.
 * @param {number} value
 * @param {number} digits how many count
 */
export function number(value, digits = 4) {
  return String(Number(value.toPrecision(digits))).replaceAll("-", "\u2212");
}

/** A share from 0 to 1 in percent. */
export function percent(share) {
  return `${number(100 * share, 3)}%`;
}

// The stage

/**
 * Prepare the box of a thing to play with. It shows the still picture and a Start button; pressed,
 * it loads Python and calls `begin`, whose result takes the still picture's place.
 * @param {string} name as in the page's {play} block
 * @param {(python: Python) => Promise<Node>} begin makes the calls that come first, and the thing
 */
export function stage(name, begin) {
  const box = document.querySelector(`.play-${name}`);
  const still = element("div", { class: "play-still" }, ...box.childNodes);
  const says = status();
  const python = new Python({ progress: (text) => loading && says.say(text && `${text} \u2026`) });
  const start = button("Start", run, { class: "live-button play-start" });
  const stop = button("Stop loading", () => python.stop());
  const bar = row(start, stop, says.node);
  let loading = false;
  box.append(bar, still);
  show(false);

  function show(isLoading) {
    loading = isLoading;
    start.hidden = loading;
    stop.hidden = !loading;
  }

  async function run() {
    show(true);
    stop.focus();
    try {
      const thing = await begin(python);
      box.classList.add("play-started");
      bar.replaceWith(element("div", { class: "play-live" }, thing));
      box.querySelector(".play-live :is(button, input, select):not(:disabled)")?.focus();
    } catch (error) {
      const isStopped = error instanceof Stopped;
      show(false);
      says.say(isStopped ? "Stopped." : `It could not be started: ${error.message}`);
      start.focus();
    }
  }
}

/**
 * A line that is read aloud when it changes.
 * @param {Record<string, any>} attributes further ones
 * @returns {{node: HTMLElement, say: (text: string) => void}}
 */
export function status(attributes = {}) {
  const node = element("p", { class: "play-says", "aria-live": "polite", ...attributes });
  return {
    node,
    say: (text) => {
      if (node.textContent !== text) node.textContent = text;
    },
  };
}

// Controls

/** Things side by side, or below each other where there is no room. */
export function row(...children) {
  return element("div", { class: "play-row" }, ...children);
}

/**
 * A button.
 * @param {string} label what it says
 * @param {() => void} act
 * @param {Record<string, any>} attributes further ones
 */
export function button(label, act, attributes = {}) {
  const usual = { type: "button", class: "live-button", click: act };
  return element("button", { ...usual, ...attributes }, label);
}

/**
 * A control with its label: `node` is for the page, `value` reads and sets.
 * @typedef {{node: HTMLElement, input: HTMLElement, value: any}} Control
 */

/**
 * A slider with its value beside it.
 * @param {{label: string, min: number, max: number, step?: number | "any", value: number,
 *   text?: (value: number) => string, change: (value: number) => void}} options
 *   `text` writes the value, `change` is called while it moves
 * @returns {Control}
 */
export function slider({ label, min, max, step = "any", value, text = number, change }) {
  const shown = element("output", { class: "play-shown" });
  const input = element("input", { type: "range", min, max, step });
  const show = () => {
    shown.textContent = text(input.valueAsNumber);
    input.setAttribute("aria-valuetext", shown.textContent);
  };
  input.addEventListener("input", () => {
    show();
    change(input.valueAsNumber);
  });
  const set = (next) => {
    input.value = next;
    show();
  };
  set(value);
  return control(label, input, () => input.valueAsNumber, set, shown);
}

/**
 * A choice of one among several.
 * @param {{label: string, options: [string, string][], value?: string,
 *   change: (value: string) => void}} options each option is its value and its text
 * @returns {Control}
 */
export function choice({ label, options, value = options[0][0], change }) {
  const entries = options.map(([name, text]) => element("option", { value: name }, text));
  const input = element("select", { change: () => change(input.value) }, ...entries);
  input.value = value;
  return control(label, input, () => input.value, (next) => (input.value = next));
}

/**
 * A field for text.
 * @param {{label: string, value: string, change: (value: string) => void}} options `change` is
 *   called at each key; further options are attributes of the input
 * @returns {Control}
 */
export function field({ label, value, change, ...attributes }) {
  const plain = { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" };
  const input = element("input", { ...plain, ...attributes, input: () => change(input.value) });
  input.value = value;
  return control(label, input, () => input.value, (next) => (input.value = next));
}

/**
 * A switch that is on or off.
 * @param {{label: string, value?: boolean, change: (value: boolean) => void}} options
 * @returns {Control}
 */
export function checkbox({ label, value = false, change }) {
  const input = element("input", { type: "checkbox", change: () => change(input.checked) });
  input.checked = value;
  const node = element("label", { class: "play-check" }, input, ` ${label}`);
  return withValue({ node, input }, () => input.checked, (next) => (input.checked = next));
}

function control(label, input, get, set, ...beside) {
  const text = element("span", { class: "play-label" }, label, ...beside);
  const node = element("label", { class: "play-control" }, text, input);
  return withValue({ node, input }, get, set);
}

function withValue(made, get, set) {
  return Object.defineProperty(made, "value", { get, set });
}

// A loop of short calls

/** Calls an asynchronous function again and again; one call ends before the next begins. */
export class Loop {
  #step;
  #changed;
  #failed;
  #ended = Promise.resolve();

  /** Whether it goes on after the call that is being made. */
  isRunning = false;

  /**
   * @param {() => Promise<any>} step one short call; returning false ends the loop
   * @param {(isRunning: boolean) => void} changed told when it starts and when it ends
   * @param {(error: Error) => void} failed told of an error, which ends it
   */
  constructor(step, changed, failed) {
    this.#step = step;
    this.#changed = changed;
    this.#failed = failed;
    document.addEventListener("visibilitychange", () => document.hidden && this.pause());
  }

  /** Begin, or go on. */
  start() {
    if (this.isRunning) return;
    this.isRunning = true;
    this.#changed(true);
    this.#ended = this.#ended.then(() => this.#run());
  }

  async #run() {
    try {
      while (this.isRunning && (await this.#step()) !== false) await nextFrame();
    } catch (error) {
      if (!(error instanceof Stopped)) this.#failed(error);
    }
    this.pause();
  }

  /**
   * End after the present call.
   * @returns {Promise<void>} resolves when that call has ended
   */
  pause() {
    if (this.isRunning) {
      this.isRunning = false;
      this.#changed(false);
    }
    return this.#ended;
  }
}

/** Wait until the page has been drawn. */
export function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}

/**
 * Let only the newest of several wishes be carried out, one at a time: for sliders.
 * @param {(...values: any[]) => Promise<any>} act
 * @returns {(...values: any[]) => Promise<void>} makes a wish; resolves when none is left
 */
export function newest(act) {
  let next = null;
  let acting = null;
  async function carryOut() {
    try {
      while (next) {
        const wanted = next;
        next = null;
        await act(...wanted);
      }
    } finally {
      acting = null;
    }
  }
  return (...values) => {
    next = values;
    acting ??= carryOut();
    return acting;
  };
}

// Pictures

/**
 * Call `draw` with the width of an element in pixels, now and when it changes.
 * @param {Element} node
 * @param {(width: number) => void} draw
 */
export function fitted(node, draw) {
  let last = 0;
  new ResizeObserver(([{ contentRect }]) => {
    const width = Math.floor(contentRect.width);
    if (width > 0 && width !== last) draw((last = width));
  }).observe(node);
}

/**
 * A linear map from numbers to pixels, or back to front.
 * @param {[number, number]} from its domain
 * @param {[number, number]} to where the ends of the domain go
 * @returns {(value: number) => number}
 */
export function scale([low, high], [start, end]) {
  return (value) => start + ((value - low) / (high - low || 1)) * (end - start);
}

/**
 * Round numbers for an axis, all within its ends.
 * @param {number} low
 * @param {number} high
 * @param {number} count about how many
 * @returns {number[]}
 */
export function ticks(low, high, count = 5) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= raw * 0.999);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) {
    found.push(Number((k * step).toPrecision(12)));
  }
  return found;
}

function plain(value) {
  return value.toLocaleString("en").replace("-", "\u2212");
}

/**
 * Axes with numbers and names.
 * @param {{width: number, height: number, x: [number, number], y: [number, number],
 *   xLabel?: string, yLabel?: string, text?: (value: number) => string,
 *   xText?: (value: number) => string}} options sizes in pixels; `text` writes the numbers at the
 *   left, `xText` those below
 * @returns {{node: SVGElement, x: (value: number) => number, y: (value: number) => number}}
 *   a group for an <svg> of this size, and the scales of what is drawn in it
 */
export function axes({ width, height, x, y, xLabel, yLabel, text = plain, xText = plain }) {
  const rows = ticks(...y, Math.max(2, Math.round(height / 60)));
  const left = 14 + 8 * Math.max(...rows.map((value) => text(value).length));
  const [top, bottom] = [yLabel ? 26 : 10, xLabel ? 44 : 24];
  const toX = scale(x, [left, width - 14]);
  const toY = scale(y, [height - bottom, top]);
  const node = svg("g", { class: "play-axes" });
  for (const value of rows) {
    node.append(
      svg("line", { x1: left, x2: width - 14, y1: toY(value), y2: toY(value) }),
      svg("text", { x: left - 6, y: toY(value) + 5, "text-anchor": "end" }, text(value)),
    );
  }
  for (const value of ticks(...x, Math.max(2, Math.round(width / 110)))) {
    const place = { x: toX(value), y: height - bottom + 18, "text-anchor": "middle" };
    node.append(svg("text", place, xText(value)));
  }
  const names = [
    [xLabel, { x: (left + width - 14) / 2, y: height - 6, "text-anchor": "middle" }],
    [yLabel, { x: 2, y: 14 }],
  ];
  for (const [name, place] of names) if (name) node.append(svg("text", place, name));
  return { node, x: toX, y: toY };
}

/**
 * A chart of curves that grow.
 *
 * A line is {name, kind, points: [[x, y], ...]}; its kind is a class of play.css that gives its
 * colour and its dashes: "play-line-1", "play-line-2", ... A mark is a height with a name.
 */
export class Chart {
  #options;
  #width = 0;
  #lines = [];

  /**
   * @param {{label: string, xLabel: string, yLabel: string, height?: number,
   *   y?: [number, number], marks?: {y: number, text: string}[],
   *   text?: (value: number) => string}} options `label` is read aloud; without `y` the axis
   *   follows the curves, from 0
   */
  constructor(options) {
    this.#options = { height: 210, marks: [], ...options };
    this.picture = svg("svg", { role: "img", "aria-label": options.label });
    this.legend = element("figcaption", { class: "play-legend" });
    this.node = element("figure", { class: "play-chart" }, this.picture, this.legend);
    fitted(this.node, (width) => {
      this.#width = width;
      this.#paint();
    });
  }

  /** Show these lines. */
  draw(lines) {
    this.#lines = lines;
    this.#paint();
  }

  #paint() {
    if (!this.#width) return;
    const { height, marks, xLabel, yLabel, text } = this.#options;
    const points = this.#lines.flatMap((line) => line.points);
    const far = Math.max(1, ...points.map(([x]) => x));
    const most = Math.max(...marks.map((mark) => mark.y), ...points.map(([, y]) => y));
    const y = this.#options.y ?? [0, (most > 0 ? most : 1) * 1.05];
    const size = { width: this.#width, height };
    const plane = axes({ ...size, x: [0, far], y, xLabel, yLabel, text });
    const shown = [plane.node];
    for (const mark of marks) {
      const place = plane.y(mark.y);
      const ends = { x1: plane.x(0), x2: plane.x(far), y1: place, y2: place };
      const words = { x: plane.x(far), y: place - 6, "text-anchor": "end", class: "play-halo" };
      shown.push(svg("line", { ...ends, class: "play-mark" }), svg("text", words, mark.text));
    }
    for (const { kind, points: own } of this.#lines) {
      const path = own.map(([x, value]) => `${plane.x(x).toFixed(1)},${plane.y(value).toFixed(1)}`);
      shown.push(svg("polyline", { class: `play-line ${kind}`, points: path.join(" ") }));
    }
    for (const [name, value] of Object.entries(size)) this.picture.setAttribute(name, value);
    this.picture.replaceChildren(...shown);
    this.legend.replaceChildren(...this.#lines.map(({ name, kind }) => legend(name, kind)));
  }
}

/**
 * An entry of a legend: a piece of a line, or a piece of a bar, with its name.
 * @param {string} name
 * @param {string} kind the class of play.css that gives the colour
 * @param {boolean} isBar
 */
export function legend(name, kind, isBar = false) {
  const piece = isBar
    ? svg("rect", { class: `play-bar ${kind}`, x: 9, y: 1, width: 12, height: 10 })
    : svg("line", { class: `play-line ${kind}`, x1: 0, x2: 30, y1: 6, y2: 6 });
  const sample = svg("svg", { width: 30, height: 12, "aria-hidden": "true" }, piece);
  return element("span", { class: "play-legend-entry" }, sample, ` ${name}`);
}
