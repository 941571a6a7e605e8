// What other clients, and a hostile server, can do: fill a limited amount of memory, and nothing else.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const ENTRIES = 10_000;
const CHARACTERS = 2 ** 23;
const GLOBAL = {TYPE: 'Global data'};
const DEEP = '['.repeat(1000) + ']'.repeat(1000); // Chromium is given more

test('a queue keeps the latest 10000 packets', async () => {
  const world = new World();
  await world.connect();
  for (let n = 0; n < ENTRIES + 500; n++) world.socket.receive({cmd: 'gmsg', val: n});
  assert.equal(world.get('readQueueSize', GLOBAL), ENTRIES);
  assert.equal(JSON.parse(world.get('getNextPacket', GLOBAL)).val, 500);
});

test('a queue keeps 8 million characters', async () => {
  const world = new World();
  await world.connect();
  for (let n = 0; n < 20; n++) world.socket.receive({cmd: 'gmsg', val: `${n}`.padEnd(1_000_000, 'x')});
  assert.equal(world.get('readQueueSize', GLOBAL), Math.floor(CHARACTERS / 1_000_020));
  world.socket.receive({cmd: 'gmsg', val: 'x'.repeat(CHARACTERS)});
  assert.equal(world.get('readQueueSize', GLOBAL), 1, 'the newest packet stays, however long it is');
  world.socket.receive({cmd: 'gmsg', val: 'short'});
  assert.equal(world.get('readQueueSize', GLOBAL), 1);
});

test('variables and listeners are limited too; those set last stay', async () => {
  const world = new World();
  await world.connect();
  const set = (n) => world.socket.receive({cmd: 'gvar', name: `${n}`, val: n, listener: `${n}`});
  for (let n = 0; n < ENTRIES; n++) set(n);
  set(0);
  set(ENTRIES);
  const variable = (VAR) => world.get('returnVarData', {TYPE: 'Global variables', VAR});
  assert.deepEqual([0, 1, 2, ENTRIES].map(variable), ['0', '', '2', `${ENTRIES}`]);
  assert.equal(world.get('returnListenerData', {ID: '1'}), '');
  assert.notEqual(world.get('returnListenerData', {ID: '2'}), '');
});

test('a hundred requests are remembered', async () => {
  const world = new World();
  await world.join('alice');
  for (let n = 0; n < 150; n++) await world.run('linkToRooms', {ROOMS: `room ${n}`});
  for (let n = 0; n < 100; n++) world.answer('link');
  assert.equal(world.get('readQueueSize', {TYPE: 'Status code'}), 0);
  world.answer('link');
  assert.equal(world.get('readQueueSize', {TYPE: 'Status code'}), 1);
});

test('the limiter forgets variables that have been at rest', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 10});
  const {slots} = world.extension.session.rateLimiter;
  for (let n = 0; n < ENTRIES; n++) world.get('sendGDataAsVar', {VAR: n, DATA: n});
  assert.equal(slots.size, ENTRIES);
  await world.clock.advance(100);
  await world.run('sendGDataAsVar', {VAR: 'one more', DATA: 1});
  assert.equal(slots.size, 1);
});

const VALUES = ['null', 'true', '0', '-0.0', '1e400', '""', '"x"', '[]', '{}', '[null]', '{"__proto__": 1}', '{"cmd":"vers"}', DEEP];
const COMMANDS = ['gmsg', 'pmsg', 'gvar', 'pvar', 'direct', 'statuscode', 'ulist', 'server_version', 'client_obj',
  'client_ip', 'motd', 'constructor', '__proto__', 'dance'];

/** Frames that no server should send. */
function* hostileFrames() {
  yield* ['', 'x', 'null', '5', '"text"', '[]', '{', '[{}]', '\0', '{"cmd":', DEEP, `{"cmd":${DEEP}}`];
  yield new Uint8Array([0, 255]);
  for (const cmd of COMMANDS) {
    yield `{"cmd":"${cmd}"}`;
    for (const value of VALUES) {
      for (const key of ['val', 'name', 'listener', 'rooms', 'mode', 'code', 'origin']) {
        yield JSON.stringify({cmd, name: 'x', mode: 'add', [key]: 'HERE'}).replace('"HERE"', () => value);
      }
    }
  }
  for (const value of VALUES) {
    for (const mode of ['set', 'add', 'remove']) {
      yield `{"cmd":"ulist","mode":"${mode}","val":[${value}]}`;
      yield `{"cmd":"ulist","mode":"${mode}","val":{"id":${value},"username":${value},"uuid":${value}}}`;
    }
    for (const listener of ['username_cfg', 'link', 'unlink', 'ping_cfg', 'handshake_cfg']) {
      yield `{"cmd":"statuscode","code":"I:100 | OK","listener":"${listener}","val":${value}}`;
    }
  }
}

/** Return the reporters that report something which Scratch cannot hold, and the names of those that throw. */
const strange = (world) => {
  const found = [];
  const inputs = ['Global data', 'Global variables', 'All data', 'x', '', 'null', '{}', '{"uuid": null}', '[[]]'];
  for (const {opcode, blockType, arguments: args} of world.extension.getInfo().blocks) {
    const isReporter = ['REPORTER', 'BOOLEAN'].includes(blockType);
    if (!isReporter || ['fetchURL', 'requestURL'].includes(opcode)) continue;
    for (const input of inputs) {
      const value = world.get(opcode, Object.fromEntries(Object.keys(args).map((name) => [name, input])));
      if (!['string', 'number', 'boolean'].includes(typeof value)) found.push([opcode, input, typeof value]);
    }
  }
  return found;
};

for (const [description, prepare] of [
  ['before the greeting', async (world) => {
    await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
    world.socket.accept();
  }],
  ['after the greeting', (world) => world.connect()],
  ['while name and rooms are requested', async (world) => {
    await world.connect();
    await world.run('setMyName', {NAME: 'alice'});
    await world.run('linkToRooms', {ROOMS: 'red'});
  }],
  ['while name and rooms are restored', async (world) => {
    await world.run('setReconnect', {BOOL: 'Enable'});
    await world.join('alice', 'red');
    world.socket.end();
    await world.clock.advance(1000);
    world.greet();
  }],
]) {
  test(`odd packets ${description} harm nothing`, async () => {
    const world = new World();
    await prepare(world);
    for (const frame of hostileFrames()) world.socket.receive(frame);
    assert.deepEqual(strange(world), []);
    world.socket.receive({cmd: 'server_version', val: '0.2.0'});
    world.socket.receive({cmd: 'gmsg', val: 'the end'});
    assert.equal(world.get('returnGlobalData'), 'the end');
    assert.equal(world.get('getComState'), true);
    assert.equal(world.global('({}).x'), undefined);
    await world.clock.advance(60_000);
    assert.deepEqual(strange(world), []);
    assert.deepEqual(world.console, []);
  });
}

test('odd packets harm nothing in a sandbox either', async () => {
  const world = new World({sandboxed: true});
  await world.connect();
  for (const frame of hostileFrames()) world.socket.receive(frame);
  assert.deepEqual(strange(world), []);
});

test('another client cannot greet, and cannot answer for the server', async () => {
  const world = new World();
  await world.connect();
  const origin = {id: '2', uuid: 'u2', username: 'mallory'};
  for (const listener of ['username_cfg', 'link', 'ping_cfg', 'unlink']) {
    for (const val of [{cmd: 'vers', val: '9'}, {cmd: 'motd', val: '9'}, {username: 'eve'}]) {
      world.socket.receive({cmd: 'direct', val, listener, origin});
    }
  }
  assert.equal(world.get('returnServerVersion'), '0.2.0');
  assert.equal(world.get('returnMOTD'), 'Welcome!');
  assert.equal(world.get('getUsernameState'), false);
  assert.equal(world.get('getRoomState'), false);
});

test('another client cannot greet before the server does', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.accept();
  world.socket.receive({cmd: 'direct', val: {cmd: 'vers', val: '9'}, origin: {id: '2', uuid: 'u2'}});
  assert.equal(world.get('getComState'), false);
});

test('commands with odd inputs stop no script, without a connection and with one', async () => {
  for (const connect of [() => {}, (world) => world.connect(), (world) => world.join('alice', 'red')]) {
    const world = new World();
    await connect(world);
    for (const {opcode, blockType, arguments: args} of world.extension.getInfo().blocks) {
      if (blockType !== 'COMMAND' || /^(open|close)Socket/.test(opcode)) continue;
      for (const input of ['', 'null', '[null]', '{"uuid": {}}', DEEP]) {
        await world.run(opcode, Object.fromEntries(Object.keys(args).map((name) => [name, input])));
      }
    }
    assert.deepEqual(strange(world), []);
  }
});

test('every block of the palette has its function', () => {
  const world = new World();
  const {blocks} = world.extension.getInfo();
  const opcodes = Array.from(blocks, ({opcode}) => opcode).filter(Boolean);
  assert.ok(opcodes.length > 60);
  assert.deepEqual(opcodes.filter((opcode) => typeof world.extension[opcode] !== 'function'), []);
});
