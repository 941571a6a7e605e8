// Kicks, bans and mutes as those learn of them whom they hit, and the blocks of a moderator.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const HATS = ['whenKicked', 'whenBanned', 'whenMuted'];
const refused = (details, listener) => ({cmd: 'statuscode', code: 'E:108 | Refused', code_id: 108, details, listener});

/** A world in which the hats note the reason. */
const noting = () => {
  const world = new World();
  const noted = [];
  for (const opcode of HATS) world.when(opcode, {}, () => noted.push([opcode, world.get('sanctionReason')]));
  return {world, noted};
};

for (const [sentence, opcode, reason] of [
  ['You were kicked: spam', 'whenKicked', 'spam'],
  ['You were kicked', 'whenKicked', ''],
  ['You are banned until 2026-01-31 18:00 UTC: rude: twice', 'whenBanned', 'rude: twice'],
  ['You are banned until 2026-01-31 18:00 UTC', 'whenBanned', ''],
  ['You are banned: for ever', 'whenBanned', 'for ever'],
]) {
  test(`closed with 4004: ${sentence}`, async () => {
    const {world, noted} = noting();
    await world.run('setReconnect', {BOOL: 'Enable'});
    await world.connect();
    world.socket.end(4004, sentence);
    assert.deepEqual(noted, [[opcode, reason]]);
    assert.equal(world.get('returnStatusCode'), `E:4004 | ${sentence}`);
    await world.clock.advance(600000);
    assert.equal(world.sockets.length, 1);
  });
}

test('a banned player who tries to connect learns it before any greeting', async () => {
  const {world, noted} = noting();
  await world.run('openSocket', {IP: 'ws://game.example/'});
  world.socket.accept();
  world.socket.end(4004, 'You are banned: spam');
  assert.deepEqual(noted, [['whenBanned', 'spam']]);
});

for (const [code, reason] of [[4004, 'Closed'], [1008, 'Too much was sent for too long'], [1001, 'You were kicked: no'], [4004, '']]) {
  test(`closed with ${code} (${reason}): none of the hats`, async () => {
    const {world, noted} = noting();
    await world.connect();
    world.socket.end(code, reason);
    assert.deepEqual(noted, []);
    assert.equal(world.get('sanctionReason'), '');
  });
}

test('a mute is told once, however many messages are refused, and a new one again', async () => {
  const {world, noted} = noting();
  await world.connect();
  const first = 'You are muted until 2026-01-31 18:00 UTC: shouting';
  world.socket.receive(refused(first));
  world.socket.receive(refused(first));
  world.socket.receive(refused('This room is quiet.'));
  world.socket.receive(refused({val: ['You are muted']}));
  world.socket.receive(refused('You are muted until 2026-01-31 19:00 UTC'));
  assert.deepEqual(noted, [['whenMuted', 'shouting'], ['whenMuted', '']]);
  assert.equal(world.get('returnStatusCode'), 'E:108 | Refused');
});

test('moderators send their actions, with ids where the input is one', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive({cmd: 'ulist', mode: 'set', rooms: 'default', val: [{username: 'bob', id: '7', uuid: 'u-7'}]});
  await world.run('kickUser', {ID: 'bob', REASON: 'spam'});
  await world.run('kickUser', {ID: '7', REASON: ''});
  await world.run('kickUser', {ID: '{"username":"bob","id":"7","uuid":"u-7"}', REASON: 5});
  await world.run('muteUser', {ID: 'bob', SECONDS: '60', REASON: 'spam'});
  await world.run('muteUser', {ID: 'u-7', SECONDS: 60, REASON: 'spam'});
  await world.run('lockRoom', {ROOM: 'arena', BOOL: 'Enable'});
  await world.run('createListener', {ID: 'mine'});
  await world.run('quietRoom', {ROOM: 5, BOOL: 'Disable'});
  const moderate = (method, params) => ({cmd: 'moderate', val: {method, params}});
  assert.deepEqual(world.socket.take(), [
    moderate('clients.kick', {name: 'bob', reason: 'spam'}),
    moderate('clients.kick', {id: '7', reason: ''}),
    moderate('clients.kick', {id: '7', reason: '5'}),
    moderate('mutes.add', {target: {name: 'bob'}, seconds: 60, reason: 'spam'}),
    moderate('mutes.add', {target: {client: '7'}, seconds: 60, reason: 'spam'}),
    moderate('rooms.set', {name: 'arena', locked: true}),
    {...moderate('rooms.set', {name: '5', frozen: false}), listener: 'mine'},
  ]);
});

test('whether one may moderate is asked while the block is used, every five seconds', async () => {
  const world = new World();
  assert.equal(world.get('mayModerate'), false);
  await world.connect();
  const question = {cmd: 'moderate', val: {}, listener: 'moderate_cfg'};
  assert.equal(world.get('mayModerate'), false);
  assert.equal(world.get('mayModerate'), false);
  assert.deepEqual(world.socket.take(), [question]);
  world.socket.receive(refused('A request needs a method.', 'moderate_cfg'));
  assert.equal(world.get('mayModerate'), true);
  await world.clock.advance(5000);
  assert.equal(world.get('mayModerate'), true);
  assert.deepEqual(world.socket.take(), [question]);
  world.socket.receive({cmd: 'statuscode', code: 'E:109 | Invalid command', code_id: 109, listener: 'moderate_cfg'});
  assert.equal(world.get('mayModerate'), false);
  assert.equal(world.get('returnStatusCode'), ''); // the questions are not the project's
});

test('the right to moderate is gone with the connection', async () => {
  const world = new World();
  await world.connect();
  world.get('mayModerate');
  world.socket.receive(refused('A request needs a method.', 'moderate_cfg'));
  assert.equal(world.get('mayModerate'), true);
  world.socket.end(1006);
  assert.equal(world.get('mayModerate'), false);
  await world.connect();
  assert.equal(world.get('mayModerate'), false);
});
