// Lets the keyboard reach what scrolls sideways: wide code, tables and formulas. Their width
// depends on the window, so each is looked at again when its size changes.

const boxes = document.querySelectorAll("article pre, .table-wrapper, .math-wrapper");

/** @param {Element} box */
function update(box) {
  if (box.classList.contains("live-code")) return; // always reached: Enter edits it
  if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}

const observer = new ResizeObserver(entries => entries.forEach(({ target }) => update(target)));
boxes.forEach(box => observer.observe(box));
document.fonts.ready.then(() => boxes.forEach(update));
