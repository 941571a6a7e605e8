// Rooms.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

test('rooms are entered once the server has agreed, and left', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('linkToRooms', {ROOMS: '["red", 5]'});
  assert.deepEqual(world.socket.take(), [{cmd: 'link', val: ['red', '5'], listener: 'link'}]);
  assert.equal(world.get('getRoomState'), false);
  world.answer('link');
  assert.equal(world.get('getRoomState'), true);
  await world.run('unlinkFromRooms');
  assert.deepEqual(world.socket.take(), [{cmd: 'unlink', val: '', listener: 'unlink'}]);
  world.answer('unlink');
  assert.equal(world.get('getRoomState'), false);
  assert.equal(world.get('returnStatusCode'), '');
});

test('the same rooms are asked for once', async () => {
  const world = new World();
  await world.join('alice');
  for (const ROOMS of ['red', '["red"]', '["blue"]']) await world.run('linkToRooms', {ROOMS});
  assert.deepEqual(world.socket.take().map(({val}) => val), [['red'], ['blue']]);
});

test('the same rooms are not asked for again later', async () => {
  const world = new World();
  await world.join('alice', 'red');
  await world.clock.advance(10_000);
  await world.run('linkToRooms', {ROOMS: 'red'});
  assert.deepEqual(world.socket.take(), []);
});

test('after leaving, the same rooms can be entered again', async () => {
  const world = new World();
  await world.join('alice', 'red');
  await world.run('unlinkFromRooms');
  await world.run('linkToRooms', {ROOMS: 'red'});
  assert.deepEqual(world.socket.take().map(({cmd}) => cmd), ['unlink', 'link']);
});

for (const [description, refuse] of [
  ['a refused link', (world) => world.answer('link', {code: 'E:108 | Refused'})],
  ['a link without an answer', (world) => world.clock.advance(10_000)],
]) {
  test(`after ${description} the same rooms can be tried again`, async () => {
    const world = new World();
    await world.join('alice');
    await world.run('linkToRooms', {ROOMS: 'red'});
    await refuse(world);
    assert.equal(world.get('getRoomState'), false);
    world.socket.take();
    await world.run('linkToRooms', {ROOMS: 'red'});
    assert.equal(world.socket.take().length, 1);
  });
}

test('the selected rooms go with the next message or variable', async () => {
  const world = new World();
  await world.join('alice', 'red', 'blue');
  await world.run('selectRoomsInNextPacket', {ROOMS: '["red"]'});
  await world.run('selectRoomsInNextPacket', {ROOMS: '["blue"]'});
  await world.run('runCMDnoID', {CMD: 'ping', DATA: ''});
  await world.run('sendGData', {DATA: 1});
  await world.run('sendGData', {DATA: 2});
  await world.run('selectRoomsInNextPacket', {ROOMS: 'blue'});
  await world.run('sendGDataAsVar', {VAR: 'x', DATA: 3});
  assert.deepEqual(world.socket.take(), [
    {cmd: 'ping', val: ''},
    {cmd: 'gmsg', val: 1, rooms: ['red']},
    {cmd: 'gmsg', val: 2},
    {cmd: 'gvar', name: 'x', val: 3, rooms: ['blue']},
  ]);
});

test('without rooms there is nothing to select', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('selectRoomsInNextPacket', {ROOMS: 'red'});
  await world.run('sendGData', {DATA: 1});
  assert.deepEqual(world.socket.take(), [{cmd: 'gmsg', val: 1}]);
});

test('rooms can be selected while the server has not answered yet', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('linkToRooms', {ROOMS: 'red'});
  await world.run('selectRoomsInNextPacket', {ROOMS: 'red'});
  await world.run('sendGData', {DATA: 1});
  assert.deepEqual(world.socket.take()[1], {cmd: 'gmsg', val: 1, rooms: ['red']});
});

test('entering a room leaves the default room, leaving all rooms empties their lists', async () => {
  const world = new World();
  const user = {username: 'alice', id: '1', uuid: 'u1'};
  await world.join('alice');
  const receive = (rooms) => world.socket.receive({cmd: 'ulist', mode: 'set', val: [user], rooms});
  const counts = () => ['default', 'red'].map((ROOM) => world.get('countUsers', {ROOM}));
  receive('default');
  await world.run('linkToRooms', {ROOMS: 'red'});
  receive('red');
  world.answer('link');
  assert.deepEqual(counts(), [0, 1]);
  await world.run('unlinkFromRooms');
  receive('default');
  world.answer('unlink');
  assert.deepEqual(counts(), [1, 0]);
});
