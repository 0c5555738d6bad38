// The blocks of a page together: what runs first, what a failure stops, what Stop forgets.

import { Stopped } from "../python.js";
import { element } from "../elements.js";
import { Cell } from "./cell.js";

/** All blocks of a page, which share their names as those of a notebook do. */
export class Course {
  #python;
  #tell;
  #turn = Promise.resolve(); // of what the reader asks for next
  #round = 0; // counts the workers that have ended

  /**
   * @param {HTMLElement[]} boxes the `.cell` of the page
   * @param {import("../python.js").Python} python
   * @param {(text: string) => void} tell told what runs; "" when nothing does
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
    this.#later(cell, () => {
      const above = this.cells.slice(0, this.cells.indexOf(cell));
      return this.#runEach([...above.filter((other) => !other.isCurrent), cell]);
    });
  }

  /** Run the whole page from its beginning. */
  runAll() {
    for (const cell of this.cells) cell.enter("waiting", "waiting");
    this.#later(this.cells[0], async () => {
      await this.#python.call("live", "forget");
      for (const cell of this.cells) cell.ranText = null;
      await this.#runEach(this.cells);
    });
  }

  /** The worker has ended, and with it all names. */
  forget() {
    this.#round += 1;
    for (const cell of this.cells) cell.ranText = null;
    rest(this.cells);
  }

  /** Act for a block when it is its turn, unless the worker has ended by then. */
  #later(wanted, action) {
    const round = this.#round;
    this.#turn = this.#turn.then(async () => {
      try {
        if (round === this.#round) await action();
      } catch (error) {
        if (wanted.state !== "failed") showFailure(wanted, error);
      }
      this.#tell("");
    });
  }

  /** Run blocks in order until one fails. The last is the one that the reader wants. */
  async #runEach(due) {
    const wanted = due.at(-1);
    for (const cell of due) cell.enter("waiting", "waiting");
    if (!this.#python.isStarted) {
      wanted.say("waiting for Python, which is being loaded");
      await this.#python.call("live", "forget");
    }
    for (const cell of due) {
      const where = `block ${this.cells.indexOf(cell) + 1} of ${this.cells.length}`;
      this.#tell(`running ${where}`);
      if (cell !== wanted) wanted.say(`first the blocks above: ${where}`);
      if (await this.#runOne(cell)) continue;
      rest(due);
      if (cell !== wanted) wanted.enter("failed", "not run: ", linkTo(cell), " failed, above");
      return;
    }
  }

  /** Run one block; whether all went well. */
  async #runOne(cell) {
    const { text } = cell.code;
    const before = cell.ranText;
    cell.begin();
    const start = performance.now();
    const report = (message) => cell.output.print(message.text);
    let shown;
    try {
      shown = await this.#python.call("live", "run_cell", [text, cell.name], { report });
    } catch (error) {
      showFailure(cell, error);
      if (error instanceof Stopped) throw error;
      return false;
    }
    if (shown.error && !cell.mayFail) {
      cell.output.fail(shown.error + shown.place, shown.traceback);
      cell.enter("failed", "failed");
      return false;
    }
    cell.show(shown);
    cell.enter("done", `done in ${duration(performance.now() - start)}`);
    cell.ranText = text;
    if (before !== null && before !== text) this.#noteChange(cell);
    return true;
  }

  /** Say at the blocks below that they have run with what this block was before. */
  #noteChange(changed) {
    for (const cell of this.cells.slice(this.cells.indexOf(changed) + 1)) {
      if (cell.ranText !== null) cell.say(`ran before ${changed.name} was changed`);
    }
  }
}

/** Show why a block, or Python, has ended early. */
function showFailure(cell, error) {
  if (error instanceof Stopped) {
    cell.enter("idle", "stopped; the next run begins with the first block");
    return;
  }
  cell.output.fail(error.message, error.traceback);
  cell.enter("failed", "failed");
}

/** These blocks wait no more. */
function rest(cells) {
  for (const cell of cells) if (cell.state === "waiting") cell.enter("idle");
}

function linkTo(cell) {
  return element("a", { href: cell.link }, cell.name);
}

function duration(milliseconds) {
  const seconds = milliseconds / 1000;
  return seconds < 0.1 ? "less than 0.1 s" : `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
}
