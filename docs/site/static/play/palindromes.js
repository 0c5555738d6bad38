// Networks that learn palindromes while one watches: curves, an answer, and what the units hold.
// All numbers are minigrad's; see docs/site/python/play_palindromes.py.
//
// Numbers to be read: [data-read="accuracy"] of the LSTM on unseen palindromes, in percent,
// [data-read="answer"], the digit that the LSTM thinks most likely, and [data-read="seen"].

import {
  Chart,
  Loop,
  button,
  checkbox,
  choice,
  element,
  percent,
  row,
  slider,
  stage,
  status,
} from "./parts.js";
import { Reading } from "./reading.js";

const NAMES = { lstm: "LSTM", rnn: "plain RNN" };
const KINDS = { lstm: "play-line-1", rnn: "play-line-2" };
const GUESSING = { share: 0.1, loss: Math.log(10) };
const CALL = 100; // milliseconds that one call of the training should take
const MOST_POINTS = 400; // of a curve
const MODULE = "play_palindromes";

stage("palindromes", async (python) => {
  const lesson = new Lesson(python);
  await lesson.begin();
  return lesson.node;
});

/** The thing: options and buttons, the curves, and the network seen from inside. */
class Lesson {
  #python;
  #steps = 1; // in a call, so many that it takes about CALL milliseconds
  #history = []; // what each call of `advance` returned
  #wanted = Promise.resolve(); // what is done beside the training, one after the other

  constructor(python) {
    this.#python = python;
    this.loop = new Loop(
      () => this.#train(),
      (isRunning) => this.#show(isRunning),
      (error) => this.says.say(error.message),
    );
    const again = () => this.#again();
    const whole = (value) => String(value);
    this.options = {
      length: slider({
        label: "digits read, T",
        ...{ min: 3, max: 12, step: 1, value: 5, text: whole, change: again },
      }),
      hidden: choice({
        label: "units, H",
        options: ["8", "16", "32", "64"].map((size) => [size, size]),
        ...{ value: "32", change: again },
      }),
      rate: choice({
        label: "learning rate",
        options: ["0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "1"].map((x) => [x, x]),
        value: "0.003",
        change: (rate) => this.#do(() => this.#call("set_rate", Number(rate))),
      }),
      seed: slider({
        label: "seed",
        ...{ min: 0, max: 20, step: 1, value: 0, text: whole, change: again },
      }),
      withRnn: checkbox({ label: "a plain RNN beside it", change: again }),
    };
    this.train = button("Train", () => this.#toggle(), { class: "live-button play-start" });
    this.one = button("One step", () => this.#do(() => this.#train(1)));
    this.reset = button("Reset", again);
    this.says = status();
    this.right = element("strong", { "data-read": "accuracy" });
    this.seen = element("strong", { "data-read": "seen" });
    const now = [this.seen, " examples seen; LSTM: right on ", this.right, " of unseen ones."];
    this.accuracy = new Chart({
      label: "share of unseen palindromes that are answered rightly, against examples seen",
      xLabel: "examples seen",
      yLabel: "right answers on unseen palindromes",
      y: [0, 1],
      text: percent,
      marks: [{ y: GUESSING.share, text: "guessing: 10%" }],
    });
    this.loss = new Chart({
      label: "loss against examples seen",
      xLabel: "examples seen",
      yLabel: "loss",
      marks: [{ y: GUESSING.loss, text: "guessing: log 10 = 2.303" }],
    });
    this.reading = new Reading(NAMES, () => {
      if (!this.loop.isRunning) this.#do(() => this.#look(false));
    });
    this.node = element(
      "div",
      {},
      row(...["length", "hidden", "rate", "seed", "withRnn"].map((k) => this.options[k].node)),
      row(this.train, this.one, this.reset, element("span", {}, ...now)),
      this.says.node,
      element("div", { class: "play-columns" }, this.accuracy.node, this.loss.node),
      this.reading.node,
    );
  }

  #call(name, ...values) {
    return this.#python.call(MODULE, name, values);
  }

  /** Do something after all that was wanted before; an error is told. */
  #do(act) {
    this.#wanted = this.#wanted.then(act).catch((error) => this.says.say(error.message));
    return this.#wanted;
  }

  /** New networks, with the options as they are. */
  async begin() {
    const { length, hidden, rate, seed, withRnn } = this.options;
    const chosen = [length.value, Number(hidden.value), Number(rate.value), seed.value];
    const begun = await this.#call("begin", ...chosen, withRnn.value);
    this.#history = [begun];
    this.counts = begun;
    this.#steps = 1;
    this.reading.begin(length.value);
    this.#draw();
    await this.#look(true);
    this.#show(false);
  }

  #again() {
    this.#do(async () => {
      await this.loop.pause();
      await this.begin();
    });
  }

  #toggle() {
    if (this.loop.isRunning) this.loop.pause();
    else this.#do(() => this.loop.start());
  }

  async #train(steps = this.#steps) {
    const start = performance.now();
    const found = await this.#call("advance", steps);
    const each = (performance.now() - start) / steps;
    this.#steps = Math.max(1, Math.min(50, 2 * this.#steps, Math.round(CALL / each)));
    this.#history.push(found);
    if (this.#history.length > MOST_POINTS) {
      this.#history = this.#history.filter((_, k) => k % 2 === 0 || k > MOST_POINTS / 2);
    }
    this.#draw();
    await this.#look(!this.loop.isRunning);
    if (!this.loop.isRunning) this.#tell();
    return !found.diverged;
  }

  async #look(isSorted) {
    this.reading.show(await this.#call("look", this.reading.typed, isSorted));
  }

  // What is shown

  #show(isRunning) {
    this.train.textContent = isRunning ? "Pause" : "Train";
    this.one.disabled = isRunning;
    this.#tell();
    if (!isRunning && this.#history.length > 1) this.#do(() => this.#look(true));
  }

  #tell() {
    const { seen, networks, diverged } = this.#history.at(-1);
    const { exist, learnt, unseen } = this.counts;
    const count = (value) => value.toLocaleString("en");
    if (diverged) {
      return this.says.say("The loss is no number any more. Reset, with a smaller learning rate.");
    }
    if (this.loop.isRunning) return this.says.say("It learns.");
    if (seen > 0) {
      const { accuracy } = networks.rnn ?? {};
      const plain = networks.rnn ? ` The plain RNN is right on ${percent(accuracy)}.` : "";
      return this.says.say(`Paused.${plain} The units below are sorted anew.`);
    }
    this.says.say(
      `${count(exist)} palindromes of ${this.options.length.value + 1} digits exist. ` +
        `It learns from ${count(learnt)}; ${count(unseen)} others, never seen, measure it.`,
    );
  }

  #draw() {
    const last = this.#history.at(-1);
    const lines = (key) =>
      Object.keys(last.networks).map((name) => ({
        name: NAMES[name],
        kind: KINDS[name],
        points: this.#history
          .filter(({ networks }) => networks[name][key] !== null)
          .map(({ seen, networks }) => [seen, networks[name][key]]),
      }));
    this.accuracy.draw(lines("accuracy"));
    this.loss.draw(lines("loss"));
    this.right.textContent = percent(last.networks.lstm.accuracy);
    this.seen.textContent = last.seen.toLocaleString("en");
  }
}
