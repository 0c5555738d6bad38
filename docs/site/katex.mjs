// Renders formulas: reads a JSON list of {tex, display} and writes one of {html} or {error}.
//
// KaTeX is strict here: what it refuses and what it warns of is an error of that formula.

import { readFileSync } from "node:fs";

import katex from "katex";

/**
 * @param {{tex: string, display: boolean}} formula
 * @returns {{html: string} | {error: string}}
 */
function rendered({ tex, display }) {
  const warnings = [];
  console.warn = text => warnings.push(text);
  try {
    const options = { displayMode: display, output: "htmlAndMathml", strict: "error" };
    const html = katex.renderToString(tex, options);
    return warnings.length ? { error: warnings.join("; ") } : { html };
  } catch (error) {
    return { error: error.message };
  }
}

const formulas = JSON.parse(readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(formulas.map(rendered)));
