// A page of the course whose blocks run, and whose exercises are checked, in the reader's browser.

import { Python } from "./python.js";
import { button, element } from "./elements.js";
import { Course } from "./live/course.js";
import { Exercise } from "./live/exercises.js";

const WHAT =
  "The blocks of this page run in your browser, and nothing is sent anywhere. " +
  "Click into one to change it; Ctrl+Enter runs it.";
const EXERCISES =
  "Open an exercise, write your answer in place of the three dots or mend what is there, " +
  "and press Check.";
const CANNOT =
  "This browser cannot run the blocks of this page: it lacks WebAssembly, or workers that are " +
  "modules. A newer one can.";

/** Whether this browser can have Python in a worker. */
function canRun() {
  let readsType = false;
  const options = {
    get type() {
      readsType = true;
      return "module";
    },
  };
  try {
    new Worker("data:text/javascript,", options).terminate();
  } catch {
    // it has read the options before
  }
  return readsType && typeof WebAssembly === "object";
}

function begin() {
  const bar = element("div", { class: "live-page" });
  document.querySelector("article h1")?.after(bar);
  if (!canRun()) {
    bar.append(element("p", {}, CANNOT));
    return;
  }
  const state = element("span", { class: "live-python", role: "status" }, "Python: not loaded");
  let running = "";
  const tell = (text) => {
    state.textContent = `Python: ${(text || running || "ready").replace(/^Python (has )?/, "")}`;
  };
  const python = new Python({
    progress: tell,
    ended(reason) {
      course.forget();
      tell(reason);
    },
  });
  const course = new Course([...document.querySelectorAll(".cell")], python, (text) => {
    running = text;
    if (python.isStarted) tell("");
  });
  const exercises = [...document.querySelectorAll(".exercise")];
  for (const box of exercises) new Exercise(box, python);
  exercises[0]?.before(element("p", { class: "exercise-use" }, EXERCISES));
  const runAll = button("Run the page", "live-run-all", () => course.runAll());
  bar.append(element("p", {}, WHAT), element("div", { class: "live-bar" }, runAll, state));
}

begin();
