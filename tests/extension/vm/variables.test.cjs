// Variables, and the limit on how often they are sent.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const GLOBAL_X = {TYPE: 'Global variables', VAR: 'x'};
const values = (world) => world.socket.take().map(({val}) => val);
const setX = (world, DATA) => world.run('sendGDataAsVar', {VAR: 'x', DATA});

test('a variable has a latest and a previous value, and a flag', async () => {
  const world = new World();
  await world.connect();
  const [mine, other] = ['x', 'y'].map((VAR) => world.when('onNewVar', {TYPE: 'Global variables', VAR}));
  assert.equal(world.get('returnVarData', GLOBAL_X), '');
  world.socket.receive({cmd: 'gvar', name: 'x', val: 1});
  world.socket.receive({cmd: 'gvar', name: 'x', val: {a: 2}});
  assert.equal(world.get('returnVarData', GLOBAL_X), '{"a":2}');
  assert.equal(world.get('returnPreviousVarData', GLOBAL_X), '1');
  assert.equal(world.get('returnIsNewVarData', GLOBAL_X), true);
  await world.run('resetNewVarData', GLOBAL_X);
  assert.equal(world.get('returnIsNewVarData', GLOBAL_X), false);
  assert.deepEqual([mine.runs, other.runs], [2, 0]);
});

test('global and private variables of one name are two', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive({cmd: 'gvar', name: 'x', val: 'for all'});
  world.socket.receive({cmd: 'pvar', name: 'x', val: 'for me'});
  assert.equal(world.get('returnVarData', GLOBAL_X), 'for all');
  assert.equal(world.get('returnVarData', {TYPE: 'Private variables', VAR: 'x'}), 'for me');
  assert.equal(world.get('returnVarData', {TYPE: 'nonsense', VAR: 'x'}), '');
});

test('without a limit every value is sent', async () => {
  const world = new World();
  await world.connect();
  for (const value of [1, 2, 3]) await setX(world, value);
  assert.deepEqual(values(world), [1, 2, 3]);
});

test('with a limit the first value is sent at once, then the latest in each interval', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 10});
  for (const value of [1, 2, 3]) await setX(world, value);
  assert.deepEqual(values(world), [1]);
  await world.clock.advance(99);
  assert.deepEqual(values(world), []);
  await world.clock.advance(1);
  assert.deepEqual(values(world), [3]);
  await setX(world, 4);
  await world.clock.advance(100);
  assert.deepEqual(values(world), [4]);
  await world.clock.advance(1000);
  assert.deepEqual(values(world), []);
  await setX(world, 5);
  assert.deepEqual(values(world), [5]);
});

test('a project that sends in every frame keeps to the limit', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 20});
  const sent = [];
  for (let frame = 0; frame < 300; frame++) {
    await setX(world, frame);
    await world.clock.advance(1000 / 30);
    sent.push(...values(world));
  }
  assert.ok(sent.length > 190 && sent.length <= 201, `${sent.length} values in 10 seconds`);
  assert.deepEqual(sent, [...sent].sort((a, b) => a - b));
});

test('the limit is per variable, recipient and rooms', async () => {
  const world = new World();
  await world.join('alice', 'red', 'blue');
  await world.run('setPace', {RATE: 1});
  await setX(world, 'x');
  await world.run('sendGDataAsVar', {VAR: 'y', DATA: 'y'});
  await world.run('sendPDataAsVar', {VAR: 'x', DATA: 'to bob', ID: 'bob'});
  await world.run('sendPDataAsVar', {VAR: 'x', DATA: 'to carol', ID: 'carol'});
  await world.run('selectRoomsInNextPacket', {ROOMS: 'red'});
  await setX(world, 'only red');
  assert.deepEqual(values(world), ['x', 'y', 'to bob', 'to carol', 'only red']);
});

test('a variable for others and the same one for everybody share a limit, so that no older value comes last', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 1});
  await setX(world, 1);
  await setX(world, 2);
  await world.run('sendGDataAsVarToOthers', {VAR: 'x', DATA: 3});
  assert.deepEqual(values(world), [1]);
  await world.clock.advance(1500);
  assert.deepEqual(values(world), [3]);
});

test('messages are not limited', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 1});
  for (const DATA of [1, 2, 3]) await world.run('sendGData', {DATA});
  assert.deepEqual(values(world), [1, 2, 3]);
});

test('a value with a listener is sent at once, and replaces the one that waits', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 1});
  await setX(world, 1);
  await setX(world, 2);
  await world.run('createListener', {ID: 'mine'});
  await setX(world, 3);
  assert.deepEqual(values(world), [1, 3]);
  await world.clock.advance(1500);
  await setX(world, 4);
  assert.deepEqual(values(world), [4], 'nothing was sent since the value with the listener');
});

test('removing the limit sends what waits', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 1});
  await setX(world, 1);
  await setX(world, 2);
  await world.run('setPace', {RATE: 0});
  assert.deepEqual(values(world), [1, 2]);
  await setX(world, 3);
  assert.deepEqual(values(world), [3]);
  await world.clock.advance(5000);
  assert.deepEqual(values(world), []);
});

for (const RATE of ['', 'x', -5, 'NaN']) {
  test(`the limit ${JSON.stringify(RATE)} is none`, async () => {
    const world = new World();
    await world.connect();
    await world.run('setPace', {RATE});
    await setX(world, 1);
    await setX(world, 2);
    assert.deepEqual(values(world), [1, 2]);
  });
}

test('a value that waits when the connection ends is not sent to the next one', async () => {
  const world = new World();
  await world.connect();
  await world.run('setPace', {RATE: 1});
  await setX(world, 1);
  await setX(world, 2);
  world.socket.end();
  await world.connect();
  await world.clock.advance(5000);
  assert.deepEqual(values(world), []);
});
