// The latent space of the trained generator: a point in it, its digit, and ways to other digits.
// docs/site/python/play_latent.py draws and reads; all numbers come from there.
//
// What a test can read, by [data-read="..."]: digit, probability, length, tried, distance (of the
// nearest real digit, once it has been looked for).

import {
  button, choice, element, newest, number, percent, row, slider, stage, status,
} from "./parts.js";

document.head.append(
  element("link", { rel: "stylesheet", href: new URL("./latent.css", import.meta.url).href }),
);

/**
 * A latent point as Python shows it: `show` in play_latent.py. Pictures are 784 bytes in base64.
 * @typedef {{z: number[], image: string, reading: number[], length: number,
 *   coordinates: number[], ends: [string, string][]}} Shown
 */

const DIGITS = Array.from({ length: 10 }, (_, digit) => [String(digit), String(digit)]);
const SIDE = 28; // pixels
const FIRST = { from: 3, to: 8 }; // the way that is there at first
const MOST = 4; // at both ends of a slider

stage("latent", async (python) => {
  const facts = await python.call("play_latent", "begin");
  const explorer = new Explorer(python, facts);
  await explorer.findWay();
  return explorer.node;
});

class Explorer {
  #python;
  #facts;
  #seed = 0;
  #ends = []; // the points at both ends of the way
  #shown = null;
  #wanted = []; // the coordinates that the sliders say
  #known = null; // whether the bundled digits have been read: null, "reading" or "read"
  #says = status();
  #digit = new Digit();
  #neighbours;
  #sliders;
  #way;

  constructor(python, facts) {
    this.#python = python;
    this.#facts = facts;
    this.#sliders = facts.shares.map((share, k) => this.#direction(share, k));
    this.#neighbours = new Neighbours(facts.unseen, () => this.#compare());
    this.#way = new Way(
      () => this.#guarded(() => this.findWay()),
      newest((kind, percent) => this.#guarded(() => this.#goAlong(kind, percent))),
    );
    this.node = this.#laidOut();
  }

  #laidOut() {
    const wanted = digitChoice("Digit to find", 7);
    const find = () => this.#find(Number(wanted.value));
    return element(
      "div",
      {},
      row(
        button("Random digit", () => this.#guarded(() => this.#random())),
        wanted.node,
        button("Find it", () => this.#guarded(find)),
      ),
      this.#digit.node,
      this.#says.node,
      this.#neighbours.node,
      group(
        "Eight directions, and how much of the change is theirs",
        element(
          "div",
          { class: "play-latent-directions" },
          ...this.#sliders.map(({ node }) => node),
        ),
        row(
          button("All eight to 0", () => this.#guarded(() => this.#toZero())),
          button("Draw the other 92 anew", () => this.#guarded(() => this.#drawRest())),
        ),
      ),
      group("A way from digit to digit", this.#way.node),
    );
  }

  #direction(share, k) {
    const ends = [new Picture("play-latent-end"), new Picture("play-latent-end")];
    const control = slider({
      label: `Direction ${k + 1}: ${Math.round(100 * share)}%`,
      min: -MOST,
      max: MOST,
      step: 0.1,
      value: 0,
      text: (value) => number(value, 2),
      change: (value) => {
        this.#wanted[k] = value;
        this.#move(k, value);
      },
    });
    const [left, right] = ends.map((picture) => picture.node);
    const node = element("div", { class: "play-latent-direction" }, left, control.node, right);
    return { node, control, ends };
  }

  async #guarded(act) {
    try {
      await act();
    } catch (error) {
      this.#says.say(`Python stopped with an error: ${error.message}`);
    }
  }

  #call(name, ...values) {
    return this.#python.call("play_latent", name, values);
  }

  async #random() {
    const z = await this.#call("random_point", this.#seed++);
    this.#show(await this.#call("show", z));
    this.#say("A latent point of 100 random numbers.");
  }

  async #find(digit) {
    this.#says.say(`Looking for ${named(digit)} \u2026`);
    const { z, tried, found } = await this.#call("find", digit, this.#seed++);
    this.#show(await this.#call("show", z), { tried });
    this.#say(
      found
        ? `${tried} random ${tried === 1 ? "point was" : "points were"} tried.`
        : `None of ${number(tried)} random points is surely ${named(digit)}; this is the best.`,
    );
  }

  #move = newest((k, value) => this.#guarded(async () => {
    this.#show(await this.#call("turn", this.#shown.z, this.#wanted), { isMoving: true });
    this.#say(`Direction ${k + 1} is at ${number(value, 2)}.`);
  }));

  async #toZero() {
    const zeros = this.#shown.coordinates.map(() => 0);
    this.#show(await this.#call("turn", this.#shown.z, zeros));
    this.#say("All eight directions are at 0.");
  }

  async #drawRest() {
    this.#show(await this.#call("draw_rest", this.#shown.z, this.#seed++));
    this.#say("The eight numbers have stayed, the other 92 are new.");
  }

  /** Find a point for each of the two digits that are chosen, and draw the ways between them. */
  async findWay() {
    const [from, to] = this.#way.digits;
    const ends = [];
    for (const digit of [from, to]) {
      this.#says.say(`Looking for a clear ${digit} \u2026`);
      ends.push(await this.#call("clearest", digit, this.#seed++));
    }
    this.#way.show(await this.#call("ways", ...ends));
    this.#ends = ends;
    await this.#goAlong(this.#way.kind, this.#way.percent);
    this.#say(`The way from ${named(from)} to ${named(to)} is there.`);
  }

  async #goAlong(kind, percent) {
    this.#show(await this.#call("along", ...this.#ends, kind, percent), { isOnWay: true });
    this.#say(`${percent}% of the way.`);
  }

  #show(shown, { tried = null, isMoving = false, isOnWay = false } = {}) {
    this.#shown = shown;
    this.#digit.show(shown, tried);
    if (!isMoving) this.#wanted = [...shown.coordinates];
    this.#sliders.forEach(({ control, ends }, k) => {
      if (!isMoving) control.value = shown.coordinates[k];
      ends.forEach((picture, side) => picture.draw(shown.ends[k][side]));
    });
    this.#way.mark(isOnWay);
    if (this.#known === "read") this.#showNeighbours(shown.z);
    else this.#neighbours.forget();
  }

  #say(text) {
    const { reading, length } = this.#shown;
    const [digit, probability] = likeliest(reading);
    this.#says.say(
      `${text} Read as ${named(digit)}, with ${percent(probability)}; `
        + `the length of z is ${length.toFixed(1)}.`,
    );
  }

  async #compare() {
    if (this.#known) return;
    this.#known = "reading";
    try {
      for (let [read, all] = [0, 1]; read < all; ) {
        [read, all] = await this.#call("read_known");
        this.#neighbours.progress(read, all);
      }
      this.#known = "read";
      await this.#showNeighbours(this.#shown.z);
    } catch (error) {
      this.#known = null;
      this.#says.say(`The real digits could not be read: ${error.message}`);
    }
  }

  #showNeighbours = newest(async (z) => this.#neighbours.show(await this.#call("neighbours", z)));
}

/** The digit of the point, large, and what the classifier reads in it. */
class Digit {
  #picture = new Picture("play-latent-large");
  #bars = [];
  #read = {};

  constructor() {
    const bars = element("ol", {
      class: "play-latent-bars",
      "aria-label": "What the classifier reads",
    });
    for (let digit = 0; digit < 10; digit++) {
      const bar = element("span", { class: "play-latent-bar" });
      const share = element("span", { class: "play-latent-share" });
      const track = element("span", { class: "play-latent-track", "aria-hidden": "true" }, bar);
      const entry = element("li", {}, `${digit} `, track, share);
      this.#bars.push({ bar, share, entry });
      bars.append(entry);
    }
    const facts = element("div", { class: "play-latent-facts" });
    for (const [name, label] of [
      ["digit", "Read as"],
      ["probability", "Probability"],
      ["length", "Length of z"],
      ["tried", "Points tried"],
    ]) {
      this.#read[name] = element("b", { "data-read": name }, "\u2013");
      facts.append(element("p", {}, `${label} `, this.#read[name]));
    }
    this.node = element("div", { class: "play-latent-digit" }, this.#picture.node, bars, facts);
  }

  show({ image, reading, length }, tried) {
    const [digit, probability] = likeliest(reading);
    this.#picture.draw(image, `The generator's picture, read as ${named(digit)}`);
    this.#bars.forEach(({ bar, share, entry }, k) => {
      bar.style.width = `${100 * reading[k]}%`;
      share.textContent = `${Math.round(100 * reading[k])}%`;
      entry.classList.toggle("play-latent-first", k === digit);
    });
    this.#read.digit.textContent = String(digit);
    this.#read.probability.textContent = percent(probability);
    this.#read.length.textContent = length.toFixed(1);
    this.#read.tried.textContent = tried === null ? "\u2013" : String(tried);
  }
}

/** The bundled digits that are the most like the picture: is it a copy? */
class Neighbours {
  #button;
  #progress = element("p", { role: "status", class: "play-latent-progress" });
  #list = element("div", { class: "play-latent-nearest" });
  #compared;

  constructor(unseen, start) {
    this.#button = button("Is it a copy?", start);
    this.#compared = element("p", { hidden: true }, "Nearest distance: ",
      element("output", { "data-read": "distance" }), `. Real digits that the generator has not `
        + `seen: ${number(unseen, 2)}, in the median. A copy: near 0.`);
    this.node = element("div", { class: "play-latent-compare" }, this.#button, this.#progress,
      this.#list, this.#compared);
  }

  progress(read, all) {
    this.#button.disabled = true;
    this.#progress.textContent =
      read < all ? `Reading the real digits: ${number(read, 5)} of ${number(all, 5)}` : "";
  }

  /** The picture has changed, and its neighbours are not known. */
  forget() {
    this.#list.replaceChildren();
    this.#compared.hidden = true;
  }

  show(found) {
    this.#button.hidden = true;
    this.#progress.textContent = "The most similar real digits:";
    const pictures = found.map(({ image, digit, distance }) => {
      const picture = new Picture("play-latent-near");
      picture.draw(image, `A real ${digit}, at the distance ${distance.toFixed(1)}`);
      return element("figure", {}, picture.node,
        element("figcaption", {}, `${named(digit)}: ${distance.toFixed(1)}`));
    });
    this.#list.replaceChildren(...pictures);
    this.#compared.querySelector("output").textContent = found[0].distance.toFixed(1);
    this.#compared.hidden = false;
  }
}

/** Two digits, and both ways between them as strips of pictures. */
class Way {
  #from = digitChoice("From", FIRST.from);
  #to = digitChoice("To", FIRST.to);
  #kind;
  #place;
  #strips = {};

  constructor(find, go) {
    const moved = () => go(this.kind, this.percent);
    this.#kind = choice({
      label: "Go along",
      options: [["spherical", "the arc"], ["linear", "the straight line"]],
      change: moved,
    });
    this.#place = slider({
      label: "How far",
      min: 0,
      max: 100,
      step: 2,
      value: 0,
      text: (percent) => `${percent}%`,
      change: moved,
    });
    const strips = Object.entries({ spherical: "The arc", linear: "The straight line" }).map(
      ([kind, name]) => {
        this.#strips[kind] = element("ol", { class: "play-latent-strip", "aria-label": name });
        return element("div", {}, element("p", {}, name), this.#strips[kind]);
      },
    );
    const choices = row(this.#from.node, this.#to.node, button("Find a way", find));
    this.node = element("div", {}, choices, ...strips, row(this.#kind.node, this.#place.node));
  }

  get digits() {
    return [Number(this.#from.value), Number(this.#to.value)];
  }

  get kind() {
    return this.#kind.value;
  }

  get percent() {
    return this.#place.value;
  }

  show(ways) {
    for (const [kind, pictures] of Object.entries(ways)) {
      const entries = pictures.map(({ image, digit, probability, length }) => {
        const picture = new Picture("play-latent-step");
        picture.draw(image, `read as ${named(digit)}`);
        const sure = element("span", {}, `${Math.round(100 * probability)}%`);
        const title = `${percent(probability)} sure; the length of z is ${length.toFixed(1)}`;
        return element("li", { title }, picture.node, element("b", {}, String(digit)), sure);
      });
      this.#strips[kind].replaceChildren(...entries);
    }
    this.#place.value = 0;
  }

  /** Mark the picture that is the nearest to the slider's place, if the point is on the way. */
  mark(isOnWay) {
    for (const [kind, strip] of Object.entries(this.#strips)) {
      const near = Math.round((this.percent / 100) * (strip.children.length - 1));
      [...strip.children].forEach((entry, k) => {
        entry.classList.toggle("play-latent-here", isOnWay && kind === this.kind && k === near);
      });
    }
  }
}

/** A picture of 28 x 28 grey values, black ink on white paper. */
class Picture {
  constructor(kind) {
    this.node = element("canvas", {
      width: SIDE, height: SIDE, class: `play-latent-picture ${kind}`, role: "img",
      "aria-label": "no picture yet",
    });
  }

  /**
   * @param {string} text its 784 bytes in base64, 255 is ink
   * @param {string} label what is read aloud
   */
  draw(text, label = "a digit") {
    const bytes = atob(text);
    const pixels = new ImageData(SIDE, SIDE);
    for (let k = 0; k < bytes.length; k++) {
      pixels.data.fill(255 - bytes.charCodeAt(k), 4 * k, 4 * k + 3);
      pixels.data[4 * k + 3] = 255;
    }
    this.node.getContext("2d").putImageData(pixels, 0, 0);
    this.node.setAttribute("aria-label", label);
  }
}

function digitChoice(label, digit) {
  const control = choice({ label, options: DIGITS, value: String(digit), change: () => {} });
  control.node.classList.add("play-latent-choice");
  return control;
}

/** A digit with its article: only an 8 begins with a vowel. */
function named(digit) {
  return `${digit === 8 ? "an" : "a"} ${digit}`;
}

function likeliest(reading) {
  const digit = reading.indexOf(Math.max(...reading));
  return [digit, reading[digit]];
}

function group(title, ...children) {
  const legend = element("legend", {}, title);
  return element("fieldset", { class: "play-latent-group" }, legend, ...children);
}
