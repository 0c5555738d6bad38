// Lets the keyboard reach what scrolls sideways: wide code, tables and formulas, and a play's still
// picture. Their width depends on the window, so each is looked at again when its size changes.

const WIDE = "article pre, .table-wrapper, .math-wrapper, .play p:has(> img)";
const boxes = document.querySelectorAll(WIDE);

/** @param {Element} box */
function update(box) {
  if (box.classList.contains("live-code")) return; // always reached: Enter edits it
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}

const observer = new ResizeObserver(entries => entries.forEach(({ target }) => update(target)));
boxes.forEach(box => observer.observe(box));
document.fonts.ready.then(() => boxes.forEach(update));
