// What a block shows when it runs in the page: text, a picture, an error with its line.

import { element } from "../elements.js";

/** The output of one block; empty until something is shown. */
export class Output {
  #text = element("pre", { class: "live-text", hidden: true });
  #picture = element("p", { class: "live-picture", hidden: true });
  #error = element("pre", { class: "live-error", hidden: true });
  #whole = element("pre");
  #traceback = element(
    "details",
    { class: "live-traceback", hidden: true },
    element("summary", {}, "The whole traceback"),
    this.#whole,
  );
  #printed = "";

  constructor() {
    this.element = element(
      "div",
      { class: "live-output", "aria-live": "polite", hidden: true },
      this.#text,
      this.#picture,
      this.#error,
      this.#traceback,
    );
  }

  /** Show nothing any more. */
  clear() {
    this.#printed = "";
    for (const part of [this.element, ...this.element.children]) part.hidden = true;
    this.#picture.replaceChildren();
  }

  /** Add text; what a line prints before a carriage return is printed over, as in a terminal. */
  print(text) {
    this.#printed += text;
    if (text.includes("\r")) this.#printed = printedOver(this.#printed);
    this.#show(this.#text, this.#printed);
  }

  /**
   * Show a picture.
   * @param {string} kind "svg+xml", whose data is text, or "png", whose data is base64
   * @param {string} data
   * @param {{alt: string, width?: number}} seen what the picture shows, for those who do not see
   *   it, and the width in pixels that it has where there is room, if not its own
   */
  draw(kind, data, { alt, width = false }) {
    const coded = kind === "png" ? `;base64,${data}` : `,${encodeURIComponent(data)}`;
    const image = element("img", { src: `data:image/${kind}${coded}`, alt, width });
    this.#picture.replaceChildren(image);
    this.element.hidden = this.#picture.hidden = false;
  }

  /**
   * Show an error.
   * @param {string} message what it says, and its line
   * @param {string} traceback the whole, or ""
   */
  fail(message, traceback = "") {
    this.#show(this.#error, message);
    this.#traceback.open = false;
    this.#traceback.hidden = !traceback;
    this.#whole.textContent = traceback;
    this.#whole.tabIndex = 0;
  }

  #show(part, text) {
    part.textContent = text;
    this.element.hidden = part.hidden = false;
    const isCut = part.scrollHeight > part.clientHeight || part.scrollWidth > part.clientWidth;
    if (isCut) part.tabIndex = 0; // so that the arrow keys scroll it
    else part.removeAttribute("tabindex");
  }
}

/** The text as a terminal shows it: a carriage return goes back to the beginning of the line. */
function printedOver(text) {
  const lines = text.split("\n").map((line) => {
    const end = line.endsWith("\r") ? "\r" : ""; // what follows is still to come
    const parts = line.split("\r");
    return (end ? parts.at(-2) : parts.at(-1)) + end;
  });
  return lines.join("\n");
}
