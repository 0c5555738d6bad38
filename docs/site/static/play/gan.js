// A GAN in one dimension, step by step: histograms, D's curve, and the arrows that push the fakes.
// docs/site/python/play_gan.py plays the game; all numbers come from there.
//
// What a test can read, by [data-read="..."]: round, distance, d-real, d-fake, push, d-loss and
// g-loss.

import { Picture, clamp } from "./gan-picture.js";
import {
  Chart, Loop, button, checkbox, choice, element, number, row, stage, status,
} from "./parts.js";

document.head.append(
  element("link", { rel: "stylesheet", href: new URL("./gan.css", import.meta.url).href }),
);

/**
 * What Python shows of the game: `look` in play_gan.py, and `said`, the last act in words.
 * @typedef {{round: number, line: number[], answers: number[], edges: number[], real: number[],
 *   fake: number[], best: (number | null)[], latent: number[], ways: number[],
 *   arrows: [number, number, number][], push: number, d_loss: number, g_loss: number,
 *   d_real: number, d_fake: number, mean: number, distance: number, floor: number,
 *   left: number | null, said: string}} Snapshot
 */

const USUAL = {
  data: "one", seed: 0, lr_g: 0.002, lr_d: 0.01, beta1: 0.5, d_steps: 1, r1: 0, saturating: false,
};
const PRESETS = {
  balanced: {
    text: "Balanced: one hump",
    watch: "The arrows push the fakes up the hill of D, until they stand on the real numbers and D "
      + "says about 1/2. That takes 100 rounds; the right spread takes 500 more.",
  },
  strong: {
    text: "D too strong",
    settings: { d_steps: 10, saturating: true },
    arrows: 0.3,
    watch: "D takes ten steps for one of G, and G has the loss log(1 \u2212 D). Run, look at the "
      + "arrows, and then choose the loss \u2212log D.",
  },
  circles: {
    text: "Circles: much memory",
    settings: { lr_d: 0.002, beta1: 0.9 },
    watch: "With \u03b2\u2081 = 0.9 both players answer where the other one was. Let it run for "
      + "600 rounds; then set \u03b2\u2081 to 0, or charge D by R1.",
  },
  collapse: {
    text: "Two humps: collapse",
    settings: { data: "two" },
    watch: "G draws one hump perfectly, and the other one not at all. Let it settle for 300 "
      + "rounds; then set R1 to \u03b3 = 1.",
  },
};
const MOST_POINTS = 400; // of a curve; with more, every second one goes
const LARGEST_LOSS = 4; // that the chart shows

stage("gan", async (python) => {
  const snapshot = await python.call("play_gan", "begin", [USUAL]);
  return new Game(python, snapshot).node;
});

class Game {
  #python;
  #settings = { ...USUAL };
  #picture = new Picture();
  #numbers = new Numbers();
  #says = status();
  #watch = element("p", { class: "play-watch" });
  #charts = element("div", { class: "play-columns" });
  #history = [];
  #low = null;
  #losses;
  #distances;
  #distanceName;
  #controls;
  #steps;
  #run;
  #loop;

  constructor(python, snapshot) {
    this.#python = python;
    this.#loop = new Loop(
      () => this.#do("rounds", Number(this.#controls.speed.value)),
      (isRunning) => this.#showRunning(isRunning),
      (error) => this.#says.say(`Python stopped with an error: ${error.message}`),
    );
    this.#controls = this.#makeControls();
    this.#steps = [
      button("One step of D", () => this.#once("discriminator")),
      button("One step of G", () => this.#once("generator")),
      button("One round", () => this.#once("rounds", 1)),
    ];
    this.#run = button("Run", () => {
      if (this.#loop.isRunning) this.#loop.pause();
      else this.#loop.start();
    });
    this.#watch.textContent = PRESETS.balanced.watch;
    this.#showSettings();
    this.node = this.#laidOut();
    this.#begun(snapshot);
  }

  #laidOut() {
    const { preset, ...rest } = this.#controls;
    const settings = Object.values(rest).map((control) => control.node);
    return element(
      "div",
      {},
      row(preset.node),
      this.#watch,
      row(...this.#steps, this.#run, button("Reset", () => this.#begin())),
      this.#picture.node,
      this.#says.node,
      this.#numbers.node,
      this.#charts,
      element(
        "fieldset",
        { class: "play-settings" },
        element("legend", {}, "Settings"),
        ...settings,
      ),
    );
  }

  #makeControls() {
    const set = (name, convert = Number) => (value) => (this.#settings[name] = convert(value));
    const anew = (name, convert) => (value) => {
      this.#settings[name] = convert(value);
      this.#begin();
    };
    const rates = ["0.0005", "0.001", "0.002", "0.005", "0.01", "0.02"].map((rate) => [rate, rate]);
    const losses = [["no", "\u2212log D"], ["yes", "log(1 \u2212 D)"]];
    return {
      preset: choice({
        label: "Try",
        options: Object.entries(PRESETS).map(([name, { text }]) => [name, text]),
        change: (name) => this.#choose(name),
      }),
      data: choice({
        label: "Real numbers",
        options: [["one", "one hump"], ["two", "two humps"], ["uniform", "uniform"]],
        change: anew("data", String),
      }),
      saturating: choice({
        label: "Loss of G",
        options: losses,
        change: (value) => {
          this.#settings.saturating = value === "yes";
          this.#drawCharts();
        },
      }),
      d_steps: choice({
        label: "D's steps a round",
        options: ["1", "2", "5", "10"].map((count) => [count, count]),
        change: set("d_steps"),
      }),
      lr_d: choice({ label: "Rate of D", options: rates, change: set("lr_d") }),
      lr_g: choice({ label: "Rate of G", options: rates, change: set("lr_g") }),
      beta1: choice({
        label: "Memory \u03b2\u2081",
        options: ["0", "0.5", "0.9"].map((beta) => [beta, beta]),
        change: set("beta1"),
      }),
      r1: choice({
        label: "Penalty R1",
        options: ["0", "0.1", "0.3", "1"].map((gamma) => [gamma, `\u03b3 = ${gamma}`]),
        change: set("r1"),
      }),
      seed: choice({
        label: "Seed",
        options: ["0", "1", "2", "3", "4"].map((seed) => [seed, seed]),
        change: anew("seed", Number),
      }),
      speed: choice({
        label: "Rounds per picture",
        options: [["1", "1"], ["5", "5"], ["20", "20"]],
        value: "5",
        change: () => {},
      }),
      arrows: choice({
        label: "Arrows",
        options: ["0.3", "1", "3", "10"].map((times) => [times, `push \u00d7 ${times}`]),
        value: "1",
        change: (times) => this.#picture.set({ times: Number(times) }),
      }),
      best: checkbox({
        label: "Show the best D for these fakes, p/(p + q)",
        change: (showsBest) => this.#picture.set({ showsBest }),
      }),
    };
  }

  #choose(name) {
    const { settings, watch, arrows = 1 } = PRESETS[name];
    this.#settings = { ...USUAL, ...settings };
    this.#showSettings();
    this.#controls.arrows.value = String(arrows);
    this.#picture.set({ times: arrows });
    this.#watch.textContent = watch;
    this.#begin();
  }

  #showSettings() {
    for (const [name, value] of Object.entries(this.#settings)) {
      this.#controls[name].value = name === "saturating" ? (value ? "yes" : "no") : String(value);
    }
  }

  async #begin() {
    await this.#guarded(async () => {
      await this.#loop.pause();
      this.#begun(await this.#python.call("play_gan", "begin", [this.#settings]));
    });
  }

  #begun(snapshot) {
    this.#history = [];
    this.#picture.forget();
    this.#show(snapshot);
    this.#says.say(snapshot.said);
  }

  async #once(name, ...values) {
    await this.#guarded(async () => {
      await this.#do(name, ...values);
      this.#says.say(this.#picture.snapshot.said);
    });
  }

  async #guarded(act) {
    try {
      await act();
    } catch (error) {
      this.#says.say(`Python stopped with an error: ${error.message}`);
    }
  }

  async #do(name, ...values) {
    const snapshot = await this.#python.call("play_gan", name, [this.#settings, ...values]);
    this.#show(snapshot);
  }

  async #showRunning(isRunning) {
    this.#run.textContent = isRunning ? "Pause" : "Run";
    for (const step of this.#steps) step.disabled = isRunning;
    if (isRunning) return this.#says.say("It runs. Pause, to read what has happened.");
    await this.#loop.pause(); // the last call
    if (!this.#loop.isRunning) this.#says.say(this.#picture.snapshot.said);
  }

  #show(snapshot) {
    this.#picture.show(snapshot, this.#loop.isRunning);
    this.#numbers.show(snapshot);
    const { round, d_loss: d, g_loss: g, distance } = snapshot;
    this.#history.push({ round, d, g, distance });
    if (this.#history.length > MOST_POINTS) {
      this.#history = this.#history.filter((_, k) => k % 2 === 0);
    }
    this.#drawCharts();
  }

  /** New charts come with a new game, and once the loss of G falls below 0. */
  #drawCharts() {
    const low = this.#history.some(({ g }) => g < 0) ? -2 : 0;
    if (this.#low !== low || this.#history.length === 1) {
      this.#low = low;
      this.#makeCharts(low, this.#picture.snapshot.floor);
    }
    const points = (name) => this.#history.map((each) => [each.round, each[name]]);
    const held = (name) => points(name).map(([x, y]) => [x, clamp(y, low, LARGEST_LOSS)]);
    this.#losses.draw([
      { name: "loss of D", kind: "play-line-3", points: held("d") },
      { name: "loss of G", kind: "play-line-2", points: held("g") },
    ]);
    this.#distances.draw([
      { name: this.#distanceName, kind: "play-line-1", points: points("distance") },
    ]);
  }

  #makeCharts(low, floor) {
    const xLabel = "rounds";
    this.#losses = new Chart({
      label: "The losses of D and of G over the rounds",
      xLabel,
      yLabel: "loss",
      y: [low, LARGEST_LOSS],
      marks: [{ y: 2 * Math.log(2), text: "D cannot tell: 2 log 2 = 1.386" }],
    });
    this.#distances = new Chart({
      label: "The distance between fakes and real numbers over the rounds",
      xLabel,
      yLabel: "distance",
      marks: [{ y: floor, text: "" }],
    });
    const least = number(floor, 2);
    this.#distanceName = `distance (dotted: that of two samples of real numbers, ${least})`;
    this.#charts.replaceChildren(this.#losses.node, this.#distances.node);
  }
}

/** The numbers of the present state. */
class Numbers {
  static #NAMES = [
    ["round", "Round", ({ round }) => String(round)],
    ["distance", "Distance", ({ distance }) => distance.toFixed(2)],
    ["d-real", "D, real", ({ d_real: d }) => d.toFixed(2)],
    ["d-fake", "D, fakes", ({ d_fake: d }) => d.toFixed(2)],
    ["push", "Push on fakes", ({ push }) => push.toFixed(push < 0.1 ? 4 : 2)],
    ["d-loss", "Loss of D", ({ d_loss: loss }) => signed(loss)],
    ["g-loss", "Loss of G", ({ g_loss: loss }) => signed(loss)],
  ];

  #shown = new Map();

  constructor() {
    this.node = element("div", { class: "play-numbers" });
    for (const [name, label] of Numbers.#NAMES) {
      const value = element("b", { "data-read": name });
      this.#shown.set(name, value);
      this.node.append(element("p", {}, `${label} `, value));
    }
  }

  show(snapshot) {
    for (const [name, , text] of Numbers.#NAMES) this.#shown.get(name).textContent = text(snapshot);
  }
}

function signed(value) {
  return (Math.round(value * 100) / 100 || 0).toFixed(2).replace("-", "\u2212");
}
