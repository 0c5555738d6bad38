// The exercises of a page: an editor for the answer, Check, hints, and the answer in the end.

import { Stopped } from "../python.js";
import { button, element } from "../elements.js";
import { Code } from "./code.js";

/** One exercise. Its `data-state` is right or wrong once an answer was checked. */
export class Exercise {
  #box;
  #python;
  #number;
  #code;
  #status = element("span", { class: "live-status", role: "status" });
  #printed = element("pre", { class: "live-text", hidden: true });
  #result = element("p", { class: "exercise-result", role: "status" });
  #check = button("Check", "live-check live-go", () => this.#judge());
  #stop;
  #reset = button("Reset", "live-reset", () => this.#code.reset());
  #answer = null; // the button that shows it

  /**
   * @param {HTMLDetailsElement} box the `.exercise` of the page
   * @param {import("../python.js").Python} python
   */
  constructor(box, python) {
    this.#box = box;
    this.#python = python;
    this.#number = box.dataset.number;
    this.#stop = button("Stop", "live-stop", () => python.stop());
    this.#code = new Code(box.querySelector(".exercise-code pre"), `exercise ${this.#number}`, {
      changed: () => this.#offerReset(),
      run: () => this.#judge(),
    });
    const bar = element("div", { class: "live-bar" }, this.#check, this.#stop, this.#reset);
    for (const part of box.querySelectorAll(".exercise-hint")) bar.append(this.#revealing(part));
    const answer = box.querySelector(".exercise-answer"); // which a class may have left out
    if (answer) {
      this.#answer = this.#revealing(answer);
      this.#answer.hidden = true;
      bar.append(this.#answer);
    }
    bar.append(this.#status);
    const code = box.querySelector(".exercise-code");
    code.classList.add("live-block");
    code.append(bar);
    code.after(this.#printed, this.#result);
    this.#stop.hidden = true;
    this.#offerReset();
  }

  /** A button that shows a hint or the answer, and hides it again. */
  #revealing(part) {
    const kind = part.className.replace("exercise-", "live-");
    for (const code of part.querySelectorAll("pre")) code.tabIndex = 0; // it may have to scroll
    const shows = button(part.dataset.name, kind, () => {
      part.hidden = !part.hidden;
      shows.setAttribute("aria-expanded", String(!part.hidden));
      if (this.#answer) this.#answer.hidden = false;
    });
    shows.setAttribute("aria-expanded", "false");
    return shows;
  }

  async #judge() {
    if (this.#check.disabled) return;
    this.#show(true, "checking");
    this.#result.textContent = "";
    this.#printed.textContent = "";
    this.#printed.hidden = true;
    try {
      const answer = [this.#number, this.#code.text];
      const report = ({ text }) => this.#print(text);
      const found = await this.#python.call("exercises_in_page", "check", answer, { report });
      this.#conclude(found.right ? "right" : "wrong", found.message);
    } catch (error) {
      if (error instanceof Stopped) this.#show(false, "stopped");
      else this.#conclude("wrong", error.message);
    }
  }

  #print(text) {
    this.#printed.textContent += text;
    this.#printed.hidden = false;
  }

  #conclude(state, message) {
    this.#show(false, "");
    this.#box.dataset.state = state;
    this.#result.textContent = message;
    if (this.#answer) this.#answer.hidden = false;
  }

  #show(isRunning, says) {
    this.#check.disabled = isRunning;
    this.#stop.hidden = !isRunning;
    this.#status.textContent = says;
  }

  #offerReset() {
    this.#reset.hidden = !this.#code.isChanged;
  }
}
