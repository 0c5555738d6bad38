// What the units of a recurrent network hold while it reads: heat maps with units in rows and
// digits in columns. One place is chosen, by pointer or by arrow keys, and its values are told.

import { element, number, percent, status } from "./parts.js";

const HEIGHT = 240; // of a map, in pixels
const TITLES = {
  f: "forget gate f",
  i: "input gate i",
  candidate: "candidate",
  C: "memory C",
  o: "output gate o",
  h: "state h",
  knows: "digit 1 in C",
};
const PLAIN = { h: "plain RNN: h", knows: "digit 1 in h" };
const SHARES = ["f", "i", "o", "knows"]; // from 0 to 1; what else there is may be negative

const ABOUT =
  "What the units hold after each digit, a unit in each row. The map \u201cdigit 1 in C\u201d: " +
  "how much of the variance of a unit's memory, over many palindromes, their first digit " +
  "explains. By it the units are sorted. Point at a place, or choose it with the arrow keys.";

const WHITE = [247, 247, 247];
const BLUE = [0, 80, 140];
const VERMILION = [178, 74, 0];

/** The maps, and a line that says the chosen values; `node` is for the page. */
export class HeatMaps {
  #found = null;
  #unit = 0;
  #step = 0;

  constructor() {
    this.says = status();
    this.maps = element("div", {
      class: "play-maps",
      tabindex: 0,
      role: "group",
      "aria-label": "what the units hold after each digit; arrow keys choose a unit and a digit",
      keydown: (event) => this.#key(event),
      pointermove: (event) => this.#point(event),
    });
    this.node = element("div", {}, element("p", {}, ABOUT), this.maps, this.says.node);
  }

  /** Show the maps that `look` of play_palindromes.py returned. */
  show(found) {
    this.#found = found;
    const { values } = found.maps[0];
    this.#unit = Math.min(this.#unit, values.length - 1);
    this.#step = Math.min(this.#step, values[0].length - 1);
    if (this.maps.children.length !== found.maps.length) {
      this.maps.replaceChildren(...found.maps.map(emptyMap));
    }
    found.maps.forEach((map, k) => fill(this.maps.children[k], map, found.digits));
    this.#choose(this.#unit, this.#step, false);
  }

  #key(event) {
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    const move = moves[event.key];
    if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#choose(this.#unit + move[0], this.#step + move[1], true);
  }

  #point(event) {
    const canvas = event.target.closest(".play-map")?.querySelector("canvas");
    if (!canvas) return;
    const box = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    if (x < 0 || x >= 1 || y < 0 || y >= 1) return;
    this.#choose(Math.floor(y * canvas.height), Math.floor(x * canvas.width), false);
  }

  /** Mark a place in all maps, and tell what is there; read it aloud where the reader asked. */
  #choose(unit, step, isAloud) {
    const { maps, digits, units } = this.#found;
    const { length } = maps[0].values;
    const last = maps[0].values[0].length - 1;
    this.#unit = Math.max(0, Math.min(length - 1, unit));
    this.#step = Math.max(0, Math.min(last, step));
    for (const map of this.maps.children) mark(map, this.#unit, this.#step);
    const at = (network, symbol, t = this.#step) => {
      const map = maps.find((each) => each.network === network && each.symbol === symbol);
      return map && number(map.values[this.#unit][t], 2);
    };
    const before = this.#step ? at("lstm", "C", this.#step - 1) : "0";
    const [f, i, candidate, C, o, h] = ["f", "i", "candidate", "C", "o", "h"].map((symbol) =>
      at("lstm", symbol),
    );
    const row = `Unit ${units.lstm[this.#unit]}`;
    const place = `${row}, after digit ${this.#step + 1}, a ${digits[this.#step]}`;
    const plain = at("rnn", "h") ? ` Plain RNN: h = ${at("rnn", "h")}.` : "";
    const share = percent(Number(at("lstm", "knows")));
    this.says.node.setAttribute("aria-live", isAloud ? "polite" : "off");
    this.says.say(
      `${place}: f = ${f}, i = ${i}, candidate = ${candidate}, o = ${o}. ` +
        `Memory C = f \u00d7 (C before) + i \u00d7 candidate = ` +
        `${f} \u00d7 ${before} + ${i} \u00d7 ${candidate} = ${C}. ` +
        `Of its variance digit 1 explains ${share}. Shown: h = ${h}.${plain}`,
    );
  }
}

/** A map without values: its title, the digits above its columns, and the ends of its scale. */
function emptyMap({ network, symbol }) {
  const title = (network === "rnn" ? PLAIN : TITLES)[symbol];
  return element(
    "figure",
    { class: `play-map play-map-${network}` },
    element("figcaption", {}, title),
    element("div", { class: "play-map-digits", "aria-hidden": "true" }),
    element(
      "div",
      { class: "play-map-field" },
      element("canvas", { "aria-hidden": "true" }),
      element("div", { class: "play-map-mark" }),
    ),
    element("div", { class: "play-map-scale" }),
  );
}

function fill(node, { symbol, values }, digits) {
  const isShare = SHARES.includes(symbol);
  const largest = Math.max(...values.flat().map(Math.abs));
  const most = symbol === "C" ? Math.max(1, largest) : 1;
  node.querySelector(".play-map-digits").replaceChildren(
    ...digits.slice(0, -1).map((digit) => element("span", {}, String(digit))),
  );
  const ends = isShare ? [0, 1] : [-most, most];
  const scale = node.querySelector(".play-map-scale");
  scale.replaceChildren(...ends.map((end) => element("span", {}, number(end, 2))));
  scale.classList.toggle("play-map-signed", !isShare);
  const canvas = node.querySelector("canvas");
  canvas.width = values[0].length;
  canvas.height = values.length;
  canvas.style.height = `${HEIGHT}px`;
  const pixels = new ImageData(canvas.width, canvas.height);
  values.flat().forEach((value, k) => pixels.data.set([...colour(value / most), 255], 4 * k));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/** White for 0, blue for 1, vermilion for -1. */
function colour(value) {
  const end = value < 0 ? VERMILION : BLUE;
  const share = Math.min(1, Math.abs(value));
  return WHITE.map((white, k) => Math.round(white + share * (end[k] - white)));
}

function mark(node, unit, step) {
  const { width: steps, height: units } = node.querySelector("canvas");
  const style = node.querySelector(".play-map-mark").style;
  style.left = `${(100 * step) / steps}%`;
  style.width = `${100 / steps}%`;
  style.top = `${(100 * unit) / units}%`;
  style.height = `${100 / units}%`;
}
