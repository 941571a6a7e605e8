// The connection to the server.

const DELAYS = [1, 2, 4, 8, 15, 30]; // seconds before attempts, plus a random half
const ANSWER_TIME = 20_000; // milliseconds; then the connection counts as dead
const SESSION_ENDED = 4401;
const LOGIN_TOO_LATE = 4408;

/** A refused request; `code` is the server's, or "offline". */
export class Refused extends Error {
  constructor({ code, message, data = {} }) {
    super(message);
    this.code = code;
    this.data = data;
  }
}

const offline = () =>
  new Refused({ code: "offline", message: "There is no connection to the server right now. Nothing was changed." });

/** Calls `on.hello(data)` after each connect, `on.event(name, data)`, `on.answer(result)`, `on.ended()` after a session, `on.state(wire)`. */
export class Wire {
  state = "closed"; // or "connecting", "open", "waiting"
  retryAt = 0; // milliseconds
  #on;
  #socket = null;
  #timer = 0;
  #attempts = 0;
  #lastId = 0;
  #pending = new Map();
  #opening = null;

  constructor(on) {
    this.#on = on;
  }

  /** Connect, if need be; resolves after the greeting. */
  open() {
    if (this.#opening) return this.#opening.promise;
    clearTimeout(this.#timer);
    this.#opening = deferred();
    this.#opening.promise.catch(() => {}); // nobody waits for an attempt of the timer
    const address = new URL("admin/ws", location.href.split("#")[0]);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(address));
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    socket.onclose = ({ code }) => this.#lost(code);
    this.#set("connecting");
    return this.#opening.promise;
  }

  /** Send a request; rejects with `Refused`. */
  request(method, params = {}) {
    if (this.state !== "open") return Promise.reject(offline());
    const id = ++this.#lastId;
    const { promise, resolve, reject } = deferred();
    const timer = setTimeout(() => this.#lost(), ANSWER_TIME);
    this.#pending.set(id, { resolve, reject, timer });
    this.#socket.send(JSON.stringify({ id, method, params }));
    return promise;
  }

  #take({ id, event, data, result, error }) {
    if (event === "hello") {
      this.#attempts = 0;
      this.#set("open");
      this.#on.hello(data);
      this.#opening.resolve(data);
    } else if (event) {
      this.#on.event(event, data);
    } else if (this.#pending.has(id)) {
      const { resolve, reject, timer } = this.#pending.get(id);
      this.#pending.delete(id);
      clearTimeout(timer);
      if (error) reject(new Refused(error));
      else {
        this.#on.answer(result);
        resolve(result);
      }
    }
  }

  #lost(code) {
    const socket = this.#socket;
    socket.onmessage = socket.onclose = null;
    socket.close();
    for (const { reject, timer } of this.#pending.values()) {
      clearTimeout(timer);
      reject(offline());
    }
    this.#pending.clear();
    this.#opening.reject(offline());
    this.#opening = null;
    if (code === LOGIN_TOO_LATE) return this.#set("closed"); // the form connects again when it is sent
    const seconds = DELAYS[Math.min(this.#attempts++, DELAYS.length - 1)];
    const delay = code === SESSION_ENDED ? 0 : seconds * 1000 * (1 + Math.random() / 2);
    this.retryAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.open(), delay);
    this.#set("waiting");
    if (code === SESSION_ENDED) this.#on.ended();
  }

  #set(state) {
    this.state = state;
    this.#on.state(this);
  }
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}
