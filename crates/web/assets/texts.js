// @ts-check
// What scripts say, in the language of the page.

/** @type {{ from?: string, all: Record<string, any> }} */
const read = { all: {} };

function all() {
  const from = document.getElementById('texts')?.dataset.texts ?? '{}';
  if (from !== read.from) Object.assign(read, { from, all: JSON.parse(from) });
  return read.all;
}

/** A text with values in their places. @param {string} name @param {(string | number)[]} values @returns {string} */
export const text = (name, ...values) => values.reduce((/** @type {string} */ said, value, at) => said.replaceAll(`{${at}}`, () => String(value)), String(all()[name] ?? name));

/** The keys, in groups. @returns {[string, [string, string][]][]} */
export const keyTexts = () => all().keys ?? [];
