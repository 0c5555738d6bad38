// An expression that the reader types, its graph, and the way back through it, step by step.
// All numbers are minigrad's, as texts; see docs/site/python/play_backward.py.
//
// Numbers to be read: [data-read="result"], and [data-read="gradient-a"] for the letter a, which
// is complete after the last step.

import { Graph } from "./graph.js";
import { button, choice, element, field, newest, row, slider, stage, status } from "./parts.js";

const EXAMPLES = [
  ["chapter 1: three paths", "d = a * b; e = d + a; d * e", { a: 3, b: 2 }],
  ["the same letter twice", "x * x", { x: 3 }],
  ["a chain that forgets", "tanh(tanh(tanh(tanh(tanh(x)))))", { x: 2 }],
  ["a dead relu", "y = relu(w * x + b); (y - t) ** 2", { w: 1, x: 1, b: -2, t: 1 }],
  ["a mixture", "(a + b) * tanh(a * b) + b", { a: 0.5, b: -1.5 }],
];
const REACH = 3; // of a letter's slider
const WAIT = 1600; // milliseconds between two steps of Play

stage("backward", async (python) => {
  const [, expression, values] = EXAMPLES[0];
  const first = await python.call("play_backward", "show", [expression, values]);
  return new Backward(python, expression, first).node;
});

/** The thing: a field and sliders above the graph, and a table below. */
class Backward {
  #python;
  #shown; // what `show` of play_backward.py returned last without an error
  #values;
  #read = null; // the expression that was computed last
  #computed = Promise.resolve(); // what is shown then is up to date
  #moment = 0;
  #timer = null;
  #letters = new Map();

  constructor(python, expression, first) {
    this.#python = python;
    this.#values = first.values;
    this.expression = field({
      label: "Expression",
      value: expression,
      maxlength: 300,
      class: "play-expression",
      change: () => this.#compute(),
    });
    this.example = choice({
      label: "Example",
      options: [...EXAMPLES.map(([name], k) => [String(k), name]), ["", "your own"]],
      change: (k) => k && this.#takeExample(EXAMPLES[k]),
    });
    this.problem = status({ class: "play-says play-problem" });
    this.words = status({ class: "play-says play-words" });
    this.sliders = element("div", { class: "play-row" });
    this.graph = new Graph();
    this.table = element("tbody");
    this.buttons = {
      first: button("First", () => this.#step(-Infinity)),
      back: button("Back", () => this.#step(-1)),
      next: button("Next", () => this.#step(1)),
      last: button("Last", () => this.#step(Infinity)),
      play: button("Play", () => this.#play()),
    };
    this.node = element(
      "div",
      {},
      row(this.example.node, this.expression.node),
      this.problem.node,
      this.sliders,
      element(
        "div",
        { keydown: (event) => this.#key(event) },
        row(...Object.values(this.buttons)),
        this.words.node,
        this.graph.node,
      ),
      this.#tableNode(),
    );
    this.#read = expression;
    this.#receive(first, true);
  }

  #tableNode() {
    const titles = ["letter", "value", "gradient", "central difference"];
    const head = titles.map((text) => element("th", { scope: "col" }, text));
    const top = element("thead", {}, element("tr", {}, ...head));
    const table = element("table", {}, top, this.table);
    return element("div", { class: "play-table" }, table);
  }

  #takeExample([, expression, values]) {
    this.expression.value = expression;
    this.#values = values;
    this.#letters.clear();
    this.#read = null;
    this.#compute();
  }

  #compute() {
    this.#computed = this.#computeNewest();
  }

  // Newer wishes replace older ones, so a slider may be moved faster than Python computes.
  #computeNewest = newest(async () => {
    const text = this.expression.value;
    const isNew = text !== this.#read;
    this.#read = text;
    try {
      const shown = await this.#python.call("play_backward", "show", [text, this.#values]);
      this.#receive(shown, isNew);
    } catch (error) {
      this.problem.say(error.message);
    }
  });

  #receive(shown, isNew) {
    this.#tellProblem(shown);
    if (isNew) {
      const isExample = ([, text]) => text === this.expression.value;
      const k = EXAMPLES.findIndex(isExample);
      this.example.value = k < 0 ? "" : String(k);
      if (shown.values) this.#showSliders(shown.values);
    }
    this.node.classList.toggle("play-stale", Boolean(shown.error));
    if (shown.error) return this.#pause();
    const isSame = Boolean(this.#shown) && titles(shown) === titles(this.#shown);
    this.#shown = shown;
    this.#go(isSame ? this.#moment : 0, !isNew);
  }

  /** Say what is wrong, with the part of the expression that it is about. */
  #tellProblem({ error, start, end }) {
    this.expression.input.setAttribute("aria-invalid", Boolean(error));
    if (!error) return this.problem.say("");
    const text = this.expression.value;
    if (end <= start) return this.problem.say(error);
    const part = element("mark", {}, text.slice(start, end));
    const quoted = element("code", {}, text.slice(0, start), part, text.slice(end));
    this.problem.node.replaceChildren(`${error} `, quoted);
  }

  #showSliders(values) {
    const names = Object.keys(values);
    for (const name of this.#letters.keys()) {
      if (!names.includes(name)) this.#letters.delete(name);
    }
    for (const name of names) {
      this.#values[name] = values[name];
      if (!this.#letters.has(name)) this.#letters.set(name, this.#letter(name, values[name]));
    }
    this.sliders.replaceChildren(...names.map((name) => this.#letters.get(name)));
  }

  /** A slider and a field for the value of a letter. */
  #letter(name, value) {
    const set = (next) => {
      this.#values = { ...this.#values, [name]: next };
      this.#compute();
    };
    const moved = slider({
      label: name,
      min: -REACH,
      max: REACH,
      step: 0.05,
      value,
      text: () => "",
      change: (next) => {
        typed.value = next;
        set(next);
      },
    });
    const typed = element("input", {
      type: "text",
      inputmode: "decimal",
      class: "play-number",
      "aria-label": `${name}, as a number`,
      input: () => {
        const text = typed.value.trim().replace("\u2212", "-").replace(",", ".");
        const next = text === "" ? NaN : Number(text);
        if (Number.isFinite(next)) moved.value = next;
        set(Number.isFinite(next) ? next : null);
      },
    });
    typed.value = value;
    return element("div", { class: "play-letter" }, moved.node, typed);
  }

  // Stepping

  #key(event) {
    const steps = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#step(steps[event.key]);
  }

  /** Go some moments on, from what will be shown when all is computed. */
  async #step(count) {
    this.#pause();
    await this.#computed;
    this.#go(this.#moment + count);
  }

  #go(moment, isQuiet = false) {
    const { moments } = this.#shown;
    const last = moments.length - 1;
    this.#moment = Math.max(0, Math.min(last, moment));
    if (this.#moment === last) this.#pause();
    const { first, back, next, last: end } = this.buttons;
    for (const each of [first, back]) each.setAttribute("aria-disabled", this.#moment === 0);
    for (const each of [next, end]) each.setAttribute("aria-disabled", this.#moment === last);
    const state = stateAt(this.#shown, this.#moment);
    this.words.node.setAttribute("aria-live", isQuiet ? "off" : "polite");
    this.words.say(`${this.#moment + 1} of ${last + 1}. ${moments[this.#moment].words}`);
    this.graph.draw(this.#shown, state);
    this.#showTable(state);
  }

  #play() {
    if (this.#timer) return this.#pause();
    if (this.#moment === this.#shown.moments.length - 1) this.#go(0);
    this.buttons.play.textContent = "Pause";
    this.#timer = setInterval(() => {
      if (!document.hidden) this.#go(this.#moment + 1);
    }, WAIT);
  }

  #pause() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.buttons.play.textContent = "Play";
  }

  #showTable(state) {
    const unknown = "\u2026";
    const result = this.#shown.nodes.length - 1;
    const { isComputed, isComplete } = state.nodes[result];
    const { title, value } = this.#shown.nodes[result];
    const number = isComputed ? value.slice(2) : unknown;
    this.table.replaceChildren(
      ...this.#shown.letters.map(({ name, node, value: own, gradient, difference }) => {
        const found = state.nodes[node].isComplete ? gradient : unknown;
        return line(name, [own], [found, `gradient-${name}`], [difference || "not there"]);
      }),
      line(title.split(" ")[0], [number, "result"], [isComplete ? "1" : unknown], ["1"]),
    );
  }
}

/** A line of the table; a cell may have a name by which it is read. */
function line(name, ...cells) {
  const made = cells.map(([text, read]) => element("td", read ? { "data-read": read } : {}, text));
  return element("tr", {}, element("th", { scope: "row" }, name), ...made);
}

function titles({ nodes }) {
  return nodes.map(({ title }) => title).join();
}

/** What the picture shows at a moment: of each node its lines, of each edge what it has brought. */
function stateAt({ nodes, edges, moments }, last) {
  const isBack = Boolean(moments[last].moves);
  const state = {
    isBack,
    nodes: nodes.map(() => ({ isComputed: false, isComplete: false, isActive: false })),
    edges: edges.map(() => ({ isActive: false })),
  };
  const result = nodes.length - 1;
  moments.slice(0, last + 1).forEach(({ computed = [], node, moves = [] }, k) => {
    for (const each of computed) state.nodes[each].isComputed = true;
    for (const { edge, to, g, part, sum, gradient, waits } of moves) {
      state.edges[edge] = { isActive: k === last, sent: [g, part] };
      const adds = k === last ? sum : "";
      state.nodes[to] = { ...state.nodes[to], sum: adds, gradient, isComplete: waits === 0 };
    }
    if (k === last && node !== undefined) state.nodes[node].isActive = true;
  });
  if (isBack) Object.assign(state.nodes[result], { gradient: "grad 1", isComplete: true });
  else edges.forEach(({ to }, k) => (state.edges[k].isActive = state.nodes[to].isActive));
  return state;
}
