// A block of code that the reader can change: the page's own highlighted text until the reader
// begins to write, then an editor in its place.

import { button, element } from "../elements.js";
import { remember, remembered } from "./memory.js";

let editors = null; // the module, once a reader has come to a block

/** The editor's module, or a plain text field where it cannot be loaded. */
function loadEditors() {
  editors ??= import("../editor.js").catch(() => import("./field.js"));
  return editors;
}

/** A block of code of the page. */
export class Code {
  #pre;
  #name;
  #editor = null;
  #place = null; // of the editor
  #text;
  #changed;
  #run;

  /**
   * @param {HTMLElement} pre the highlighted text
   * @param {string} name such as "block 3"
   * @param {{changed: () => void, run: () => void}} told that the text is another one; that the
   *   reader pressed Ctrl+Enter
   */
  constructor(pre, name, { changed, run }) {
    this.#pre = pre;
    this.#name = name;
    this.#changed = changed;
    this.#run = run;
    this.built = pre.textContent.trimEnd();
    this.#text = this.built;
    this.#offerEditing();
    this.#recall();
  }

  /** The text that runs. */
  get text() {
    return this.#text;
  }

  /** Whether the reader has changed the page's text. */
  get isChanged() {
    return this.#text !== this.built;
  }

  /** Bring the page's own text back. */
  reset() {
    this.#take(this.built);
    this.#place?.remove();
    this.#editor = this.#place = null;
    this.#pre.hidden = false;
  }

  #offerEditing() {
    const pre = this.#pre;
    const label = `Code of ${this.#name}. Press Enter to change it.`;
    for (const [key, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", label]]) {
      pre.setAttribute(key, value);
    }
    pre.classList.add("live-code");
    pre.addEventListener("focus", loadEditors);
    pre.addEventListener("keydown", (event) => {
      if (event.key === "Enter") {
        event.preventDefault();
        if (event.ctrlKey || event.shiftKey || event.metaKey) this.#run();
        else this.#edit({});
      }
    });
    pre.addEventListener("click", ({ clientX: x, clientY: y }) => {
      if (getSelection().isCollapsed) this.#edit({ x, y }); // else the reader selects, to copy
    });
  }

  /** Put the editor in the place of the text; with a point, which may be empty, the cursor too. */
  async #edit(point = null) {
    const { createEditor } = await loadEditors();
    if (!this.#editor) {
      const keep = (event) => event.stopPropagation(); // Sphinx takes "/" for its search
      this.#place = element("pre", { class: "live-editor", keydown: keep });
      this.#pre.after(this.#place);
      this.#pre.hidden = true;
      this.#editor = createEditor(this.#place, this.#text, {
        label: `Code of ${this.#name}. Escape leaves it, Control Enter runs it.`,
        change: (text) => this.#take(text),
        run: () => this.#run(),
        leave: () => this.#leave(),
      });
    }
    if (point) this.#editor.focus(point);
  }

  /** From the editor to the button behind it, so that Tab goes on from there. */
  #leave() {
    this.#place.closest(".live-block").querySelector("button.live-go").focus();
  }

  #take(text) {
    if (text === this.#text) return;
    this.#text = text;
    remember(this.#name, this.built, text);
    this.#changed();
  }

  #recall() {
    const kept = remembered(this.#name, this.built);
    if (!kept || kept.text === this.built) return;
    if (!kept.isOutdated) {
      this.#text = kept.text;
      this.#edit();
      return;
    }
    const show = button("Show your text", "live-recall", () => {
      offer.remove();
      this.reset();
      this.#take(kept.text);
      this.#edit();
    });
    const forget = button("Forget it", "live-forget", () => {
      offer.remove();
      remember(this.#name, this.built, this.#text);
    });
    const says = "The page's own text has changed since you wrote here. ";
    const offer = element("p", { class: "live-offer" }, says, show, " ", forget);
    this.#pre.parentElement.after(offer);
  }
}
