// A palindrome that the reader types, and what the networks make of it.

import { HeatMaps } from "./heatmaps.js";
import { element, field, fitted, legend, percent, status, svg } from "./parts.js";

const DIGITS = "4071852"; // of the first palindrome; half of the longest
const HEIGHT = 190; // of the bars, in pixels
const KINDS = { lstm: "play-bar-1", rnn: "play-bar-2" };

/** The field, the answers as bars, and the heat maps. */
export class Reading {
  #names;
  #length = 0;
  #width = 0;
  #found = null;

  /**
   * @param {Record<string, string>} names of the networks
   * @param {() => void} changed told when the reader has typed; then `show` is to be called
   */
  constructor(names, changed) {
    this.#names = names;
    this.field = field({
      label: "a palindrome: half of it is enough",
      value: DIGITS,
      inputmode: "numeric",
      maxlength: 30,
      change: changed,
    });
    this.problem = status({ class: "play-says play-problem" });
    this.tiles = element("p", { class: "play-tiles" });
    this.answers = element("p", { class: "play-answers" });
    this.bars = svg("svg", { role: "img", height: HEIGHT });
    this.legend = element("figcaption", { class: "play-legend" });
    this.maps = new HeatMaps();
    const chart = element("figure", { class: "play-chart" }, this.bars, this.legend);
    fitted(chart, (width) => {
      this.#width = width;
      this.#drawBars();
    });
    const left = [this.field.node, this.problem.node, this.tiles, this.answers];
    this.node = element(
      "div",
      {},
      element("div", { class: "play-columns" }, element("div", {}, ...left), chart),
      this.maps.node,
    );
  }

  /** What is typed. */
  get typed() {
    return this.field.value;
  }

  /** Begin with palindromes of which `length` digits are read; what is typed stays if it can. */
  begin(length) {
    if (length !== this.#length) this.field.value = DIGITS.slice(0, Math.floor(length / 2) + 1);
    this.#length = length;
  }

  /**
   * Show what `look` of play_palindromes.py returned.
   * @param {any} found
   */
  show(found) {
    this.problem.say(found.problem ?? "");
    this.field.input.setAttribute("aria-invalid", Boolean(found.problem));
    this.node.classList.toggle("play-stale", Boolean(found.problem));
    if (found.problem) return;
    this.#found = found;
    this.#drawTiles();
    this.#tellAnswers();
    this.#drawBars();
    this.maps.show(found);
  }

  #drawTiles() {
    const { digits } = this.#found;
    const tiles = digits.map((digit, k) => {
      const isLast = k === digits.length - 1;
      const kind = isLast ? "play-tile play-asked" : "play-tile";
      return element("span", { class: kind }, String(digit));
    });
    this.tiles.replaceChildren(
      element("span", { class: "play-note" }, "it reads"),
      ...tiles.slice(0, -1),
      element("span", { class: "play-note" }, "and is asked for the last,"),
      tiles.at(-1),
    );
  }

  #tellAnswers() {
    const { digits, networks } = this.#found;
    const lines = Object.entries(networks).map(([name, { probabilities }]) => {
      const answer = probabilities.indexOf(Math.max(...probabilities));
      const read = { "data-read": name === "lstm" ? "answer" : `answer-${name}` };
      const verdict = answer === digits.at(-1) ? "right" : "wrong";
      return element(
        "span",
        {},
        `${this.#names[name]}: `,
        element("strong", read, String(answer)),
        `, with ${percent(probabilities[answer])}: ${verdict}. `,
      );
    });
    this.answers.replaceChildren(...lines);
  }

  /** The probabilities of the ten digits, beside each other. */
  #drawBars() {
    if (!this.#width || !this.#found) return;
    const { digits, networks } = this.#found;
    const [top, bottom] = [26, HEIGHT - 26];
    const step = this.#width / 10;
    const count = Object.keys(networks).length;
    const bars = Object.entries(networks).flatMap(([name, { probabilities }], place) =>
      probabilities.map((share, digit) => {
        const wide = (0.72 * step) / count;
        const height = Math.max(1, share * (bottom - top));
        const x = (digit + 0.14) * step + place * wide;
        const size = { x, y: bottom - height, width: wide - 2, height };
        return svg("rect", { ...size, class: `play-bar ${KINDS[name]}` });
      }),
    );
    const middle = (digit) => (digit + 0.5) * step;
    const names = [...Array(10).keys()].map((digit) => {
      const kind = digit === digits.at(-1) ? "play-right" : "";
      const place = { x: middle(digit), y: HEIGHT - 8, "text-anchor": "middle", class: kind };
      return svg("text", place, String(digit));
    });
    const mark = { x: (digits.at(-1) + 0.06) * step, y: 2, width: 0.88 * step, rx: 5 };
    this.bars.setAttribute("width", this.#width);
    this.bars.setAttribute("aria-label", spoken(networks, this.#names));
    this.bars.replaceChildren(
      svg("rect", { ...mark, height: HEIGHT - 4, class: "play-target" }),
      ...[top, bottom].map((y) => {
        return svg("line", { x1: 0, x2: this.#width, y1: y, y2: y, class: "play-mark" });
      }),
      svg("text", { x: 0, y: top - 6 }, "100%"),
      ...bars,
      ...names,
    );
    const shown = Object.keys(networks);
    const entries = shown.map((name) => legend(this.#names[name], KINDS[name], true));
    const text = "probability of each digit; the right one is framed";
    this.legend.replaceChildren(element("span", {}, text), ...entries);
  }
}

function spoken(networks, names) {
  const texts = Object.entries(networks).map(([name, { probabilities }]) => {
    const shares = probabilities.map((share, digit) => `${digit}: ${percent(share)}`);
    return `${names[name]}, probability of each digit: ${shares.join(", ")}`;
  });
  return texts.join(". ");
}
