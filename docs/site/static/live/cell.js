// One block of the course: its code, its buttons, what it says of itself, what it has shown.

import { button, element } from "../elements.js";
import { Code } from "./code.js";
import { Output } from "./output.js";

/** A block of the page. Its `data-state` is idle, waiting, running, done or failed. */
export class Cell {
  /** The text of it that has run in this worker, or null. */
  ranText = null;
  #box;
  #status = element("span", { class: "live-status", role: "status" });
  #seconds = element("span", { class: "live-seconds", "aria-hidden": "true" });
  #reset = button("Reset", "live-reset", () => this.reset());
  #stop;
  #built; // what the page shows behind the cell
  #clock = 0;

  /**
   * @param {HTMLElement} box the `.cell` of the page
   * @param {number} number from 1
   * @param {{run: () => void, stop: () => void}} actions of its buttons
   */
  constructor(box, number, { run, stop }) {
    this.#box = box;
    this.name = `block ${number}`;
    this.mayFail = box.classList.contains("tag_raises-exception");
    this.#built = builtBehind(box);
    this.output = new Output();
    this.code = new Code(box.querySelector(".cell_input pre"), this.name, {
      changed: () => this.#offerReset(),
      run,
    });
    this.#stop = button("Stop", "live-stop", stop);
    const bar = element(
      "div",
      { class: "live-bar" },
      button("Run", "live-run live-go", run),
      this.#stop,
      this.#reset,
      this.#status,
      this.#seconds,
      element("span", { class: "live-name" }, this.name),
    );
    box.id ||= `block-${number}`;
    box.classList.add("live-block");
    box.append(bar, this.output.element);
    this.enter("idle");
  }

  /** The address of the cell within the page. */
  get link() {
    return `#${this.#box.id}`;
  }

  /** Whether its present text has run in this worker. */
  get isCurrent() {
    return this.ranText === this.code.text;
  }

  get state() {
    return this.#box.dataset.state;
  }

  /**
   * Change the state.
   * @param {"idle" | "waiting" | "running" | "done" | "failed"} state
   * @param {...(string | Node)} says the status
   */
  enter(state, ...says) {
    this.#box.dataset.state = state;
    this.#stop.hidden = state !== "running" && state !== "waiting";
    this.say(...says);
    clearInterval(this.#clock);
    this.#seconds.textContent = "";
    if (state === "running") this.#count();
    this.#offerReset();
  }

  /** Change the status alone. */
  say(...says) {
    this.#status.replaceChildren(...says);
  }

  /** Prepare for new output. */
  begin() {
    this.ranText = null;
    this.output.clear();
    for (const part of this.#built) part.hidden = true;
    this.enter("running", "running");
  }

  /**
   * Show what it has shown beside what it printed.
   * @param {{svg?: string, png?: string, error?: string}} shown an error that the page wants
   */
  show({ svg, png, error }) {
    const image = this.#built.map((part) => part.querySelector("img")).find(Boolean);
    const alt = image?.alt || `The picture that ${this.name} draws`;
    const seen = { alt, width: image?.naturalWidth || undefined };
    if (svg) this.output.draw("svg+xml", svg, seen);
    if (png) this.output.draw("png", png, seen);
    if (error) this.output.print(error);
  }

  /** Bring back the page's own text, and what the page shows behind it. */
  reset() {
    this.code.reset();
    this.output.clear();
    for (const part of this.#built) part.hidden = false;
    if (this.#stop.hidden) this.enter("idle");
  }

  #offerReset() {
    this.#reset.hidden = !this.code.isChanged && this.output.element.hidden;
  }

  #count() {
    const start = Date.now();
    this.#clock = setInterval(() => {
      this.#seconds.textContent = `${Math.round((Date.now() - start) / 1000)} s`;
    }, 1000);
  }
}

/** What the build has put behind a cell: its text, its picture. */
function builtBehind(box) {
  const found = [];
  let next = box.nextElementSibling;
  while (next?.matches(".output-of-cell, .picture-of-cell")) {
    found.push(next);
    next = next.nextElementSibling;
  }
  return found;
}
