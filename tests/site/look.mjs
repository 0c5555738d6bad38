// What can be seen to be wrong with a page. Each function runs in the page and lists its faults.

/** What makes a page wider than its window. */
export function faultsOfWidth() {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.body.querySelectorAll("*")].filter((element) => {
    const { right, width } = element.getBoundingClientRect();
    return width > 0 && right > room + 1 && !isInScrollingBox(element);
  });
  const [first] = wide.filter((element) => !wide.some((other) => element.contains(other.parentNode)));
  const place = first ? `${first.tagName.toLowerCase()}.${first.className}: ${first.textContent}` : "";
  return [`${document.documentElement.scrollWidth} pixels in ${room}: ${place.slice(0, 120)}`];

  function isInScrollingBox(element) {
    for (let box = element.parentElement; box !== document.body; box = box.parentElement) {
      if (getComputedStyle(box).overflowX !== "visible") return true;
    }
    return false;
  }
}

/** At a wide window: lines of code of at most 100 columns that do not fit into their box. */
export function linesCut() {
  if (window.innerWidth < 1000) return [];
  const faults = [];
  for (const block of document.querySelectorAll("article pre")) {
    if (block.scrollWidth <= block.clientWidth + 1 || !block.clientWidth) continue;
    const columns = columnsOf(block);
    const cut = block.textContent.split("\n").filter((x) => x.length > columns && x.length <= 100);
    faults.push(...cut.map((line) => `${columns} columns fit, not: ${line}`));
  }
  return faults;

  function columnsOf(block) {
    const ruler = document.createElement("span");
    ruler.textContent = "x".repeat(100);
    ruler.style.position = "absolute";
    block.append(ruler);
    const width = ruler.getBoundingClientRect().width / 100;
    ruler.remove();
    const { paddingLeft, paddingRight } = getComputedStyle(block);
    const room = block.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
    return Math.floor(room / width + 0.01);
  }
}

/** Formulas on which their own number is printed. */
export function formulasUnderTags() {
  return [...document.querySelectorAll(".katex-html .tag")].flatMap((tag) => {
    const box = tag.getBoundingClientRect();
    const formula = tag.closest(".katex-html");
    const under = [...formula.querySelectorAll(".base")].some((base) => {
      const other = base.getBoundingClientRect();
      return (
        Math.min(box.right, other.right) - Math.max(box.left, other.left) > 1 &&
        Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top) > 1
      );
    });
    return under ? [`${tag.textContent} is printed over ${formula.textContent.slice(0, 60)}`] : [];
  });
}

/** Pictures that are not there, and pictures that say nothing to those who do not see them. */
export function faultsOfImages() {
  return [...document.querySelectorAll("article img")].flatMap((image) => {
    const faults = [];
    if (!image.alt.trim()) faults.push(`no alternative text: ${image.src}`);
    if (image.complete && !image.naturalWidth) faults.push(`cannot be shown: ${image.src}`);
    return faults;
  });
}
