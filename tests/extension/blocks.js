// Runs single blocks of the extension in the page's VM (`vm`, `runtime`), and tells what the VM knows of them.
'use strict';

/** The bytes of a project. */
const bytesOf = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;

/** Call `look` after each frame until it returns true. */
const everyFrame = (look) => new Promise((kept) => {
  const once = () => {
    if (!look()) return;
    runtime.off('AFTER_EXECUTE', once);
    kept();
  };
  runtime.on('AFTER_EXECUTE', once);
});

let number = 0;
const FIELDS = ['TYPE', 'BOOL', 'BROADCAST_OPTION'];

/** Put a block of the extension on the stage's workspace as the editor does; returns its id and those of its shadows. */
const place = (opcode, args) => {
  const {blocks} = runtime.getTargetForStage();
  const id = `test${number++}`;
  const block = {id, opcode, inputs: {}, fields: {}, next: null, parent: null, topLevel: true, shadow: false, x: 0, y: 0};
  const ids = [id];
  for (const [name, value] of Object.entries(args)) {
    if (FIELDS.includes(name) || opcode === 'cloudlink_changeIPFetcher') {
      block.fields[name] = {name, value};
      continue;
    }
    const shadow = `${id}.${name}`;
    ids.push(shadow);
    block.inputs[name] = {name, block: shadow, shadow};
    blocks.createBlock({id: shadow, opcode: 'text', inputs: {}, fields: {TEXT: {name: 'TEXT', value: String(value)}},
      next: null, parent: id, topLevel: false, shadow: true});
  }
  blocks.createBlock(block);
  return ids;
};

const runScript = async (id) => {
  const thread = runtime._pushThread(id, runtime.getTargetForStage());
  await everyFrame(() => !runtime.threads.includes(thread));
};

const clearAway = (ids) => {
  const {blocks} = runtime.getTargetForStage();
  for (const id of ids) blocks.deleteBlock(id);
};

/** Run a command in a script of its own. */
window.run = async (opcode, args) => {
  const ids = place(`cloudlink_${opcode}`, args);
  await runScript(ids[0]);
  clearAway(ids);
};

/** Run a reporter in a script of its own, which puts what it reports into a variable; return that. */
window.get = async (opcode, args) => {
  const stage = runtime.getTargetForStage();
  stage.createVariable('result', 'result', '');
  const ids = place(`cloudlink_${opcode}`, args);
  const [script] = place('data_setvariableto', {});
  const setter = stage.blocks.getBlock(script);
  setter.fields.VARIABLE = {name: 'VARIABLE', id: 'result', value: 'result'};
  setter.inputs.VALUE = {name: 'VALUE', block: ids[0], shadow: null};
  Object.assign(stage.blocks.getBlock(ids[0]), {parent: script, topLevel: false});
  stage.blocks.resetCache();
  await runScript(script);
  clearAway([script, ...ids]);
  const {value} = stage.variables.result;
  return typeof value === 'object' || value === undefined ? {wrong: String(value)} : value;
};

/** Wait until a reporter reports this. */
window.until = async (opcode, args, wanted) => {
  let last;
  const before = performance.now();
  do {
    last = await window.get(opcode, args);
    if (performance.now() - before > 20000) throw new Error(`${opcode} is still ${JSON.stringify(last)}`);
  } while (JSON.stringify(last) !== JSON.stringify(wanted));
};

const valueOf = (name) => {
  const variables = Object.values(runtime.getTargetForStage().variables);
  return variables.find((variable) => variable.name === name).value;
};

/** Wait until a variable or list of the project has this value. */
window.untilVariable = async (name, wanted) => {
  const before = performance.now();
  await everyFrame(() =>
    JSON.stringify(valueOf(name)) === JSON.stringify(wanted) || performance.now() - before > 20000);
  if (JSON.stringify(valueOf(name)) !== JSON.stringify(wanted)) {
    throw new Error(`${name} is still ${JSON.stringify(valueOf(name))}`);
  }
};

/** Let so many frames pass. */
window.frames = async (count) => {
  await everyFrame(() => count-- <= 0);
};

/** What the runtime knows of the extension's blocks. */
window.knownBlocks = () => {
  const info = runtime._blockInfo.find(({id}) => id === 'cloudlink');
  const blocks = info.blocks.filter(({info}) => info && info.opcode).map(({info}) => ({
    opcode: info.opcode,
    blockType: info.blockType,
    text: info.text,
    hidden: Boolean(info.hideFromPalette),
    arguments: Object.entries(info.arguments).map(([name, {type, menu, defaultValue}]) =>
      ({name, type, menu: menu || null, defaultValue: String(defaultValue)})),
    edgeActivated: Boolean(info.isEdgeActivated),
    works: info.blockType === 'event' ? `cloudlink_${info.opcode}` in runtime._hats
      : typeof runtime._primitives[`cloudlink_${info.opcode}`] === 'function',
  }));
  const menus = Object.fromEntries(info.menus.map(({json}) =>
    [json.type || json.message0, json.args0[0].options]));
  return {id: info.id, name: info.name, colours: [info.color1, info.color2, info.color3], blocks, menus};
};
