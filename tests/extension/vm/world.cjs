// Runs the extension in a context of its own with a fake clock, fake WebSockets and a fake Scratch.
//
// There is no browser, no network and no waiting: tests play the server's part, and time passes when they say so.
// What only a real VM can show (compiled projects, saved projects, sandboxes) is tested in Chromium instead.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const vm = require('node:vm');

const SOURCE = path.join(__dirname, '..', '..', '..', 'extension', 'cloudlink.js');
const SCRIPT = new vm.Script(fs.readFileSync(SOURCE, 'utf8'), {filename: SOURCE});
const START = Date.UTC(2030, 0, 1); // milliseconds

/** Let promises that are already settled run their reactions. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

/** Timers and a time of day that only `advance` moves. */
class FakeClock {
  constructor() {
    this.now = START;
    this.timers = new Map();
    this.lastId = 0;
  }

  set(callback, delay, period = null) {
    const id = ++this.lastId;
    this.timers.set(id, {id, callback, period, at: this.now + Math.max(delay || 0, 1)});
    return id;
  }

  clear(id) {
    this.timers.delete(id);
  }

  /** Let this many milliseconds pass, and run what becomes due in its order. */
  async advance(milliseconds) {
    const end = this.now + milliseconds;
    await settle();
    for (;;) {
      const due = [...this.timers.values()].filter(({at}) => at <= end).sort((a, b) => a.at - b.at || a.id - b.id);
      if (due.length === 0) break;
      const [timer] = due;
      this.now = timer.at;
      if (timer.period === null) this.timers.delete(timer.id);
      else timer.at += timer.period;
      timer.callback();
      await settle();
    }
    this.now = end;
  }

  /** The globals that replace a browser's. */
  globals() {
    return {
      setTimeout: (callback, delay) => this.set(callback, delay),
      setInterval: (callback, delay) => this.set(callback, delay, delay),
      clearTimeout: (id) => this.clear(id),
      clearInterval: (id) => this.clear(id),
      performance: {now: () => this.now - START},
    };
  }
}

/** A WebSocket whose other end is the test. */
class FakeWebSocket {
  constructor(url) {
    if (!/^wss?:$/.test(new URL(url).protocol)) throw new SyntaxError(`Not a WebSocket address: ${url}`);
    this.url = url;
    this.readyState = 0;
    this.frames = [];
    this.closedWith = null; // the code that the extension closed with
  }

  // What the extension calls.

  send(text) {
    if (this.readyState !== 1) throw new Error(`Sent in state ${this.readyState}: ${text}`);
    this.frames.push(text);
  }

  close(code = 1005) {
    if (this.readyState >= 2) return;
    this.closedWith = code;
    this.readyState = 2;
  }

  // What the server and the network do.

  accept() {
    this.readyState = 1;
    this.onopen({});
  }

  /** Deliver a frame: text and bytes as they are, anything else as JSON. */
  receive(frame) {
    const isRaw = typeof frame === 'string' || frame instanceof Uint8Array;
    this.onmessage({data: isRaw ? frame : JSON.stringify(frame)});
  }

  /** End the connection as a server does that closes with this code, or, without one, as a broken cable does. */
  end(code = 1006, reason = '') {
    this.readyState = 3;
    this.onclose({code, reason, wasClean: code !== 1006});
  }

  /** Return the packets sent since the last call. */
  take() {
    return this.frames.splice(0).map((frame) => JSON.parse(frame));
  }
}

/** The extension, and all that surrounds it. */
class World {
  /**
   * @param {object} options
   * @param {boolean} options.sandboxed - Offer only what Scratch's own VM offers to a worker.
   * @param {boolean} options.penguinMod - Look like PenguinMod.
   */
  constructor({sandboxed = false, penguinMod = false} = {}) {
    this.clock = new FakeClock();
    this.sockets = [];
    this.scripts = [];
    this.console = [];
    this.fetched = [];
    this.random = 0.5;
    this.permission = () => true;
    this.runtime = this.#runtime();
    const {sockets} = this;
    this.context = vm.createContext({
      ...this.clock.globals(),
      Scratch: this.#scratch(sandboxed, penguinMod),
      WebSocket: class extends FakeWebSocket {
        constructor(url) {
          super(url);
          sockets.push(this);
        }
      },
      console: Object.fromEntries(['log', 'error'].map((level) =>
        [level, (...parts) => this.console.push(parts.join(' '))])),
      fetch: (...request) => this.#fetch(...request),
    });
    this.global('Date').now = () => this.clock.now;
    this.global('Math').random = () => this.random;
    SCRIPT.runInContext(this.context);
  }

  /** A built-in object as the extension sees it, such as `JSON`. */
  global(name) {
    return vm.runInContext(name, this.context);
  }

  #runtime() {
    const listeners = {};
    return {
      on: (event, listener) => (listeners[event] = listener),
      emit: (event) => listeners[event](),
      startHats: (opcode) => this.#startHats(opcode.replace(/^cloudlink_/, '')),
    };
  }

  #scratch(sandboxed, penguinMod) {
    const types = (...names) => Object.fromEntries(names.map((name) => [name, name]));
    const plain = {
      ArgumentType: types('STRING', 'NUMBER'),
      BlockType: types('COMMAND', 'REPORTER', 'BOOLEAN', 'HAT', 'EVENT', 'BUTTON'),
      extensions: {register: (extension) => (this.extension = extension)},
    };
    if (sandboxed) return plain;
    Object.assign(plain.extensions, {unsandboxed: true, isPenguinMod: penguinMod});
    return {
      ...plain,
      vm: {runtime: this.runtime, extensionManager: {refreshBlocks: () => {}}},
      translate: (text) => text,
      Cast: {toString: String, toNumber: (value) => Number(value) || 0},
      canFetch: (url) => this.permission(url),
      fetch: (...request) => this.#fetch(...request),
      canOpenWindow: () => true,
    };
  }

  #fetch(url, request) {
    this.fetched.push([url, request]);
    if (url === '') return Promise.reject(new TypeError('Failed to fetch'));
    return Promise.resolve({text: () => Promise.resolve(`body of ${url}`)});
  }

  #startHats(opcode) {
    for (const script of this.scripts) {
      if (script.opcode !== opcode || !this.get(opcode, script.args)) continue;
      script.runs++;
      script.body();
    }
  }

  /** Put a script below a hat block; its `runs` count how often it was started, and each time it calls `body`. */
  when(opcode, args = {}, body = () => {}) {
    const script = {opcode, args, body, runs: 0};
    this.scripts.push(script);
    return script;
  }

  /** Run a command block to its end. */
  async run(opcode, args = {}) {
    const done = this.extension[opcode](args);
    await settle();
    return done;
  }

  /** Return what a reporter block reports. */
  get(opcode, args = {}) {
    return this.extension[opcode](args);
  }

  /** The latest WebSocket. */
  get socket() {
    return this.sockets[this.sockets.length - 1];
  }

  /** Connect by the block, accept, and greet as a server of this version does. */
  async connect({version = '0.2.0', url = 'ws://127.0.0.1:3000/'} = {}) {
    await this.run('openSocket', {IP: url});
    this.greet(version);
    return this.socket;
  }

  /** Accept the latest WebSocket and greet. */
  greet(version = '0.2.0') {
    this.socket.accept();
    this.socket.take();
    this.socket.receive({cmd: 'client_ip', val: '127.0.0.1'});
    this.socket.receive({cmd: 'server_version', val: version});
    this.socket.receive({cmd: 'motd', val: 'Welcome!'});
    this.socket.receive({cmd: 'client_obj', val: {id: '1', uuid: 'u1'}});
    this.socket.receive({cmd: 'ulist', mode: 'set', val: [], rooms: 'default'});
    this.answer('handshake_cfg');
  }

  /** Answer a request with a status code. */
  answer(listener, {code = 'I:100 | OK', val} = {}) {
    const number = Number(/\d+/.exec(code)[0]);
    this.socket.receive({cmd: 'statuscode', code, code_id: number, listener, val});
  }

  /** Answer a request for a username. */
  acceptName(username) {
    this.answer('username_cfg', {val: {id: '1', uuid: 'u1', username}});
  }

  /** Connect, set a username and enter rooms. */
  async join(name, ...rooms) {
    await this.connect();
    await this.run('setMyName', {NAME: name});
    this.acceptName(name);
    if (rooms.length > 0) {
      await this.run('linkToRooms', {ROOMS: JSON.stringify(rooms)});
      this.answer('link');
    }
    this.socket.take();
    return this.socket;
  }
}

module.exports = {World, settle};
