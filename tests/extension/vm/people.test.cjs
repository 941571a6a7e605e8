// Usernames and user lists.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const user = (name, number = name) => ({username: name, id: `${number}`, uuid: `u-${number}`});
const list = (world) => JSON.parse(world.get('returnUserListData'));
const set = (users, rooms = 'default') => ({cmd: 'ulist', mode: 'set', val: users, rooms});
const add = (val, rooms = 'default') => ({cmd: 'ulist', mode: 'add', val, rooms});
const remove = (val, rooms = 'default') => ({cmd: 'ulist', mode: 'remove', val, rooms});

test('a username counts once the server has accepted it', async () => {
  const world = new World();
  await world.connect();
  await world.run('setMyName', {NAME: 'alice'});
  assert.deepEqual(world.socket.take(), [{cmd: 'setid', val: 'alice', listener: 'username_cfg'}]);
  assert.equal(world.get('getUsernameState'), false);
  assert.equal(world.get('returnUsernameData'), '{}');
  world.acceptName('alice');
  assert.equal(world.get('getUsernameState'), true);
  assert.equal(world.get('returnUsernameDataNew'), 'alice');
  assert.deepEqual(JSON.parse(world.get('returnUserObject')), {id: '1', uuid: 'u1', username: 'alice'});
  assert.equal(world.get('returnUsernameData'), world.get('returnUserObject'));
  assert.equal(world.get('returnStatusCode'), '');
});

test('a second username is ignored, before the answer and after it', async () => {
  const world = new World();
  await world.connect();
  await world.run('setMyName', {NAME: 'alice'});
  await world.run('setMyName', {NAME: 'bob'});
  world.acceptName('alice');
  await world.run('setMyName', {NAME: 'carol'});
  assert.deepEqual(world.socket.take().map(({val}) => val), ['alice']);
});

test('after a refused username another one can be set, and the status code says why', async () => {
  const world = new World();
  await world.connect();
  await world.run('setMyName', {NAME: 'alice'});
  world.answer('username_cfg', {code: 'E:108 | Refused'});
  assert.equal(world.get('returnStatusCode'), 'E:108 | Refused');
  assert.equal(world.get('getUsernameState'), false);
  await world.run('setMyName', {NAME: 'bob'});
  world.acceptName('bob');
  assert.equal(world.get('returnUsernameDataNew'), 'bob');
});

test('after 10 seconds without an answer another username can be set', async () => {
  const world = new World();
  await world.connect();
  await world.run('setMyName', {NAME: 'alice'});
  await world.clock.advance(9999);
  await world.run('setMyName', {NAME: 'bob'});
  assert.equal(world.socket.take().length, 1);
  await world.clock.advance(1);
  await world.run('setMyName', {NAME: 'bob'});
  assert.equal(world.socket.take()[0].val, 'bob');
});

test('a username that was set while connecting is sent after the greeting', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  await world.run('setMyName', {NAME: 'alice'});
  world.greet();
  assert.deepEqual(world.socket.take().map(({cmd, val}) => [cmd, val]), [['setid', 'alice']]);
});

test('nothing private is sent without a username', async () => {
  const world = new World();
  await world.connect();
  await world.run('sendPData', {DATA: 'x', ID: 'bob'});
  await world.run('sendPDataAsVar', {DATA: 'x', ID: 'bob', VAR: 'v'});
  await world.run('runCMD', {CMD: 'pmsg', DATA: 'x', ID: 'bob'});
  await world.run('linkToRooms', {ROOMS: 'red'});
  await world.run('unlinkFromRooms');
  assert.deepEqual(world.socket.take(), []);
});

test('user lists are set, grow and shrink, and hats say who came and left', async () => {
  const world = new World();
  const joined = world.when('whenuserconnects');
  const left = world.when('whenuserdisconnects');
  await world.connect();
  world.socket.receive(set([user('alice'), user('bob')]));
  assert.deepEqual([joined.runs, left.runs], [0, 0]);
  world.socket.receive(add(user('carol')));
  world.socket.receive(add(user('carol')));
  assert.deepEqual(list(world).map(({username}) => username), ['alice', 'bob', 'carol']);
  assert.deepEqual(JSON.parse(world.get('recentlyjoined')), user('carol'));
  world.socket.receive(remove(user('bob')));
  world.socket.receive(remove(user('bob')));
  assert.deepEqual(list(world).map(({username}) => username), ['alice', 'carol']);
  assert.deepEqual(JSON.parse(world.get('recentlyleft')), user('bob'));
  assert.deepEqual([joined.runs, left.runs], [1, 1]);
});

test('two users of one name are two users', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive(set([user('bob', 1)]));
  world.socket.receive(add(user('bob', 2)));
  world.socket.receive(remove(user('bob', 1)));
  assert.deepEqual(list(world), [user('bob', 2)]);
});

test('each room has its own count', async () => {
  const world = new World();
  await world.join('alice');
  world.socket.receive(set([user('alice'), user('bob')], 'red'));
  world.socket.receive(set([user('alice')], 'blue'));
  world.socket.receive(add(user('carol'), 'red'));
  const counts = () => ['red', 'blue', 'green'].map((ROOM) => world.get('countUsers', {ROOM}));
  assert.deepEqual(counts(), [3, 1, 0]);
  assert.deepEqual(list(world), [user('alice'), user('carol')], 'the list of the latest set, and whoever came since');
  world.socket.receive(remove(user('alice'), 'red'));
  assert.deepEqual(counts(), [2, 1, 0]);
});

for (const [description, ID, isHere] of [
  ['a name', 'bob', true],
  ['an id', '7', true],
  ['a uuid', 'u-7', true],
  ['an object with the uuid', '{"uuid": "u-7", "username": "someone else"}', true],
  ['an object with another uuid', '{"uuid": "u-8", "username": "bob"}', false],
  ['an object with id and name', '{"id": 7, "username": "bob"}', true],
  ['an object whose name differs', '{"id": 7, "username": "carol"}', false],
  ['an empty object', '{}', false],
  ['part of a name', 'bo', false],
  ['nothing', '', false],
]) {
  test(`"is here?" understands ${description}`, async () => {
    const world = new World();
    await world.connect();
    world.socket.receive(set([user('bob', 7)]));
    assert.equal(world.get('checkForID', {ID}), isHere);
  });
}

test('CloudLink 3 sends names in one text', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.accept();
  world.socket.receive({cmd: 'ulist', val: 'alice;bob;'});
  assert.deepEqual(list(world), ['alice', 'bob']);
  assert.equal(world.get('checkForID', {ID: 'bob'}), true);
  assert.equal(world.get('countUsers', {ROOM: 'default'}), 2);
});

test('users of CloudLink 0.1.9 have no uuid', async () => {
  const world = new World();
  await world.connect({version: '0.1.9'});
  world.socket.receive(set([{username: 'alice', id: 0}, {username: 'bob', id: 1}]));
  world.socket.receive(remove({username: 'bob', id: 1}));
  assert.deepEqual(list(world), [{username: 'alice', id: 0}]);
  assert.equal(world.get('checkForID', {ID: 0}), true);
});

test('a lost connection empties the lists', async () => {
  const world = new World();
  await world.join('alice', 'red');
  world.socket.receive(set([user('alice')], 'red'));
  world.socket.end();
  assert.deepEqual(list(world), []);
  assert.equal(world.get('countUsers', {ROOM: 'red'}), 0);
  assert.equal(world.get('returnUsernameDataNew'), '');
});
