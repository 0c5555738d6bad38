// The blocks of a page together: what runs first, what a failure stops, what Stop forgets.

import { PythonError, Stopped } from "../python.js";
import { element } from "../elements.js";
import { Cell } from "./cell.js";

/** All blocks of a page, which share their names as those of a notebook do. */
export class Course {
  #python;
  #tell;
  #turn = Promise.resolve(); // of what waits
  #round = 0; // counts the times that all was stopped

  /**
   * @param {HTMLElement[]} boxes the `.cell` of the page
   * @param {import("../python.js").Python} python
   * @param {(text: string) => void} tell what runs, for the bar of the page
   */
  constructor(boxes, python, tell) {
    this.#python = python;
    this.#tell = tell;
    this.cells = boxes.map(
      (box, place) =>
        new Cell(box, place + 1, {
          run: () => this.run(this.cells[place]),
          stop: () => python.stop(),
        }),
    );
  }

  /** Run a block, and before it those above that have not run with their present text. */
  run(cell) {
    if (cell.state === "waiting" || cell.state === "running") return;
    cell.enter("waiting", "waiting");
    this.#later(() => {
      const above = this.cells.slice(0, this.cells.indexOf(cell));
      return this.#runAll([...above.filter((other) => !other.isCurrent), cell]);
    });
  }

  /** Run the whole page from its beginning. */
  runAll() {
    for (const cell of this.cells) cell.enter("waiting", "waiting");
    this.#later(async () => {
      await this.#python.call("live", "forget");
      for (const cell of this.cells) cell.ranText = null;
      await this.#runAll(this.cells);
    });
  }

  /** The worker has ended, and with it all names. */
  forget() {
    this.#round += 1;
    for (const cell of this.cells) {
      cell.ranText = null;
      if (cell.state === "waiting") cell.enter("idle");
    }
  }

  /** Do something when what was asked for before is done, unless it is stopped first. */
  #later(action) {
    const round = this.#round;
    this.#turn = this.#turn.then(async () => {
      try {
        if (round === this.#round) await action();
      } catch (error) {
        const first = this.cells.find((cell) => cell.state === "waiting");
        if (!(error instanceof Stopped)) first?.output.fail(String(error.message));
        if (!(error instanceof Stopped)) first?.enter("failed", "failed");
        this.#rest();
      }
    });
  }

  /** Run blocks in order until one fails; the last is the one that the reader wants. */
  async #runAll(due) {
    const wanted = due.at(-1);
    for (const cell of due) cell.enter("waiting", "waiting");
    for (const cell of due) {
      const where = `block ${this.cells.indexOf(cell) + 1} of ${this.cells.length}`;
      this.#tell(`running ${where}`);
      if (cell !== wanted) wanted.say(`first the blocks above: ${where}`);
      const isFine = await this.#runOne(cell);
      if (isFine) continue;
      this.#rest();
      if (cell.state === "failed" && cell !== wanted) {
        const link = element("a", { href: cell.link }, cell.name);
        wanted.enter("failed", "not run: ", link, " failed, above");
      }
      break;
    }
    this.#tell("");
  }

  /** Run one block; false if it failed, or was stopped. */
  async #runOne(cell) {
    const { text } = cell.code;
    const before = cell.ranText;
    cell.begin();
    const start = performance.now();
    try {
      const report = (message) => cell.output.print(message.text);
      const shown = await this.#python.call("live", "run_cell", [text, cell.name], { report });
      if (shown.svg) cell.output.draw("svg+xml", shown.svg, cell.alternative);
      if (shown.png) cell.output.draw("png", shown.png, cell.alternative);
      if (shown.error && !cell.mayFail) {
        cell.output.fail(shown.error + shown.place, shown.traceback);
        cell.enter("failed", "failed");
        return false;
      }
      if (shown.error) cell.output.print(shown.error);
    } catch (error) {
      if (error instanceof Stopped) cell.enter("idle", "stopped; the names of all blocks are gone");
      else {
        cell.output.fail(error.message, error instanceof PythonError ? error.traceback : error.stack);
        cell.enter("failed", "failed");
      }
      return false;
    }
    cell.enter("done", `done in ${duration(performance.now() - start)}`);
    cell.ranText = text;
    if (before !== null && before !== text) this.#noteChange(cell);
    return true;
  }

  /** Those below have run with what the block was before. */
  #noteChange(changed) {
    for (const cell of this.cells.slice(this.cells.indexOf(changed) + 1)) {
      if (cell.ranText !== null && cell.state === "done") {
        cell.say(`ran before ${changed.name} was changed`);
      }
    }
  }

  /** Nothing waits any more. */
  #rest() {
    for (const cell of this.cells) if (cell.state === "waiting") cell.enter("idle");
  }
}

function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  return seconds < 0.1 ? "less than 0.1 s" : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}
