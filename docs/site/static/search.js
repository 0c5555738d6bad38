// The page of the search: what it finds is quoted with each formula once, not once more as TeX and
// once as it is drawn; and without words to look for, the page says where to type them.

import { element } from "./elements.js";

/* global Search */

const LEFT_OUT = ".katex-html, annotation, .download-notebook, .viewcode-link";

const textOf = Search.htmlToText;
Search.htmlToText = (html, anchor) => {
  const page = new DOMParser().parseFromString(html, "text/html");
  page.querySelectorAll(LEFT_OUT).forEach((part) => part.remove());
  return textOf(page.documentElement.outerHTML, anchor);
};

if (!new URLSearchParams(location.search).get("q")) {
  document.querySelector("#search-results").append(
    element("h1", {}, "Search"),
    element("p", {}, "Type what you look for into the search field above the list of chapters; "
      + "on a narrow screen, the menu button shows it."),
  );
}
