// The editor of a block: CodeMirror with Python. esbuild makes of it the site's _static/editor.js.

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { python } from "@codemirror/lang-python";
import {
  bracketMatching,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { EditorState, Prec } from "@codemirror/state";
import { EditorView, keymap } from "@codemirror/view";
import { tagHighlighter, tags } from "@lezer/highlight";

// The classes are those of the page's own highlighted code, so both have the same colours.
const pygments = tagHighlighter([
  { tag: [tags.keyword, tags.controlKeyword, tags.definitionKeyword], class: "k" },
  { tag: tags.moduleKeyword, class: "kn" },
  { tag: tags.operatorKeyword, class: "ow" },
  { tag: [tags.bool, tags.null], class: "kc" },
  { tag: [tags.string, tags.special(tags.string)], class: "s2" },
  { tag: [tags.comment, tags.lineComment], class: "c1" },
  { tag: tags.number, class: "mf" },
  { tag: [tags.operator, tags.definitionOperator], class: "o" },
  { tag: [tags.punctuation, tags.paren, tags.squareBracket, tags.brace], class: "p" },
  { tag: tags.function(tags.definition(tags.variableName)), class: "nf" },
  { tag: tags.definition(tags.className), class: "nc" },
  { tag: tags.meta, class: "nd" },
  { tag: [tags.variableName, tags.propertyName], class: "n" },
]);

const look = EditorView.theme({
  "&": { color: "inherit", backgroundColor: "transparent" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "inherit", lineHeight: "inherit" },
  ".cm-content": { padding: "0", caretColor: "currentColor" },
  ".cm-line": { padding: "0" },
  ".cm-cursor": { borderLeftColor: "currentColor" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: "transparent", outline: "1px solid" },
});

/**
 * An editor in a place of the page.
 * @param {HTMLElement} place
 * @param {string} text what it begins with
 * @param {{label: string, change: (text: string) => void, run: () => void, leave: () => void}} to
 *   its name for screen readers; told each change, and that the reader wants to run it, to leave it
 * @returns {{focus: (point?: {x: number, y: number}) => void}} focus: the cursor where the reader
 *   has clicked
 */
export function createEditor(place, text, { label, change, run, leave }) {
  const key = (name, act) => ({ key: name, run: () => (act(), true) });
  const view = new EditorView({
    parent: place,
    state: EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(
          keymap.of([
            key("Ctrl-Enter", run),
            key("Mod-Enter", run),
            key("Shift-Enter", run),
            key("Escape", leave),
          ]),
        ),
        keymap.of([...defaultKeymap, ...historyKeymap]), // Tab goes on, as everywhere in the page
        history(),
        python(),
        indentUnit.of("    "),
        indentOnInput(),
        bracketMatching(),
        syntaxHighlighting(pygments),
        look,
        EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) change(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    focus(point) {
      const anchor = (point?.x !== undefined && view.posAtCoords(point)) ?? 0;
      view.dispatch({ selection: { anchor: anchor || 0 } });
      view.focus();
    },
  };
}
