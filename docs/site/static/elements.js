// HTML elements in one expression.

/**
 * An HTML element.
 * @param {string} name its tag
 * @param {Record<string, any>} attributes a function is a listener ("click": ...), false leaves out
 * @param {...(Node | string)} children what it holds
 * @returns {HTMLElement}
 */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(key, value);
    else if (value !== false) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/**
 * A button of the page.
 * @param {string} text what it says
 * @param {string} name its class beside `live-button`
 * @param {() => void} press what it does
 */
export function button(text, name, press) {
  return element("button", { type: "button", class: `live-button ${name}`, click: press }, text);
}
