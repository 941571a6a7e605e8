// Connecting, the greeting, disconnecting.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World, settle} = require('./world.cjs');

const [IDLE, CONNECTING, CONNECTED, CLOSED, FAILED] = ['0', '1', '2', '3', '4'];

test('nothing is opened before a block asks for it', async () => {
  const world = new World();
  await world.clock.advance(60_000);
  assert.equal(world.sockets.length, 0);
  assert.equal(world.get('returnLinkData'), IDLE);
  assert.equal(world.get('getComState'), false);
  assert.equal(world.get('returnUserObject'), '{}');
});

test('the handshake is the first packet', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  assert.equal(world.get('returnLinkData'), CONNECTING);
  world.socket.accept();
  assert.deepEqual(world.socket.take(), [{
    cmd: 'handshake',
    val: {language: 'Scratch', version: {editorType: 'TurboWarp', versionNumber: 3}},
    listener: 'handshake_cfg',
  }]);
  assert.equal(world.get('returnLinkData'), CONNECTING);
});

for (const [options, name] of [[{penguinMod: true}, 'PenguinMod'], [{sandboxed: true}, 'Scratch'], [{}, 'TurboWarp']]) {
  test(`${name} is named in the handshake`, async () => {
    const world = new World(options);
    await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
    world.socket.accept();
    assert.equal(world.socket.take()[0].val.version.editorType, name);
    assert.equal(world.get('returnVersionData'), `${name} 1.0.0`);
  });
}

test('the greeting makes the connection', async () => {
  const world = new World();
  const connected = world.when('onConnect');
  await world.connect();
  assert.equal(world.get('returnLinkData'), CONNECTED);
  assert.equal(connected.runs, 1);
  assert.equal(world.get('returnServerVersion'), '0.2.0');
  assert.equal(world.get('returnMOTD'), 'Welcome!');
  assert.equal(world.get('returnClientIP'), '127.0.0.1');
  assert.deepEqual(JSON.parse(world.get('returnUserObject')), {id: '1', uuid: 'u1'});
  assert.equal(world.get('returnStatusCode'), '', 'answers to the extension itself are not shown');
});

test('a second greeting changes nothing', async () => {
  const world = new World();
  const connected = world.when('onConnect');
  await world.connect();
  world.socket.receive({cmd: 'server_version', val: '0.2.9'});
  assert.equal(connected.runs, 1);
  assert.equal(world.get('returnServerVersion'), '0.2.0');
});

test('the greeting of CloudLink 3 makes the connection too', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.accept();
  world.socket.receive({cmd: 'direct', val: {cmd: 'motd', val: 'Hello!'}});
  world.socket.receive({cmd: 'direct', val: {cmd: 'vers', val: '0.1.7'}});
  assert.equal(world.get('returnLinkData'), CONNECTED);
  assert.equal(world.get('returnMOTD'), 'Hello!');
  assert.equal(world.get('returnServerVersion'), '0.1.7');
});

test('two connects open one socket', async () => {
  const world = new World();
  await Promise.all([world.run('openSocket', {IP: 'ws://a/'}), world.run('openSocket', {IP: 'ws://b/'})]);
  assert.equal(world.sockets.length, 1);
  world.greet();
  await world.run('openSocket', {IP: 'ws://b/'});
  assert.equal(world.sockets.length, 1);
});

test('a server that does not greet within 15 seconds is given up', async () => {
  const world = new World();
  const closed = world.when('onClose');
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.accept();
  await world.clock.advance(14_999);
  assert.equal(world.get('returnLinkData'), CONNECTING);
  await world.clock.advance(1);
  assert.equal(world.get('returnLinkData'), FAILED);
  assert.equal(world.get('getComFailedConnectionState'), true);
  assert.equal(world.get('getComLostConnectionState'), false);
  assert.equal(world.socket.readyState, 2);
  assert.equal(closed.runs, 1);
});

test('disconnecting waits for the server to agree', async () => {
  const world = new World();
  const closed = world.when('onClose');
  const lost = world.when('whenConnectionLost');
  await world.connect();
  await world.run('closeSocket');
  assert.equal(world.socket.closedWith, 1000);
  assert.equal(world.get('getComState'), false);
  assert.equal(closed.runs, 0);
  world.socket.end(1000);
  assert.equal(world.get('returnLinkData'), CLOSED);
  assert.deepEqual([closed.runs, lost.runs], [1, 0]);
});

test('disconnecting waits no longer than 2 seconds', async () => {
  const world = new World();
  const closed = world.when('onClose');
  await world.connect();
  await world.run('closeSocket');
  await world.run('closeSocket');
  await world.clock.advance(1999);
  assert.equal(closed.runs, 0);
  await world.clock.advance(1);
  assert.equal(world.get('returnLinkData'), CLOSED);
  world.socket.end(1000);
  assert.equal(closed.runs, 1);
});

test('after disconnecting nothing is received', async () => {
  const world = new World();
  await world.connect();
  await world.run('closeSocket');
  world.socket.receive({cmd: 'gmsg', val: 'late'});
  assert.equal(world.get('returnGlobalData'), '');
});

test('a socket that opens after it was closed sends nothing', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  await world.run('closeSocket');
  world.socket.accept();
  assert.deepEqual(world.socket.take(), []);
  await world.clock.advance(60_000);
  assert.equal(world.get('returnLinkData'), CLOSED);
});

test('connecting right after disconnecting ignores the old socket', async () => {
  const world = new World();
  const closed = world.when('onClose');
  const old = await world.connect();
  await world.run('closeSocket');
  await world.connect();
  old.receive({cmd: 'gmsg', val: 'late'});
  old.end(1000);
  await world.clock.advance(10_000);
  assert.equal(world.get('returnLinkData'), CONNECTED);
  assert.equal(world.get('returnGlobalData'), '');
  assert.equal(closed.runs, 1);
  assert.equal(world.sockets.length, 2);
});

test('disconnecting before the socket exists opens none', async () => {
  const world = new World();
  let allow;
  world.permission = () => new Promise((resolve) => (allow = resolve));
  const opening = world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  await settle();
  await world.run('closeSocket');
  assert.equal(world.get('returnLinkData'), CLOSED);
  allow(true);
  await opening;
  assert.equal(world.sockets.length, 0);
});

for (const [text, url] of [
  ['example.com', 'wss://example.com'],
  [' ws://a:1/ ', 'ws://a:1/'],
  ['http://a/', 'ws://a/'],
  ['HTTP://a/', 'ws://a/'],
  ['https://a/', 'wss://a/'],
  ['localhost:3000', 'ws://localhost:3000'],
  ['127.0.0.1', 'ws://127.0.0.1'],
  ['[::1]:3000', 'ws://[::1]:3000'],
]) {
  test(`the address "${text}" means ${url}`, async () => {
    const world = new World();
    await world.run('openSocket', {IP: text});
    assert.equal(world.socket.url, url);
  });
}

for (const url of ['', 'ftp://a/', 'no address', 'ws://']) {
  test(`the address "${url}" fails`, async () => {
    const world = new World();
    const closed = world.when('onClose');
    await world.run('setReconnect', {BOOL: 'Enable'});
    await world.run('openSocket', {IP: url});
    assert.equal(world.get('getComFailedConnectionState'), true);
    await world.clock.advance(120_000);
    assert.equal(world.sockets.length, 0);
    assert.equal(closed.runs, 1);
  });
}

for (const [name, permission] of [
  ['refused', () => false],
  ['impossible to ask for', () => Promise.reject(new Error('no'))],
]) {
  test(`a permission that is ${name} is a failure that is not tried again`, async () => {
    const world = new World();
    world.permission = permission;
    await world.run('setReconnect', {BOOL: 'Enable'});
    await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
    assert.equal(world.get('getComFailedConnectionState'), true);
    world.permission = () => true;
    await world.clock.advance(120_000);
    assert.equal(world.sockets.length, 0);
  });
}

test('the list of servers has this computer only', async () => {
  const world = new World();
  assert.deepEqual(JSON.parse(world.get('returnServerList')), {0: {id: 'Localhost', url: 'ws://127.0.0.1:3000/'}});
  await world.run('openSocketPublicServers', {ID: 0});
  assert.equal(world.socket.url, 'ws://127.0.0.1:3000/');
  const other = new World();
  await other.run('openSocketPublicServers', {ID: 'constructor'});
  assert.equal(other.sockets.length, 0);
});

test('another project starts without a connection and without its data', async () => {
  const world = new World();
  const socket = await world.join('alice', 'red');
  await world.run('setReconnect', {BOOL: 'Enable'});
  await world.run('setPace', {RATE: 1});
  socket.receive({cmd: 'gmsg', val: 'x'});
  world.runtime.emit('RUNTIME_DISPOSED');
  assert.equal(world.get('returnLinkData'), IDLE);
  assert.equal(world.get('returnGlobalData'), '');
  assert.equal(world.get('getUsernameState'), false);
  assert.equal(socket.readyState, 2);
  await world.clock.advance(120_000);
  assert.equal(world.sockets.length, 1);
  assert.deepEqual([...world.clock.timers.values()].filter(({period}) => period !== null), []);
});

test('the round-trip time is that of the last ping, and is measured while it is read', async () => {
  const world = new World();
  await world.connect();
  assert.deepEqual(world.socket.take(), []);
  assert.equal(world.get('roundTripTime'), '');
  assert.deepEqual(world.socket.take(), [{cmd: 'ping', listener: 'ping_cfg'}]);
  await world.clock.advance(40);
  world.answer('ping_cfg');
  assert.equal(world.get('roundTripTime'), 40);
  assert.deepEqual(world.socket.take(), [], 'one ping in 2 seconds');
  await world.clock.advance(2000);
  assert.equal(world.get('roundTripTime'), 40);
  await world.clock.advance(500);
  assert.equal(world.get('roundTripTime'), 500, 'an answer that is late counts for as long as it is');
  assert.equal(world.socket.take().length, 1);
  assert.equal(world.get('readQueueSize', {TYPE: 'All data'}), 0);
});

test('packets are logged only when wanted', async () => {
  const world = new World();
  await world.connect();
  await world.run('changeLogToConsole', {BOOL: 'Enable'});
  await world.run('sendGData', {DATA: 'hello'});
  world.socket.receive({cmd: 'gmsg', val: 'hi'});
  await world.run('changeLogToConsole', {BOOL: 'Disable'});
  world.socket.receive({cmd: 'gmsg', val: 'silent'});
  assert.deepEqual(world.console, [
    'CloudLink sends {"cmd":"gmsg","val":"hello"}',
    'CloudLink receives {"cmd":"gmsg","val":"hi"}',
  ]);
});

test('in a sandbox a hat is true for a tenth of a second, for what matches', async () => {
  const world = new World({sandboxed: true});
  await world.connect();
  world.socket.receive({cmd: 'gvar', name: 'x', val: 1});
  const [mine, other] = ['x', 'y'].map((VAR) => ({TYPE: 'Global variables', VAR}));
  await world.clock.advance(99);
  assert.equal(world.get('onConnect'), true);
  assert.equal(world.get('onNewVar', mine), true);
  assert.equal(world.get('onNewVar', other), false);
  assert.equal(world.get('onNewPacket', {TYPE: 'Global variables'}), true);
  assert.equal(world.get('onNewPacket', {TYPE: 'Global data'}), false);
  await world.clock.advance(1);
  assert.equal(world.get('onNewVar', mine), false);
});

test('a script that throws harms nothing', async () => {
  const world = new World();
  await world.connect();
  const {startHats} = world.runtime;
  world.runtime.startHats = () => {
    throw new Error('no');
  };
  world.socket.receive({cmd: 'gmsg', val: 1});
  world.runtime.startHats = startHats;
  const received = world.when('onNewPacket', {TYPE: 'Global data'});
  world.socket.receive({cmd: 'gmsg', val: 2});
  assert.equal(received.runs, 1);
  assert.equal(world.get('returnGlobalData'), '2');
  assert.match(world.console[0], /^A script of the project failed/);
});
