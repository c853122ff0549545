// The tools `text_measure` and `text_slugify`. What a function throws is the tool's error, which a model reads.

export function measure(text) {
  return {
    characters: length(text),
    words: text.match(/\S+/g)?.length ?? 0,
    lines: text.match(/[^\r\n]*(\r\n|\r|\n)|[^\r\n]+$/g)?.length ?? 0,
  };
}

export function slugify(title, maxLength) {
  const words = plain(title).match(/[\p{L}\p{M}\p{N}]+/gu);
  if (!words) throw "the title has no letters or digits: give one that has some, such as `Hello, world!`";
  // An absent option is `null` with QuickJS, and `undefined` with StarlingMonkey.
  const slug = joined(words, maxLength ?? Infinity);
  if (!slug) throw `not even the first word fits: give a \`max-length\` of at least ${length(words[0])}`;
  return slug;
}

// In lower case, without accents on Latin letters, and without apostrophes: what they are in is one word.
function plain(title) {
  return title.normalize("NFKD").replace(/[\u0300-\u036f'’]/g, "").normalize("NFC").toLowerCase();
}

// As many whole words as fit.
function joined(words, maxLength) {
  let slug = "";
  for (const word of words) {
    const longer = slug ? `${slug}-${word}` : word;
    if (length(longer) > maxLength) break;
    slug = longer;
  }
  return slug;
}

// In characters, where `length` of a string counts UTF-16 units.
function length(text) {
  return [...text].length;
}
