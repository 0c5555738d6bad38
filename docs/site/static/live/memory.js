// The reader's texts, kept by the browser from one visit to the next.
// Where the browser keeps nothing (private windows, a full store), all goes on without it.

const page = `minigrad ${location.pathname} `;

/**
 * What the reader wrote here earlier.
 * @param {string} name of the block
 * @param {string} built the page's own text of the block
 * @returns {{text: string, isOutdated: boolean} | null} outdated: the page's text was another one
 */
export function remembered(name, built) {
  try {
    const kept = JSON.parse(localStorage.getItem(page + name));
    return kept && { text: kept.text, isOutdated: kept.built !== hash(built) };
  } catch {
    return null;
  }
}

/**
 * Keep what the reader has written; the page's own text need not be kept.
 * @param {string} name of the block
 * @param {string} built the page's own text of the block
 * @param {string} text the reader's
 */
export function remember(name, built, text) {
  try {
    if (text === built) localStorage.removeItem(page + name);
    else localStorage.setItem(page + name, JSON.stringify({ text, built: hash(built) }));
  } catch {
    // then the text lasts as long as the page is open
  }
}

function hash(text) {
  let sum = 0;
  for (const letter of text) sum = (31 * sum + letter.codePointAt(0)) | 0;
  return sum;
}
