// A plain text field in place of the editor, where the editor's file cannot be loaded.

import { element } from "../elements.js";

/** As in the editor's module. */
export function createEditor(place, text, { label, change, run, leave }) {
  const field = element("textarea", { class: "live-field", "aria-label": label, wrap: "off" });
  const fit = () => (field.rows = field.value.split("\n").length + 1);
  field.spellcheck = false;
  field.value = text;
  fit();
  field.addEventListener("input", () => {
    fit();
    change(field.value);
  });
  field.addEventListener("keydown", (event) => {
    const runs = event.key === "Enter" && (event.ctrlKey || event.shiftKey || event.metaKey);
    if (!runs && event.key !== "Escape") return;
    event.preventDefault();
    if (runs) run();
    else leave();
  });
  place.append(field);
  return { focus: () => field.focus() };
}
