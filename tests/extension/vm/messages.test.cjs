// Messages, values as they are typed, listeners, flags and queues.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const {World} = require('./world.cjs');

const GLOBAL = {TYPE: 'Global data'};
const DEEP = '['.repeat(1000) + ']'.repeat(1000);

test('without a connection nothing is sent, then or later', async () => {
  const world = new World();
  await world.run('sendGData', {DATA: 'x'});
  await world.connect();
  assert.deepEqual(world.socket.take(), []);
});

test('what is sent while connecting follows the greeting in order', async () => {
  const world = new World();
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  for (const DATA of [1, 2, 3]) await world.run('sendGData', {DATA});
  world.greet();
  assert.deepEqual(world.socket.take().map(({val}) => val), [1, 2, 3]);
});

test('each block sends its packet', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('sendGData', {DATA: 'a'});
  await world.run('sendPData', {DATA: 'b', ID: 'bob'});
  await world.run('sendGDataAsVar', {DATA: 'c', VAR: 'v'});
  await world.run('sendPDataAsVar', {DATA: 'd', ID: 'bob', VAR: 'v'});
  await world.run('runCMD', {CMD: 'direct', DATA: 'e', ID: '2'});
  await world.run('runCMDnoID', {CMD: 'dance', DATA: 'f'});
  assert.deepEqual(world.socket.take(), [
    {cmd: 'gmsg', val: 'a'},
    {cmd: 'pmsg', val: 'b', id: 'bob'},
    {cmd: 'gvar', name: 'v', val: 'c'},
    {cmd: 'pvar', name: 'v', val: 'd', id: 'bob'},
    {cmd: 'direct', id: '2', val: 'e'},
    {cmd: 'dance', val: 'f'},
  ]);
});

test('messages and variables for others leave out their sender', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('sendGDataToOthers', {DATA: '{"x": 1}'});
  await world.run('sendGDataAsVarToOthers', {DATA: '5', VAR: 'v'});
  const id = {except: 'me'};
  assert.deepEqual(world.socket.take(), [
    {cmd: 'gmsg', val: {x: 1}, id},
    {cmd: 'gvar', name: 'v', val: 5, id},
  ]);
});

test('messages for others go to the selected rooms, with the listener', async () => {
  const world = new World();
  await world.join('alice', 'den', 'hall');
  await world.run('selectRoomsInNextPacket', {ROOMS: 'den'});
  await world.run('createListener', {ID: 'sent'});
  await world.run('sendGDataToOthers', {DATA: 'hi'});
  assert.deepEqual(world.socket.take(), [
    {cmd: 'gmsg', val: 'hi', id: {except: 'me'}, rooms: ['den'], listener: 'sent'},
  ]);
});

for (const [typed, sent] of [
  ['12', 12],
  ['1.5', 1.5],
  [' 7 ', 7],
  ['0123', '0123'],
  ['true', true],
  [true, true],
  ['', ''],
  ['null', 'null'],
  ['NaN', 'NaN'],
  ['1e400', '1e400'],
  ['9007199254740993', '9007199254740993'],
  ['"quoted"', 'quoted'],
  ['{"a": [1, null]}', {a: [1, null]}],
  ['ümläut 🐧', 'ümläut 🐧'],
]) {
  test(`${JSON.stringify(typed)} is sent as ${JSON.stringify(sent)}`, async () => {
    const world = new World();
    await world.connect();
    await world.run('sendGData', {DATA: typed});
    assert.deepEqual(world.socket.take(), [{cmd: 'gmsg', val: sent}]);
  });
}

for (const [typed, id] of [
  ['bob', 'bob'],
  ['5', '5'],
  ['{"username": "bob", "id": "7"}', '7'],
  ['{"username": "bob", "id": "7", "uuid": "u-7"}', 'u-7'],
  ['["bob", 5, {"uuid": "u-7"}]', ['bob', '5', 'u-7']],
  ['{', '{'],
]) {
  test(`the recipient ${typed} is ${JSON.stringify(id)}`, async () => {
    const world = new World();
    await world.join('alice');
    await world.run('sendPData', {DATA: 'x', ID: typed});
    assert.deepEqual(world.socket.take()[0].id, id);
  });
}

for (const [received, reported] of [
  ['text', 'text'],
  [12, '12'],
  [true, 'true'],
  [null, 'null'],
  [{a: [1, null]}, '{"a":[1,null]}'],
  [undefined, ''],
]) {
  test(`${JSON.stringify(received)} is reported as ${JSON.stringify(reported)}`, async () => {
    const world = new World();
    await world.connect();
    world.socket.receive({cmd: 'gmsg', val: received});
    assert.equal(world.get('returnGlobalData'), reported);
  });
}

test('a direct message of null is empty', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive({cmd: 'direct', val: null});
  assert.equal(world.get('returnDirectData'), '');
});

test('what arrives before the greeting is stored, and starts no hat', async () => {
  const world = new World();
  const hats = [world.when('onNewPacket', {TYPE: 'Global variables'}), world.when('onListener', {ID: 'mine'}),
    world.when('onNewVar', {TYPE: 'Global variables', VAR: 'x'})];
  await world.run('openSocket', {IP: 'ws://127.0.0.1:3000/'});
  world.socket.accept();
  world.socket.receive({cmd: 'gvar', name: 'x', val: 1, listener: 'mine'});
  assert.deepEqual(hats.map(({runs}) => runs), [0, 0, 0]);
  assert.equal(world.get('returnVarData', {TYPE: 'Global variables', VAR: 'x'}), '1');
});

test('each kind of message has its reporter, hat, flag and queue', async () => {
  const kinds = {
    'Global data': ['gmsg', 'returnGlobalData'],
    'Private data': ['pmsg', 'returnPrivateData'],
    'Direct data': ['direct', 'returnDirectData'],
  };
  for (const [TYPE, [cmd, reporter]] of Object.entries(kinds)) {
    const world = new World();
    await world.connect();
    const scripts = Object.keys(kinds).map((each) => world.when('onNewPacket', {TYPE: each}));
    world.socket.receive({cmd, val: 'x'});
    assert.equal(world.get(reporter), 'x');
    assert.deepEqual(scripts.map(({args, runs}) => [args.TYPE, runs]),
      Object.keys(kinds).map((each) => [each, each === TYPE ? 1 : 0]));
    assert.equal(world.get('returnIsNewData', {TYPE}), true);
    await world.run('resetNewData', {TYPE});
    assert.equal(world.get('returnIsNewData', {TYPE}), false);
    assert.equal(world.get('readQueueSize', {TYPE}), 1);
    assert.equal(world.get('readQueueSize', {TYPE: 'All data'}), 1);
  }
});

test('the shorter menu values of CloudLink 3 are understood', async () => {
  const world = new World();
  await world.connect();
  world.socket.receive({cmd: 'gmsg', val: 'x'});
  world.socket.receive({cmd: 'gvar', name: 'v', val: 'y'});
  world.socket.receive({cmd: 'statuscode', code: 'I:1 | Echo'});
  assert.equal(world.get('returnIsNewData', {TYPE: 'Global'}), true);
  assert.equal(world.get('returnIsNewData', {TYPE: 'Status Code'}), true);
  assert.equal(world.get('returnVarData', {TYPE: 'Global', VAR: 'v'}), 'y');
  assert.equal(world.get('returnIsNewData', {TYPE: 'nonsense'}), false);
});

test('status codes are reported, of CloudLink 4 and 3', async () => {
  const world = new World();
  const hat = world.when('onNewPacket', {TYPE: 'Status code'});
  await world.connect();
  world.socket.receive({cmd: 'statuscode', code: 'E:103 | ID not found', code_id: 103});
  assert.equal(world.get('returnStatusCode'), 'E:103 | ID not found');
  world.socket.receive({cmd: 'statuscode', val: 'I:100 | OK'});
  assert.equal(world.get('returnStatusCode'), 'I:100 | OK');
  assert.equal(hat.runs, 2);
});

test('a listener goes with one packet, and its answer starts its hat', async () => {
  const world = new World();
  await world.connect();
  const [mine, other] = ['mine', 'other'].map((ID) => world.when('onListener', {ID}));
  await world.run('createListener', {ID: 'mine'});
  await world.run('createListener', {ID: 'ignored'});
  await world.run('sendGData', {DATA: 'a'});
  await world.run('sendGData', {DATA: 'b'});
  assert.deepEqual(world.socket.take(), [{cmd: 'gmsg', val: 'a', listener: 'mine'}, {cmd: 'gmsg', val: 'b'}]);
  world.socket.receive({cmd: 'gmsg', val: 'a', listener: 'mine'});
  assert.deepEqual([mine.runs, other.runs], [1, 0]);
  assert.deepEqual(JSON.parse(world.get('returnListenerData', {ID: 'mine'})), {cmd: 'gmsg', val: 'a', listener: 'mine'});
  assert.equal(world.get('returnIsNewListener', {ID: 'mine'}), true);
  await world.run('resetNewListener', {ID: 'mine'});
  assert.equal(world.get('returnIsNewListener', {ID: 'mine'}), false);
  assert.equal(world.get('returnListenerData', {ID: 'other'}), '');
});

test('a listener that the project attaches to a link serves both', async () => {
  const world = new World();
  await world.join('alice');
  await world.run('createListener', {ID: 'mine'});
  await world.run('linkToRooms', {ROOMS: 'red'});
  assert.deepEqual(world.socket.take(), [{cmd: 'link', val: ['red'], listener: 'mine'}]);
  world.answer('mine');
  assert.equal(world.get('getRoomState'), true);
  assert.equal(world.get('returnIsNewListener', {ID: 'mine'}), true);
});

test('a listener of the extension itself is free for the project once it is answered', async () => {
  const world = new World();
  await world.join('alice', 'red');
  await world.run('createListener', {ID: 'link'});
  await world.run('sendPData', {DATA: 'x', ID: 'nobody'});
  world.answer('link', {code: 'E:103 | ID not found'});
  assert.equal(world.get('returnIsNewListener', {ID: 'link'}), true);
  assert.equal(world.get('getRoomState'), true);
});

test('queues give packets in the order in which they came', async () => {
  const world = new World();
  await world.connect();
  assert.equal(world.get('getNextPacket', {TYPE: 'All data'}), '');
  world.socket.receive({cmd: 'gmsg', val: 1});
  world.socket.receive({cmd: 'gvar', name: 'x', val: 2});
  world.socket.receive({cmd: 'gmsg', val: 3});
  const values = (text) => JSON.parse(text).map(({val}) => val);
  assert.deepEqual(values(world.get('readQueueData', GLOBAL)), [1, 3]);
  assert.deepEqual(JSON.parse(world.get('readQueueData', {TYPE: 'All data'})).gvar, [{cmd: 'gvar', name: 'x', val: 2}]);
  assert.equal(JSON.parse(world.get('getNextPacket', {TYPE: 'All data'})).val, 1);
  assert.equal(JSON.parse(world.get('getNextPacket', {TYPE: 'All data'})).val, 2);
  world.socket.receive({cmd: 'pmsg', val: 4});
  assert.deepEqual(values(world.get('getAndClearPacketQueue', {TYPE: 'All data'})), [3, 4]);
  assert.equal(world.get('newPacketsExist', {TYPE: 'All data'}), false);
  world.socket.receive({cmd: 'gmsg', val: 5});
  await world.run('clearAllPackets', {TYPE: 'Private data'});
  assert.equal(world.get('newPacketsExist', GLOBAL), true);
  await world.run('clearAllPackets', GLOBAL);
  assert.equal(world.get('newPacketsExist', GLOBAL), false);
  assert.equal(world.get('returnGlobalData'), '5', 'the latest value stays');
});

test('a value that cannot be written as JSON is not sent, and the next one is', async () => {
  const world = new World();
  await world.connect();
  const json = world.global('JSON');
  const stringify = json.stringify;
  json.stringify = (value, ...more) => {
    if (Array.isArray(value.val)) throw new RangeError('Maximum call stack size exceeded');
    return stringify(value, ...more);
  };
  await world.run('sendGData', {DATA: DEEP});
  await world.run('sendGData', {DATA: 'after'});
  assert.deepEqual(world.socket.take(), [{cmd: 'gmsg', val: 'after'}]);
});

test('JSON helpers', async () => {
  const world = new World();
  const JSON_STRING = '{"fruit": {"apples": 2, "a/b": "slash"}, "list": [{"x": null}], "__proto__": 1}';
  const at = (PATH) => world.get('parseJSON', {PATH, JSON_STRING});
  assert.deepEqual(['fruit/apples', '/fruit/apples/', 'fruit/a%2Fb', 'list/0/x', 'toString', 'fruit/%', 'a/b/c'].map(at),
    ['2', '2', 'slash', 'null', '', '', '']);
  const item = (NUM) => world.get('getFromJSONArray', {NUM, ARRAY: '["a", {"b": 1}]'});
  assert.deepEqual([0, 1, 2, -1].map(item), ['a', '{"b":1}', '', '']);
  assert.equal(world.get('makeJSON', {toBeJSONified: '{"a": 1}'}), '{"a": 1}');
  assert.equal(world.get('makeJSON', {toBeJSONified: 'a'}), 'Not JSON!');
  assert.equal(world.get('isValidJSON', {JSON_STRING: 'null'}), true);
  assert.equal(world.get('isValidJSON', {JSON_STRING: '{'}), false);
});

test('requests to web sites', async () => {
  const world = new World();
  assert.equal(await world.get('fetchURL', {url: 'http://a/'}), 'body of http://a/');
  assert.equal(await world.get('fetchURL', {url: ''}), '');
  world.fetched.length = 0;
  const request = {method: ' post', url: 'http://a/', data: 'x', headers: '{"A": "b"}'};
  assert.equal(await world.get('requestURL', request), 'body of http://a/');
  await world.get('requestURL', {...request, method: 'get', headers: '[]'});
  assert.equal(JSON.stringify(world.fetched), JSON.stringify([
    ['http://a/', {method: 'POST', headers: {A: 'b'}, body: 'x'}],
    ['http://a/', {method: 'GET', headers: {}}],
  ]));
});
