// Reconnecting: when, how often, and what is restored.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const HATS = ['onConnect', 'onClose', 'whenConnectionLost', 'whenConnectionBack'];

/** A world that reconnects automatically, with counters for the hats of the connection. */
const reconnecting = async () => {
  const world = new World();
  await world.run('setReconnect', {BOOL: 'Enable'});
  const scripts = HATS.map((opcode) => world.when(opcode));
  return {world, runs: () => scripts.map((script) => script.runs)};
};

/** Fail the pending attempts to connect; return the delay before each of them, in milliseconds. */
const delays = async (world, count) => {
  const found = [];
  for (let n = 0; n < count; n++) {
    const before = world.clock.now;
    const sockets = world.sockets.length;
    while (world.sockets.length === sockets) {
      const next = Math.min(...[...world.clock.timers.values()].map(({at}) => at));
      await world.clock.advance(next - world.clock.now);
    }
    found.push(world.clock.now - before);
    world.socket.end();
  }
  return found;
};

for (const [random, factor] of [[0, 0.5], [1, 1]]) {
  test(`with the random number ${random} a retry waits ${factor} of the back-off`, async () => {
    const {world} = await reconnecting();
    world.random = random;
    await world.connect();
    world.socket.end();
    const backOff = [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000];
    assert.deepEqual(await delays(world, 7), backOff.map((delay) => delay * factor));
  });
}

test('failed retries are silent, and so is the link status until one succeeds', async () => {
  const {world, runs} = await reconnecting();
  await world.connect();
  world.socket.end();
  assert.deepEqual(runs(), [1, 1, 1, 0]);
  await delays(world, 5);
  assert.deepEqual(runs(), [1, 1, 1, 0]);
  assert.equal(world.get('getComLostConnectionState'), true);
  assert.equal(world.get('getComFailedConnectionState'), false);
  await world.clock.advance(30_000);
  world.greet();
  assert.deepEqual(runs(), [2, 1, 1, 1]);
});

test('a server that is not there yet is waited for, and nothing counts as lost', async () => {
  const {world, runs} = await reconnecting();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.end();
  assert.equal(world.get('getComFailedConnectionState'), true);
  await delays(world, 3);
  await world.clock.advance(30_000);
  world.greet();
  assert.deepEqual(runs(), [1, 1, 0, 0]);
});

test('a connection that lasts resets the back-off, a short one does not', async () => {
  const {world} = await reconnecting();
  world.random = 1;
  await world.connect();
  world.socket.end();
  await delays(world, 2);
  await world.clock.advance(4000);
  world.greet();
  await world.clock.advance(10_000);
  world.socket.end();
  assert.deepEqual(await delays(world, 1), [8000]);
  await world.clock.advance(16_000);
  world.greet();
  await world.clock.advance(10_001);
  world.socket.end();
  assert.deepEqual(await delays(world, 1), [1000]);
});

test('name and rooms are restored before anything else is sent', async () => {
  const {world, runs} = await reconnecting();
  await world.join('alice', 'red', 'blue');
  world.socket.end();
  await world.run('sendPData', {DATA: 'meanwhile', ID: 'bob'});
  await world.run('setMyName', {NAME: 'not alice'});
  await world.clock.advance(1000);
  world.greet();
  assert.deepEqual(world.socket.take(), [{cmd: 'setid', val: 'alice', listener: 'username_cfg'}]);
  world.acceptName('alice');
  assert.deepEqual(world.socket.take(), [{cmd: 'link', val: ['red', 'blue'], listener: 'link'}]);
  assert.deepEqual(runs(), [2, 1, 1, 0]);
  world.answer('link');
  assert.deepEqual(world.socket.take(), [{cmd: 'pmsg', val: 'meanwhile', id: 'bob'}]);
  assert.deepEqual(runs(), [2, 1, 1, 1]);
  assert.equal(world.get('returnUsernameDataNew'), 'alice');
  assert.equal(world.get('getRoomState'), true);
});

test('what was requested and not answered yet is restored too', async () => {
  const {world} = await reconnecting();
  await world.connect();
  await world.run('setMyName', {NAME: 'alice'});
  await world.run('linkToRooms', {ROOMS: 'red'});
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  world.acceptName('alice');
  assert.deepEqual(world.socket.take().map(({val}) => val), ['alice', ['red']]);
});

test('rooms that were left are not entered again', async () => {
  const {world, runs} = await reconnecting();
  await world.join('alice', 'red');
  await world.run('unlinkFromRooms');
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  world.acceptName('alice');
  assert.deepEqual(world.socket.take().map(({cmd}) => cmd), ['setid']);
  assert.deepEqual(runs(), [2, 1, 1, 1]);
});

test('a connection that is lost again during the restoring is restored as a whole', async () => {
  const {world} = await reconnecting();
  await world.join('alice', 'red');
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  world.socket.end(); // before the answer to the name
  await world.clock.advance(2000);
  world.greet();
  world.acceptName('alice');
  assert.deepEqual(world.socket.take().map(({val}) => val), ['alice', ['red']]);
});

test('a name that the server still holds is asked for every 3 seconds for a minute', async () => {
  const {world, runs} = await reconnecting();
  await world.join('alice');
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  for (let n = 1; n < 20; n++) {
    assert.equal(world.socket.take().length, 1);
    world.answer('username_cfg', {code: 'E:112 | ID conflict'});
    await world.clock.advance(2999);
    assert.equal(world.socket.take().length, 0);
    await world.clock.advance(1);
  }
  assert.equal(world.socket.take().length, 1);
  world.answer('username_cfg', {code: 'E:112 | ID conflict'});
  await world.clock.advance(10_000);
  assert.equal(world.socket.take().length, 0);
  assert.deepEqual(runs(), [2, 1, 1, 1], 'the project goes on, without the name');
  assert.equal(world.get('getUsernameState'), false);
});

test('disconnecting while the name is asked for again ends that', async () => {
  const {world} = await reconnecting();
  await world.join('alice');
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  world.answer('username_cfg', {code: 'E:112 | ID conflict'});
  await world.run('closeSocket');
  world.socket.end(1000);
  await world.connect();
  await world.clock.advance(10_000);
  assert.deepEqual(world.socket.take(), []);
});

test('a name that is refused for another reason is not asked for again', async () => {
  const {world, runs} = await reconnecting();
  await world.join('alice');
  world.socket.end();
  await world.clock.advance(1000);
  world.greet();
  world.socket.take();
  world.answer('username_cfg', {code: 'E:108 | Refused'});
  await world.clock.advance(10_000);
  assert.deepEqual(world.socket.take(), []);
  assert.deepEqual(runs(), [2, 1, 1, 1]);
});

test('of a variable only the latest value waits, messages keep their order', async () => {
  const {world} = await reconnecting();
  await world.connect();
  world.socket.end();
  await world.run('sendGDataAsVar', {VAR: 'x', DATA: 'old'});
  await world.run('sendGData', {DATA: 1});
  await world.run('sendGDataAsVar', {VAR: 'y', DATA: 'y'});
  await world.run('sendGData', {DATA: 2});
  await world.run('sendGDataAsVar', {VAR: 'x', DATA: 'new'});
  await world.clock.advance(1000);
  world.greet();
  assert.deepEqual(world.socket.take().map(({val}) => val), [1, 'y', 2, 'new']);
});

test('200 packets wait at most; the oldest messages go, names and rooms stay', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  await world.run('setMyName', {NAME: 'alice'});
  await world.run('linkToRooms', {ROOMS: 'red'});
  for (let n = 0; n < 300; n++) world.get('sendGData', {DATA: n});
  world.greet();
  const sent = world.socket.take();
  assert.deepEqual(sent.slice(0, 2).map(({cmd}) => cmd), ['setid', 'link']);
  assert.deepEqual(sent.slice(2).map(({val}) => val), Array.from({length: 198}, (_, n) => n + 102));
});

test('what was received outlives a lost connection, and goes with a given-up one', async () => {
  const {world} = await reconnecting();
  await world.connect();
  world.socket.receive({cmd: 'gvar', name: 'x', val: 7});
  world.socket.end();
  assert.equal(world.get('returnVarData', {TYPE: 'Global variables', VAR: 'x'}), '7');
  await world.run('closeSocket');
  assert.equal(world.get('returnVarData', {TYPE: 'Global variables', VAR: 'x'}), '');
});

for (const [description, opcode, args] of [
  ['disconnecting', 'closeSocket', {}],
  ['switching the block off', 'setReconnect', {BOOL: 'Disable'}],
]) {
  test(`${description} ends the retries`, async () => {
    const {world} = await reconnecting();
    await world.connect();
    world.socket.end();
    await world.run(opcode, args);
    await world.run('sendGData', {DATA: 'nowhere'});
    await world.clock.advance(120_000);
    assert.equal(world.sockets.length, 1);
    await world.connect();
    assert.deepEqual(world.socket.take(), []);
  });
}

test('without the block a lost connection stays lost', async () => {
  const world = new World();
  const [lost, closed] = ['whenConnectionLost', 'onClose'].map((opcode) => world.when(opcode));
  await world.join('alice');
  world.socket.receive({cmd: 'gmsg', val: 'x'});
  world.socket.end();
  await world.clock.advance(120_000);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual([lost.runs, closed.runs], [1, 1]);
  assert.equal(world.get('returnGlobalData'), '');
  assert.equal(world.get('getComLostConnectionState'), true);
});

test('the block "connect" during the wait connects at once, and restores', async () => {
  const {world} = await reconnecting();
  await world.join('alice');
  world.socket.end();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  assert.equal(world.sockets.length, 2);
  world.greet();
  assert.deepEqual(world.socket.take().map(({val}) => val), ['alice']);
  await world.clock.advance(9000);
  assert.equal(world.sockets.length, 2);
});

test('connecting to another server restores nothing', async () => {
  const {world} = await reconnecting();
  await world.join('alice');
  world.socket.receive({cmd: 'gmsg', val: 'x'});
  world.socket.end();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:4000/'});
  world.greet();
  assert.deepEqual(world.socket.take(), []);
  assert.equal(world.get('returnGlobalData'), '');
});

test('a server that has fallen silent is asked for a sign, and given up without one', async () => {
  const {world} = await reconnecting();
  await world.connect();
  await world.clock.advance(15_000);
  assert.deepEqual(world.socket.take(), []);
  await world.clock.advance(5000);
  assert.deepEqual(world.socket.take(), [{cmd: 'ping', listener: 'ping_cfg'}]);
  await world.clock.advance(10_000);
  assert.equal(world.sockets.length, 1);
  assert.equal(world.get('getComState'), true);
  await world.clock.advance(5000);
  assert.equal(world.get('getComLostConnectionState'), true);
  await world.clock.advance(1000);
  assert.equal(world.sockets.length, 2);
});

test('any packet is a sign of life', async () => {
  const {world} = await reconnecting();
  await world.connect();
  for (let n = 0; n < 10; n++) {
    await world.clock.advance(20_000);
    world.socket.receive({cmd: 'gmsg', val: n});
  }
  assert.equal(world.sockets.length, 1);
  assert.equal(world.get('getComState'), true);
});

test('servers that do not know the command are not asked', async () => {
  const {world} = await reconnecting();
  await world.connect({version: '0.1.9'});
  await world.clock.advance(300_000);
  assert.deepEqual(world.socket.take(), []);
  assert.equal(world.get('getComState'), true);
});

test('without the block nobody is asked', async () => {
  const world = new World();
  await world.connect();
  await world.clock.advance(300_000);
  assert.deepEqual(world.socket.take(), []);
});

// Servers that closed with one of these codes may be back soon: going away, an error, restarting, too busy.
for (const code of [1000, 1001, 1006, 1007, 1009, 1011, 1012, 1013, 3000, 3999, 4100, 4999]) {
  test(`after the close code ${code} the extension reconnects`, async () => {
    const {world} = await reconnecting();
    await world.connect();
    world.socket.end(code, 'back soon');
    assert.equal(world.get('returnStatusCode'), '');
    await world.clock.advance(1000);
    assert.equal(world.sockets.length, 2);
  });
}

for (const code of [1008, 4000, 4004, 4099]) {
  test(`the close code ${code} is final: the status code says why, and the extension stays away`, async () => {
    const {world, runs} = await reconnecting();
    const said = [];
    world.scripts.push({opcode: 'onClose', args: {}, set runs(_) {
      said.push(world.get('returnStatusCode'));
    }});
    await world.join('alice', 'red');
    world.socket.end(code, 'You were kicked: spam');
    assert.deepEqual(said, [`E:${code} | You were kicked: spam`], 'known when the hat starts');
    assert.deepEqual(runs(), [1, 1, 1, 0]);
    await world.run('sendGData', {DATA: 'nowhere'});
    await world.clock.advance(600_000);
    assert.equal(world.sockets.length, 1);
    assert.equal(world.get('returnStatusCode'), `E:${code} | You were kicked: spam`);
    assert.equal(world.get('returnIsNewData', {TYPE: 'Status code'}), false);

    await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
    assert.equal(world.get('returnStatusCode'), '');
    world.greet();
    assert.deepEqual(world.socket.take(), [], 'the name is not restored');
    world.socket.end();
    await world.clock.advance(1000);
    assert.equal(world.sockets.length, 3, 'and other ends are followed by a retry again');
  });
}

test('a server that refuses before the greeting is final too, also during a retry', async () => {
  const {world, runs} = await reconnecting();
  await world.join('alice');
  world.socket.end();
  await world.clock.advance(1000);
  world.socket.accept();
  world.socket.end(4004, 'You are banned: spam');
  await world.clock.advance(600_000);
  assert.equal(world.sockets.length, 2);
  assert.equal(world.get('returnStatusCode'), 'E:4004 | You are banned: spam');
  assert.deepEqual(runs(), [1, 2, 1, 0]);

  const first = new World();
  await first.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  first.socket.accept();
  first.socket.end(4004, 'You are banned: spam');
  assert.equal(first.get('getComFailedConnectionState'), true);
  assert.equal(first.get('returnStatusCode'), 'E:4004 | You are banned: spam');
});

test('a final code without a reason is reported as refused', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive({cmd: 'statuscode', code: 'E:103 | ID not found'});
  world.socket.end(1008);
  assert.equal(world.get('returnStatusCode'), 'E:1008 | Refused');
});

test('a connection that the project closes has no reason, whatever the server answers', async () => {
  const world = new World();
  await world.connect();
  await world.run('closeSocket');
  world.socket.end(4004, 'You were kicked');
  assert.equal(world.get('returnStatusCode'), '');
});

test('another project does not see why the one before was refused', async () => {
  const world = new World();
  await world.connect();
  world.socket.end(4004, 'You were kicked');
  world.runtime.emit('RUNTIME_DISPOSED');
  assert.equal(world.get('returnStatusCode'), '');
});
