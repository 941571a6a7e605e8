// Draws blocks with scratchblocks as SVG (`draw`). Loaded into a page after scratchblocks itself.
'use strict';

const FONT = 'Helvetica Neue'; // the first one that scratchblocks names

/** Measure text in this font (the bytes of a font file, in base64), whatever the machine has. */
window.useFont = async (base64) => {
  const face = new FontFace(FONT, `url(data:font/woff2;base64,${base64})`, {weight: '100 900'});
  document.fonts.add(await face.load());
};

/** Make one label of labels that follow each other: scratchblocks draws each word as a text of its own. */
const joinWords = (block) => {
  const children = [];
  for (const child of block.children) {
    const last = children[children.length - 1];
    if (child.isLabel && last && last.isLabel) last.value += ` ${child.value}`;
    else children.push(child);
  }
  block.children = children;
};

/** The width of a label in SVG units. */
const widthOf = (text) => {
  const context = document.createElement('canvas').getContext('2d');
  context.font = `500 12pt "${FONT}"`;
  return context.measureText(text).width.toFixed(1);
};

/** Draw blocks that are written in the language of scratchblocks. */
window.draw = (code) => {
  const program = scratchblocks.parse(code);
  for (const {blocks} of program.scripts) blocks.forEach(joinWords);
  const view = scratchblocks.newView(program, {style: 'scratch3', scale: 0.75});
  view.render();
  const page = new DOMParser().parseFromString(view.exportSVGString(), 'image/svg+xml');
  const used = [...page.querySelectorAll('use')].map((use) => use.outerHTML).join();
  for (const icon of page.querySelectorAll('defs > [id]')) {
    if (!used.includes(`#${icon.id}`)) icon.remove();
  }
  // The words of a label are as far apart as the font has them.
  for (const style of page.querySelectorAll('style')) style.textContent = style.textContent.replace('word-spacing:1pt', '');
  // A reader's machine may have another font: each text keeps the width that its block was drawn for.
  for (const text of page.querySelectorAll('text')) {
    text.setAttribute('textLength', widthOf(text.textContent));
    text.setAttribute('lengthAdjust', 'spacingAndGlyphs');
  }
  return new XMLSerializer().serializeToString(page);
};
