// Name: CloudLink
// ID: cloudlink
// Description: Multiplayer games, chats and shared worlds: send messages and variables to everybody who plays your project.
// By: The CloudLink founders
// License: MIT

(function (Scratch) {
  "use strict";

  const ID = "cloudlink";
  const VERSION = "1.0.0";
  const DIALECT = 3; // what servers are told; the published extensions say 2

  // Scratch mods whose sandbox lacks a part of TurboWarp's interface get a plain stand-in for it.
  if (!("translate" in Scratch)) Scratch.translate = (message) => message;
  if (!("Cast" in Scratch)) {
    Scratch.Cast = {
      toString: String,
      toNumber: (value) => Number(value) || 0,
    };
  }
  if (!("canFetch" in Scratch)) Scratch.canFetch = () => Promise.resolve(true);
  if (!("fetch" in Scratch)) {
    // eslint-disable-next-line no-restricted-globals -- this is what takes the place of Scratch.fetch
    Scratch.fetch = (...request) => fetch(...request);
  }

  const unsandboxed = Boolean(Scratch.extensions.unsandboxed && Scratch.vm);
  const runtime = unsandboxed ? Scratch.vm.runtime : null;

  const editor = () => {
    if (Scratch.extensions.isPenguinMod) return "PenguinMod";
    return "canOpenWindow" in Scratch ? "TurboWarp" : "Scratch";
  };

  const SERVERS = { 0: { id: "Localhost", url: "ws://127.0.0.1:3000/" } };
  const DEFAULT_ROOM = "default";

  // Link status, as the block "link status" reports it.
  const IDLE = 0;
  const CONNECTING = 1;
  const CONNECTED = 2;
  const CLOSED = 3;
  const FAILED = 4;

  // Times, in milliseconds.
  const GREETING_LIMIT = 15000; // from the open socket to the server's version
  const ANSWER_LIMIT = 10000; // for a username, link or unlink
  const CLOSING_LIMIT = 2000; // for the server to agree to a close
  const FIRST_RETRY = 1000;
  const LAST_RETRY = 30000;
  const STEADY = 10000; // a connection that stood so long starts with short delays again
  const NAME_RETRY = 3000; // while the server still holds the name for the lost connection
  const NAME_RETRIES = 20; // that is longer than a server takes to notice that a connection is dead
  const LOOK_AROUND = 5000;
  const SILENCE = 15000; // after which the server is asked for a sign of life
  const SIGN_LIMIT = 10000; // for that sign
  const PING_EVERY = 2000; // while "round-trip time" is looked at
  const PULSE = 100; // how long a sandboxed hat stays true

  // What others can fill this page's memory with. Beyond it the oldest goes.
  const KEPT_ENTRIES = 10000;
  const KEPT_CHARACTERS = 2 ** 23;
  const HELD_PACKETS = 200; // fewer than any server takes for a flood
  const REQUESTS = 100;

  // The listeners of the packets that this extension sends by itself.
  const OWN_LISTENERS = [
    "handshake_cfg",
    "username_cfg",
    "link",
    "unlink",
    "ping_cfg",
  ];

  // The close code of a server that does not want this client back (RFC 6455, section 7.4.1).
  const POLICY_VIOLATION = 1008;

  const DATA = new Map([
    ["Global data", "gmsg"],
    ["Private data", "pmsg"],
    ["Direct data", "direct"],
    ["Status code", "statuscode"],
  ]);
  const VARIABLES = new Map([
    ["Global variables", "gvar"],
    ["Private variables", "pvar"],
  ]);
  const EVERYTHING = "All data";
  const ANY = new Map([...DATA, ...VARIABLES]);
  const KINDS = [...ANY.values()];
  // Projects of CloudLink 3 carry shorter names.
  DATA.set("Global", "gmsg").set("Private", "pmsg").set("Direct", "direct");
  DATA.set("Status Code", "statuscode");
  VARIABLES.set("Global", "gvar").set("Private", "pvar");

  /* ------------------------------------------------------------------------- values */

  const isObject = (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value);

  /** Parse JSON; undefined if the text is none. */
  const parsed = (text) => {
    try {
      return JSON.parse(text);
    } catch (_error) {
      return undefined;
    }
  };

  /** A received value as Scratch can hold it. */
  const shown = (value) => {
    if (typeof value === "string") return value;
    if (value === undefined) return "";
    if (typeof value !== "object") return String(value);
    try {
      return JSON.stringify(value);
    } catch (_error) {
      return ""; // nested too deeply for this browser
    }
  };

  const written = (value) => Scratch.Cast.toString(value);

  /** A typed value as it is sent: as JSON where nothing of what was typed gets lost by that, else as text. */
  const typed = (value) => {
    const text = written(value);
    const json = parsed(text);
    if (json === undefined || json === null) return text;
    if (typeof json === "number" && Math.abs(json) > Number.MAX_SAFE_INTEGER) {
      return text;
    }
    return json;
  };

  /** What names a user in a user object, or the text that stands in its place. */
  const nameOf = (user) => {
    if (!isObject(user)) return shown(user);
    return shown(user.uuid ?? user.id ?? user.username);
  };

  /** A typed recipient: a name, a user object, or a list of either. */
  const recipients = (value) => {
    const text = written(value);
    const json = parsed(text);
    if (Array.isArray(json)) return json.map(nameOf);
    return isObject(json) ? nameOf(json) : text;
  };

  /** Typed rooms: a list of names, or one name. */
  const roomNames = (value) => {
    const text = written(value);
    const json = parsed(text);
    return Array.isArray(json) ? json.map(shown) : [text];
  };

  /** A typed address, in the forms that people copy. */
  const address = (value) => {
    const text = written(value).trim();
    if (/^https?:\/\//i.test(text)) return text.replace(/^http/i, "ws");
    if (/^\w+:\/\//.test(text) || text === "") return text;
    const local = /^(localhost|127\.|\[::1\])/i.test(text);
    return `${local ? "ws" : "wss"}://${text}`;
  };

  const percentDecoded = (text) => {
    try {
      return decodeURIComponent(text);
    } catch (_error) {
      return text;
    }
  };

  /** The body of an answer; nothing if there is none to be had. */
  const textAt = async (url, request) => {
    try {
      const answer = await Scratch.fetch(url, request);
      return await answer.text();
    } catch (_error) {
      return "";
    }
  };

  /* ---------------------------------------------------------------- what others sent */

  /** A map that forgets its oldest entries when it holds too many of them, or too long ones. */
  class Kept {
    constructor() {
      this.clear();
    }

    clear() {
      this.entries = new Map();
      this.characters = 0;
    }

    get size() {
      return this.entries.size;
    }

    get(key) {
      return this.entries.get(key);
    }

    /** Keep an entry, which has a `text`, as the newest. */
    set(key, entry) {
      this.delete(key);
      this.entries.set(key, entry);
      this.characters += entry.text.length;
      while (this.size > KEPT_ENTRIES || this.characters > KEPT_CHARACTERS) {
        if (this.size === 1) return;
        this.delete(this.first());
      }
    }

    delete(key) {
      const entry = this.entries.get(key);
      if (entry === undefined) return;
      this.entries.delete(key);
      this.characters -= entry.text.length;
    }

    /** The oldest key; undefined if there is none. */
    first() {
      return this.entries.keys().next().value;
    }
  }

  /** Values, "got new" flags and queues: all that a connection brought. */
  class Inbox {
    constructor() {
      this.number = 0;
      this.clear();
    }

    clear() {
      this.values = new Map();
      this.fresh = new Set();
      this.variables = { gvar: new Kept(), pvar: new Kept() };
      this.listeners = new Kept();
      this.queues = {};
      for (const kind of KINDS) this.queues[kind] = new Kept();
    }

    /** Put a packet into its queue; `text` is its JSON. */
    queue(kind, text) {
      this.queues[kind].set(this.number++, { text });
    }

    value(kind, text) {
      this.values.set(kind, text);
      this.fresh.add(kind);
    }

    variable(kind, name, text) {
      const before = this.variables[kind].get(name);
      const previous = before === undefined ? "" : before.text;
      this.variables[kind].set(name, { text, previous, fresh: true });
    }

    /** The kinds that a menu value of a queue block means. */
    kinds(type) {
      if (type === EVERYTHING) return KINDS;
      return ANY.has(type) ? [ANY.get(type)] : [];
    }

    size(type) {
      return this.kinds(type).reduce(
        (sum, kind) => sum + this.queues[kind].size,
        0
      );
    }

    /** Take the oldest packet out; its JSON, or nothing. */
    next(type) {
      const waiting = this.kinds(type).filter(
        (kind) => this.queues[kind].size > 0
      );
      if (waiting.length === 0) return "";
      const queues = waiting.map((kind) => this.queues[kind]);
      const oldest = Math.min(...queues.map((queue) => queue.first()));
      const queue = queues.find((each) => each.first() === oldest);
      const { text } = queue.get(oldest);
      queue.delete(oldest);
      return text;
    }

    /** The JSON of all packets of these kinds, in the order they came. */
    list(type) {
      const all = this.kinds(type).flatMap((kind) => [
        ...this.queues[kind].entries,
      ]);
      all.sort(([one], [other]) => one - other);
      return `[${all.map(([, entry]) => entry.text).join(",")}]`;
    }

    clearQueues(type) {
      for (const kind of this.kinds(type)) this.queues[kind].clear();
    }
  }

  /** Who is here: the list that projects read, and one list for each room. */
  class People {
    constructor() {
      this.clear();
    }

    clear() {
      this.listed = new Map();
      this.rooms = new Map();
    }

    set(users, room) {
      const list = new Map(
        users.filter(Boolean).map((user) => [nameOf(user), user])
      );
      this.rooms.set(room, list);
      this.listed = new Map(list);
    }

    /** Add a user; false if the list had them. */
    add(user, room) {
      const known = this.listed.has(nameOf(user));
      this.listed.set(nameOf(user), user);
      this.room(room).set(nameOf(user), user);
      return !known;
    }

    /** Take a user out; false if the list did not have them. */
    remove(user, room) {
      this.room(room).delete(nameOf(user));
      return this.listed.delete(nameOf(user));
    }

    room(name) {
      if (!this.rooms.has(name)) this.rooms.set(name, new Map());
      return this.rooms.get(name);
    }

    count(room) {
      return this.rooms.has(room) ? this.rooms.get(room).size : 0;
    }

    /** Whether somebody of that name, id, uuid, or user object as JSON text, is listed. */
    has(text) {
      const json = parsed(text);
      const users = [...this.listed.values()];
      if (isObject(json)) {
        const told = ["uuid", "id", "username"].filter((key) => key in json);
        const telling = told[0] === "uuid" ? ["uuid"] : told;
        const isMeant = (user) =>
          telling.every((key) => shown(user[key]) === shown(json[key]));
        return telling.length > 0 && users.some(isMeant);
      }
      return users.some(
        (user) =>
          user === text ||
          [user.username, user.id, user.uuid].some(
            (name) => name !== undefined && shown(name) === text
          )
      );
    }

    toJSON() {
      return [...this.listed.values()];
    }
  }

  /* -------------------------------------------------------------------------- hats */

  /**
   * Starts the scripts below hats.
   *
   * Without a sandbox, the runtime is told to start them the moment something happens; each hat is then asked
   * whether it is meant. In a sandbox nobody can be told: there the runtime asks every hat in every frame, and
   * what happened stays true for a moment.
   */
  class Hats {
    constructor() {
      this.now = null;
      this.recent = [];
    }

    start(opcode, news = null) {
      const event = { opcode, news, until: Date.now() + PULSE };
      if (!runtime) {
        this.recent = this.recent.filter((old) => old.until > Date.now());
        this.recent.push(event);
        return;
      }
      this.now = event;
      try {
        runtime.startHats(`${ID}_${opcode}`);
      } catch (error) {
        console.error("A script of the project failed:", error);
      } finally {
        this.now = null;
      }
    }

    /** Tell a hat whether its script is meant. */
    asks(opcode, isMeant = () => true) {
      if (runtime) {
        return (
          this.now !== null &&
          this.now.opcode === opcode &&
          isMeant(this.now.news)
        );
      }
      const now = Date.now();
      return this.recent.some(
        (event) =>
          event.opcode === opcode && event.until > now && isMeant(event.news)
      );
    }
  }

  /* --------------------------------------------------------------------- the socket */

  /** One WebSocket at a time; what older ones still tell is not listened to. */
  class Wire {
    constructor(owner) {
      this.owner = owner;
      this.attempt = null;
      this.socket = null;
      this.closing = false;
    }

    /** Whether there is a socket, or one is about to come. */
    get busy() {
      return this.attempt !== null;
    }

    /** Ask whether the project may connect, and connect. */
    async open(url) {
      const attempt = (this.attempt = {});
      let allowed = false;
      try {
        // Browsers take any other text for an address relative to the page.
        allowed = /^wss?:/i.test(url) && (await Scratch.canFetch(url));
      } catch (_error) {
        allowed = false;
      }
      if (this.attempt !== attempt) return;
      let socket = null;
      try {
        // eslint-disable-next-line extension/check-can-fetch -- asked above
        if (allowed) socket = new WebSocket(url);
      } catch (_error) {
        socket = null; // no address, or one that this page may not use
      }
      if (socket === null) {
        this.end({ possible: false });
        return;
      }
      this.socket = socket;
      this.closing = false;
      this.listen(socket);
      this.owner.opening();
    }

    listen(socket) {
      const current = (what) => (event) => {
        if (this.socket === socket) what(event);
      };
      socket.onopen = current(() => {
        if (!this.closing) this.owner.opened();
      });
      socket.onmessage = current((event) => {
        const isText = typeof event.data === "string";
        if (isText && !this.closing) this.owner.received(event.data);
      });
      socket.onclose = current((event) => {
        this.end({ clean: event.wasClean, code: event.code });
      });
    }

    write(text) {
      if (this.socket !== null && this.socket.readyState === 1) {
        this.socket.send(text);
      }
    }

    /** Close in order; the end comes when the server has agreed, or soon. */
    close() {
      if (this.closing) return;
      if (this.socket === null) {
        this.closing = true;
        this.end({ clean: true });
        return;
      }
      const socket = this.socket;
      this.closing = true;
      socket.close(1000);
      setTimeout(() => {
        if (this.socket === socket) this.end({ clean: true });
      }, CLOSING_LIMIT);
    }

    /** Be done with the socket, whatever it still does. */
    end({ clean = false, code = 0, possible = true }) {
      const { socket, closing } = this;
      this.attempt = null;
      this.socket = null;
      this.closing = false;
      if (socket !== null) socket.close();
      this.owner.ended({ clean, code, possible, asked: closing });
    }
  }

  /**
   * Packets that wait for a connection. Those with the same text in `latest` replace one another: of a variable only
   * the latest value waits.
   */
  class Held {
    constructor() {
      this.items = [];
    }

    add(item) {
      const { latest } = item;
      if (latest !== null) {
        this.items = this.items.filter((old) => old.latest !== latest);
      }
      this.items.push(item);
      if (this.items.length <= HELD_PACKETS) return;
      // A name or a room is worth more than a message.
      const index = this.items.findIndex((old) => old.request === null);
      this.items.splice(Math.max(index, 0), 1);
    }

    /** Whether a request of this kind waits. */
    has(kind) {
      return this.items.some(({ request }) => request?.kind === kind);
    }

    takeAll() {
      const items = this.items;
      this.items = [];
      return items;
    }
  }

  /** Lets each variable out at most so many times a second; the latest value wins. */
  class Pace {
    constructor(send) {
      this.send = send;
      this.gap = 0; // milliseconds
      this.slots = new Map();
    }

    set(times) {
      this.gap = times > 0 ? 1000 / times : 0;
      if (this.gap === 0) this.letAllOut();
    }

    take(item) {
      const now = Date.now();
      const slot = this.slots.get(item.latest);
      const soon = slot !== undefined && now - slot.at < this.gap;
      if (soon && !("listener" in item.packet)) {
        slot.item = item;
        if (slot.timer === 0) {
          const wait = slot.at + this.gap - now;
          slot.timer = setTimeout(() => this.letOut(item.latest), wait);
        }
        return;
      }
      if (slot !== undefined) clearTimeout(slot.timer);
      this.slots.delete(item.latest);
      if (this.gap > 0) {
        this.forgetIdle(now);
        this.slots.set(item.latest, { at: now, item: null, timer: 0 });
      }
      this.send(item);
    }

    letOut(latest) {
      const slot = this.slots.get(latest);
      const { item } = slot;
      clearTimeout(slot.timer);
      this.slots.set(latest, { at: Date.now(), item: null, timer: 0 });
      if (item !== null) this.send(item);
    }

    /** Forget what waits. */
    drop() {
      for (const slot of this.slots.values()) clearTimeout(slot.timer);
      this.slots.clear();
    }

    letAllOut() {
      for (const latest of [...this.slots.keys()]) this.letOut(latest);
      this.slots.clear();
    }

    forgetIdle(now) {
      if (this.slots.size < KEPT_ENTRIES) return;
      for (const [latest, slot] of this.slots) {
        if (slot.timer === 0 && now - slot.at >= this.gap) {
          this.slots.delete(latest);
        }
      }
    }
  }

  /* ------------------------------------------------------------------- the session */

  /** What goes on between a project and a server, over as many sockets as it takes. */
  class Session {
    constructor(hats) {
      this.hats = hats;
      this.wire = new Wire(this);
      this.inbox = new Inbox();
      this.people = new People();
      this.held = new Held();
      this.pace = new Pace((item) => this.post(item));
      this.status = IDLE;
      this.hadConnection = false; // before it came to status 4
      this.joined = "{}"; // JSON of the user that came or left last
      this.left = "{}";
      this.logs = false;

      this.url = "";
      this.reconnects = false;
      this.tries = 0;
      this.retry = 0; // the timer of the next try
      this.restore = null; // what the lost connection had
      this.wasLost = false; // and is not back yet
      this.lookAround = 0;
      this.greeting = 0; // the timer of the server's greeting
      this.forget();
    }

    /** Forget what belongs to one socket. What has been received outlives it if another one takes its place. */
    forget() {
      clearTimeout(this.greeting);
      for (const request of this.requests || []) clearTimeout(request.timer);
      this.people.clear();
      this.requests = [];
      this.version = "";
      this.motd = "";
      this.ip = "";
      this.name = null;
      this.naming = null; // the name that was asked for and not answered yet
      this.user = null;
      this.linked = false;
      this.linking = null; // the rooms that were asked for last
      this.rooms = new Set();
      this.armed = null; // the listener of the next packet
      this.selected = null; // the rooms of the next message or variable
      this.heardAt = 0;
      this.connectedAt = 0;
      this.pingAt = 0; // when the ping was sent that is not answered yet
      this.pingedAt = 0; // when the last one was
      this.roundTrip = "";
    }

    /* ..................................................................... connecting */

    /** Whether there is a connection, or the session is about to get one. */
    get active() {
      return (this.wire.busy && !this.wire.closing) || this.retry !== 0;
    }

    get connected() {
      return this.status === CONNECTED && !this.wire.closing;
    }

    /** Whether packets may go out: connected, and everything as before the connection was lost. */
    get ready() {
      return this.connected && this.restore === null;
    }

    async connect(url) {
      if (this.wire.busy) {
        if (!this.wire.closing) return;
        this.wire.end({ clean: true });
      }
      if (url !== this.url) this.giveUp();
      this.url = url;
      this.tries = 0;
      this.stopRetry();
      await this.wire.open(url);
    }

    disconnect() {
      if (this.wire.busy) this.wire.close();
      else if (this.retry !== 0) {
        this.status = CLOSED;
        this.giveUp();
      }
    }

    /** Start afresh, for another project. */
    reset() {
      this.reconnects = false;
      this.watch();
      if (this.wire.busy) {
        this.wire.closing = true;
        this.wire.end({ clean: true });
      }
      this.giveUp();
      this.pace.set(0);
      this.logs = false;
      this.status = IDLE;
      this.hadConnection = false;
      this.joined = "{}";
      this.left = "{}";
    }

    setReconnects(wanted) {
      this.reconnects = wanted;
      if (!wanted && this.retry !== 0) this.giveUp();
      this.watch();
    }

    /** Stop trying, and forget what would have been restored, and what has been received. */
    giveUp() {
      this.stopRetry();
      this.inbox.clear();
      this.tries = 0;
      this.restore = null;
      this.wasLost = false;
      this.held.takeAll();
      this.pace.drop();
    }

    stopRetry() {
      clearTimeout(this.retry);
      this.retry = 0;
    }

    opening() {
      this.status = CONNECTING;
    }

    opened() {
      this.greeting = setTimeout(() => this.wire.end({}), GREETING_LIMIT);
      this.transmit({
        packet: {
          cmd: "handshake",
          val: {
            language: "Scratch",
            version: { editorType: editor(), versionNumber: DIALECT },
          },
          listener: "handshake_cfg",
        },
        request: { kind: "handshake" },
      });
    }

    /** The server has told its version: now there is a connection. */
    greeted(version) {
      if (this.status !== CONNECTING) return;
      clearTimeout(this.greeting);
      this.version = shown(version);
      this.status = CONNECTED;
      this.hadConnection = true;
      this.connectedAt = Date.now();
      this.hats.start("onConnect");
      if (this.restore === null) this.release();
      else this.restoreName();
    }

    ended({ clean, code, possible, asked }) {
      const wasConnected = this.status === CONNECTED;
      const wasRetry = this.tries > 0 && !wasConnected;
      const refused = code === POLICY_VIOLATION || !possible;
      if (asked) this.status = CLOSED;
      else this.status = wasConnected && clean ? CLOSED : FAILED;
      this.hadConnection = wasConnected || this.wasLost;
      if (wasConnected && Date.now() - this.connectedAt > STEADY) {
        this.tries = 0;
      }
      if (this.reconnects && !asked && !refused) {
        this.wasLost = this.wasLost || wasConnected;
        this.remember();
        this.scheduleRetry();
      } else this.giveUp();
      this.forget();
      if (!wasRetry || asked || this.retry === 0) this.hats.start("onClose");
      if (wasConnected && !asked) this.hats.start("whenConnectionLost");
    }

    scheduleRetry() {
      const delay = Math.min(FIRST_RETRY * 2 ** this.tries, LAST_RETRY);
      this.tries++;
      // Random, so that the players of a server that restarts do not all come in the same moment.
      this.retry = setTimeout(
        () => {
          this.retry = 0;
          this.wire.open(this.url);
        },
        delay * (0.5 + Math.random() / 2)
      );
    }

    /** Look now and then whether the server still lives, for as long as a lost connection would be replaced. */
    watch() {
      clearInterval(this.lookAround);
      if (!this.reconnects) return;
      this.lookAround = setInterval(() => {
        // Older servers do not know the command that is used.
        if (!this.connected || !this.version.includes("0.2.")) return;
        const now = Date.now();
        if (this.pingedAt > this.heardAt) {
          if (now - this.pingedAt > SIGN_LIMIT) this.wire.end({});
        } else if (now - this.heardAt > SILENCE) this.ping();
      }, LOOK_AROUND);
    }

    ping() {
      const now = Date.now();
      if (this.pingAt !== 0 && now - this.pingAt < SIGN_LIMIT) return;
      this.pingAt = this.pingedAt = now;
      this.transmit({
        packet: { cmd: "ping", listener: "ping_cfg" },
        request: { kind: "ping", at: performance.now() },
      });
    }

    /** Milliseconds to the server and back; more while an answer is overdue, nothing before the first one. */
    get roundTripTime() {
      if (!this.connected) return "";
      const now = Date.now();
      if (now - this.pingedAt >= PING_EVERY) this.ping();
      if (this.pingAt === 0 || this.roundTrip === "") return this.roundTrip;
      return Math.max(this.roundTrip, now - this.pingAt);
    }

    /* ..................................................... what a lost connection had */

    remember() {
      if (this.restore !== null) return; // it was lost again before all was back
      const name = this.name === null ? this.naming : this.name;
      const rooms = [...new Set([...this.rooms, ...(this.linking ?? [])])];
      if (name !== null) this.restore = { name, rooms, tries: 0 };
    }

    restoreName() {
      this.transmit(this.nameRequest(this.restore.name));
    }

    restoreRooms() {
      const { rooms } = this.restore;
      if (rooms.length > 0) this.transmit(this.linkRequest(rooms));
      else this.restored();
    }

    /** The name is refused: perhaps the server still holds it for the lost connection. */
    restoreNameAgain(code) {
      const { restore } = this;
      restore.tries++;
      if (/:112\b/.test(code) && restore.tries < NAME_RETRIES) {
        setTimeout(() => {
          if (this.restore === restore && this.connected) this.restoreName();
        }, NAME_RETRY);
      } else this.restored();
    }

    restored() {
      this.restore = null;
      this.release();
    }

    /** Let out what waited for the connection. */
    release() {
      const wasLost = this.wasLost;
      this.wasLost = false;
      for (const item of this.held.takeAll()) this.post(item);
      if (wasLost) this.hats.start("whenConnectionBack");
    }

    /* ......................................................................... sending */

    /** Send a packet that a block made: with the listener that was attached, and the rooms that were selected. */
    send(packet, { request = null, routed = false } = {}) {
      if (!this.active) return;
      if (routed && this.selected !== null) {
        packet.rooms = this.selected;
        this.selected = null;
      }
      if (this.armed !== null) {
        packet.listener = this.armed;
        this.armed = null;
      }
      const { cmd, name, id, rooms, val } = packet;
      const isVariable = routed && "name" in packet;
      let latest = null;
      if (isVariable) latest = JSON.stringify([cmd, name, id, rooms]);
      else if (request?.kind === "link") latest = JSON.stringify([cmd, val]);
      const item = { packet, request, latest };
      if (isVariable) this.pace.take(item);
      else this.post(item);
    }

    post(item) {
      if (this.ready) this.transmit(item);
      else if (this.active) this.held.add(item);
    }

    transmit({ packet, request }) {
      if (request) {
        request.listener = shown(packet.listener);
        request.timer = setTimeout(() => this.expire(request), ANSWER_LIMIT);
        this.requests.push(request);
        if (this.requests.length > REQUESTS) this.requests.shift();
        if (request.kind === "username") this.naming = request.name;
        if (request.kind === "link") this.linking = request.rooms;
        if (request.kind === "unlink") this.leaveRooms();
      }
      let text;
      try {
        text = JSON.stringify(packet);
      } catch (_error) {
        return; // nested too deeply for this browser
      }
      if (this.logs) console.log("CloudLink sends", text);
      this.wire.write(text);
    }

    /** What is left now is not to be entered again by itself. */
    leaveRooms() {
      this.linking = null;
      this.rooms.clear();
    }

    get hasName() {
      const isComing = this.restore !== null || this.held.has("username");
      return this.name !== null || this.naming !== null || isComing;
    }

    nameRequest(name) {
      const packet = { cmd: "setid", val: name, listener: "username_cfg" };
      return { packet, request: { kind: "username", name } };
    }

    linkRequest(rooms) {
      const packet = { cmd: "link", val: rooms, listener: "link" };
      return { packet, request: { kind: "link", rooms } };
    }

    setName(name) {
      if (this.hasName) return;
      const { packet, request } = this.nameRequest(name);
      this.send(packet, { request });
    }

    link(rooms) {
      const same = JSON.stringify(rooms) === JSON.stringify(this.linking);
      if (!this.hasName || same) return;
      const { packet, request } = this.linkRequest(rooms);
      this.send(packet, { request });
    }

    /** Select rooms for the next message or variable; only who is in rooms, or about to be, can. */
    select(rooms) {
      const isComing = this.restore !== null || this.held.has("link");
      if (!this.linked && this.linking === null && !isComing) return;
      if (this.selected === null) this.selected = rooms;
    }

    attach(listener) {
      if (this.armed === null) this.armed = listener;
    }

    unlink() {
      if (!this.hasName) return;
      const packet = { cmd: "unlink", val: "", listener: "unlink" };
      this.send(packet, { request: { kind: "unlink" } });
    }

    /* ....................................................................... receiving */

    received(text) {
      this.heardAt = Date.now();
      if (this.logs) console.log("CloudLink receives", text);
      const packet = parsed(text);
      if (!isObject(packet)) return;
      try {
        this.take(packet, JSON.stringify(packet));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error; // nested too deeply for this browser
      }
    }

    take(packet, text) {
      const { cmd, val } = packet;
      if (cmd === "direct" && val === null) packet.val = "";
      if (cmd === "server_version") this.greeted(val);
      else if (cmd === "client_obj") this.user = isObject(val) ? val : null;
      else if (cmd === "client_ip") this.ip = shown(val);
      else if (cmd === "motd") this.motd = shown(val);
      else if (cmd === "ulist") this.takeUsers(packet);
      else if (cmd === "direct" && this.isGreeting(packet)) {
        if (val.cmd === "vers") this.greeted(val.val);
        else this.motd = shown(val.val);
      } else if (cmd === "statuscode") this.takeStatus(packet, text);
      else this.takeNews(packet, text);
    }

    /** Whether an old server says hello; nobody else can before its version is known. */
    isGreeting({ origin, val }) {
      const early = this.version === "" && origin === undefined;
      return early && isObject(val) && ["vers", "motd"].includes(val.cmd);
    }

    takeUsers({ mode = "set", val, rooms = DEFAULT_ROOM }) {
      const room = shown(rooms);
      if (mode === "set") {
        const names = typeof val === "string" ? val.split(";") : val;
        this.people.set(Array.isArray(names) ? names : [], room);
      } else if (!isObject(val)) return;
      else if (mode === "add" && this.people.add(val, room)) {
        this.joined = shown(val);
        this.hats.start("whenuserconnects");
      } else if (mode === "remove" && this.people.remove(val, room)) {
        this.left = shown(val);
        this.hats.start("whenuserdisconnects");
      }
    }

    takeStatus(packet, text) {
      const code = shown(packet.code ?? packet.val);
      const listener = shown(packet.listener);
      const index =
        packet.listener === undefined
          ? -1
          : this.requests.findIndex((each) => each.listener === listener);
      if (index >= 0) {
        const [request] = this.requests.splice(index, 1);
        const isOwn = OWN_LISTENERS.includes(request.listener);
        const isOk = code.includes("I:100");
        this.answered(request, isOk, packet.val, code);
        if (isOwn && (isOk || request.kind === "ping")) return;
      }
      this.takeNews(packet, text, code);
    }

    /** A packet for the project: keep it, then start what waits for it. */
    takeNews(packet, text, code) {
      const { cmd, listener } = packet;
      const isVariable = cmd === "gvar" || cmd === "pvar";
      const name = shown(packet.name);
      if (isVariable) this.inbox.variable(cmd, name, shown(packet.val));
      else if (KINDS.includes(cmd)) {
        this.inbox.value(cmd, code ?? shown(packet.val));
      }
      if (KINDS.includes(cmd)) this.inbox.queue(cmd, text);
      const id = listener === undefined ? null : shown(listener);
      if (id !== null) this.inbox.listeners.set(id, { text, fresh: true });
      if (this.status !== CONNECTED) return;
      if (KINDS.includes(cmd)) this.hats.start("onNewPacket", { kind: cmd });
      if (isVariable) this.hats.start("onNewVar", { kind: cmd, name });
      if (id !== null) this.hats.start("onListener", { id });
    }

    /* ......................................................................... answers */

    answered(request, isOk, val, code) {
      clearTimeout(request.timer);
      if (request.kind === "username") this.answeredName(isOk, val, code);
      else if (request.kind === "link") this.answeredLink(request, isOk);
      else if (request.kind === "unlink" && isOk) {
        this.linked = false;
        this.rooms.clear();
        for (const room of [...this.people.rooms.keys()]) {
          if (room !== DEFAULT_ROOM) this.people.rooms.delete(room);
        }
      } else if (request.kind === "ping") {
        this.pingAt = 0;
        this.roundTrip = Math.round(performance.now() - request.at);
      }
    }

    answeredName(isOk, val, code) {
      const asked = this.naming;
      this.naming = null;
      if (isOk) {
        this.user = isObject(val) ? val : { username: asked };
        this.name = shown(this.user.username ?? asked);
        if (this.restore !== null) this.restoreRooms();
      } else if (this.restore !== null) this.restoreNameAgain(code);
    }

    answeredLink({ rooms }, isOk) {
      if (isOk) {
        this.linked = true;
        for (const room of rooms) this.rooms.add(room);
        if (!rooms.includes(DEFAULT_ROOM)) {
          this.people.rooms.delete(DEFAULT_ROOM);
        }
      } else this.linking = null;
      if (this.restore !== null) this.restored();
    }

    /** No answer has come: let the project try again. */
    expire(request) {
      if (request.kind === "username" && this.naming === request.name) {
        this.answeredName(false, null, "");
      } else if (request.kind === "link" && this.linking === request.rooms) {
        this.answeredLink(request, false);
      }
    }
  }

  /* ------------------------------------------------------------------------- blocks */

  const { ArgumentType, BlockType } = Scratch;

  const drawing = (background) =>
    `data:image/svg+xml,${encodeURIComponent(
      `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" viewBox="0 0 40 40">${background}<g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"><path d="M13 21.5a5.6 5.6 0 0 1 .6-11.1 7.4 7.4 0 0 1 13.9 1.4 4.9 4.9 0 0 1-.2 9.7z" stroke-linejoin="round"/><path d="M20 21.5v5M20 26.5l-7.5 4.6M20 26.5l7.5 4.6"/></g><g fill="#fff"><circle cx="11.5" cy="31.7" r="3.1"/><circle cx="28.5" cy="31.7" r="3.1"/></g></svg>`
    )}`;
  const COLOUR = "#2f6fa7";
  const DARKER = ["#285f90", "#214f78"];
  const BLOCK_ICON = drawing("");
  const MENU_ICON = drawing(
    `<circle cx="20" cy="20" r="20" fill="${COLOUR}"/>`
  );

  const string = (defaultValue) => ({
    type: ArgumentType.STRING,
    defaultValue,
  });
  const number = (defaultValue) => ({
    type: ArgumentType.NUMBER,
    defaultValue,
  });
  const choice = (menu, defaultValue) => ({
    type: ArgumentType.STRING,
    menu,
    defaultValue,
  });
  const dataOf = () => choice("datamenu", "Global data");
  const variablesOf = () => choice("varmenu", "Global variables");
  const queueOf = () => choice("allmenu", "All data");
  const EXAMPLE = '{"fruit": {"apples": 2, "bananas": 3}, "total_fruit": 5}';

  const block = (blockType, opcode, label, args = {}, more = {}) => ({
    opcode,
    blockType,
    text: label,
    arguments: args,
    ...more,
  });
  const command = (...parts) => block(BlockType.COMMAND, ...parts);
  const reporter = (...parts) => block(BlockType.REPORTER, ...parts);
  const boolean = (...parts) => block(BlockType.BOOLEAN, ...parts);
  // A hat that has nothing to compare: the runtime starts all its scripts without asking. In a sandbox it has to ask.
  const hat = (opcode, label, args = {}) =>
    block(
      runtime && Object.keys(args).length === 0
        ? BlockType.EVENT
        : BlockType.HAT,
      opcode,
      label,
      args,
      { isEdgeActivated: !runtime, shouldRestartExistingThreads: false }
    );

  class CloudLink {
    constructor() {
      this.hats = new Hats();
      this.session = new Session(this.hats);
      this.showsMore = !runtime;
      if (runtime) {
        // Another project has nothing to do with the connection of the one before it.
        runtime.on("RUNTIME_DISPOSED", () => this.session.reset());
      }
    }

    getInfo() {
      const rare = this.rareBlocks();
      for (const each of rare) {
        if (each !== "---") each.hideFromPalette = !this.showsMore;
      }
      return {
        id: ID,
        name: Scratch.translate("CloudLink"),
        color1: COLOUR,
        color2: DARKER[0],
        color3: DARKER[1],
        menuIconURI: MENU_ICON,
        blockIconURI: BLOCK_ICON,
        blocks: [
          ...this.commonBlocks(),
          "---",
          ...this.buttons(),
          ...rare,
          ...this.oldBlocks(),
        ],
        menus: this.menus(),
      };
    }

    commonBlocks() {
      return [
        hat("onConnect", Scratch.translate("when connected")),
        hat("onClose", Scratch.translate("when disconnected")),
        hat("whenConnectionLost", Scratch.translate("when connection is lost")),
        hat("whenConnectionBack", Scratch.translate("when connection is back")),
        command("openSocket", Scratch.translate("connect to [IP]"), {
          IP: string("ws://127.0.0.1:3000/"),
        }),
        command(
          "setReconnect",
          Scratch.translate("reconnect by itself: [BOOL]"),
          { BOOL: choice("boolmenu", "Enable") }
        ),
        command("closeSocket", Scratch.translate("disconnect")),
        boolean("getComState", Scratch.translate("connected?")),
        "---",
        command("setMyName", Scratch.translate("set username to [NAME]"), {
          NAME: string("A name"),
        }),
        boolean("getUsernameState", Scratch.translate("username set?")),
        reporter("returnUsernameDataNew", Scratch.translate("username")),
        hat("whenuserconnects", Scratch.translate("when a user joins")),
        hat("whenuserdisconnects", Scratch.translate("when a user leaves")),
        reporter("returnUserListData", Scratch.translate("users")),
        boolean("checkForID", Scratch.translate("is [ID] here?"), {
          ID: string("Another name"),
        }),
        "---",
        command("sendGData", Scratch.translate("send [DATA] to everybody"), {
          DATA: string("Apple"),
        }),
        command("sendPData", Scratch.translate("send [DATA] to [ID]"), {
          DATA: string("Apple"),
          ID: string("Another name"),
        }),
        hat("onNewPacket", Scratch.translate("when I receive [TYPE]"), {
          TYPE: choice("almostallmenu", "Global data"),
        }),
        reporter("returnGlobalData", Scratch.translate("global data")),
        reporter("returnPrivateData", Scratch.translate("private data")),
        "---",
        command(
          "sendGDataAsVar",
          Scratch.translate("set global variable [VAR] to [DATA]"),
          { DATA: string("Banana"), VAR: string("Apple") }
        ),
        command(
          "sendPDataAsVar",
          Scratch.translate("set private variable [VAR] of [ID] to [DATA]"),
          {
            DATA: string("Banana"),
            ID: string("Another name"),
            VAR: string("Apple"),
          }
        ),
        command(
          "setPace",
          Scratch.translate("send each variable at most [RATE] times a second"),
          { RATE: number(20) }
        ),
        hat("onNewVar", Scratch.translate("when [TYPE] [VAR] arrives"), {
          TYPE: variablesOf(),
          VAR: string("Apple"),
        }),
        reporter("returnVarData", Scratch.translate("[TYPE] [VAR]"), {
          TYPE: variablesOf(),
          VAR: string("Apple"),
        }),
        reporter(
          "returnPreviousVarData",
          Scratch.translate("previous value of [TYPE] [VAR]"),
          { TYPE: variablesOf(), VAR: string("Apple") }
        ),
        "---",
        command("linkToRooms", Scratch.translate("enter room(s) [ROOMS]"), {
          ROOMS: string('["test"]'),
        }),
        command("unlinkFromRooms", Scratch.translate("leave all rooms")),
        boolean("getRoomState", Scratch.translate("in a room?")),
        command(
          "selectRoomsInNextPacket",
          Scratch.translate("send next message to room(s) [ROOMS] only"),
          { ROOMS: string('["test"]') }
        ),
        reporter("countUsers", Scratch.translate("users in room [ROOM]"), {
          ROOM: string(DEFAULT_ROOM),
        }),
      ];
    }

    rareBlocks() {
      return [
        reporter("roundTripTime", Scratch.translate("round-trip time (ms)")),
        reporter("returnLinkData", Scratch.translate("link status")),
        boolean(
          "getComLostConnectionState",
          Scratch.translate("lost connection?")
        ),
        boolean(
          "getComFailedConnectionState",
          Scratch.translate("failed to connect?")
        ),
        command(
          "openSocketPublicServers",
          Scratch.translate("connect to server [ID] of the list"),
          { ID: number(0) }
        ),
        reporter("returnServerList", Scratch.translate("server list")),
        reporter("returnServerVersion", Scratch.translate("server version")),
        reporter("returnMOTD", Scratch.translate("message of the day")),
        reporter("returnClientIP", Scratch.translate("my IP address")),
        reporter("returnVersionData", Scratch.translate("extension version")),
        "---",
        reporter("returnUserObject", Scratch.translate("my user object")),
        reporter(
          "returnUsernameData",
          Scratch.translate("my named user object")
        ),
        reporter("recentlyjoined", Scratch.translate("user who joined last")),
        reporter("recentlyleft", Scratch.translate("user who left last")),
        "---",
        boolean("returnIsNewData", Scratch.translate("got new [TYPE]?"), {
          TYPE: dataOf(),
        }),
        command("resetNewData", Scratch.translate("reset got new [TYPE]"), {
          TYPE: dataOf(),
        }),
        boolean(
          "returnIsNewVarData",
          Scratch.translate("got new value of [TYPE] [VAR]?"),
          { TYPE: variablesOf(), VAR: string("Apple") }
        ),
        command(
          "resetNewVarData",
          Scratch.translate("reset got new value of [TYPE] [VAR]"),
          { TYPE: variablesOf(), VAR: string("Apple") }
        ),
        "---",
        reporter("returnDirectData", Scratch.translate("direct data")),
        reporter("returnStatusCode", Scratch.translate("status code")),
        command(
          "createListener",
          Scratch.translate("attach listener [ID] to next packet"),
          { ID: string("example-listener") }
        ),
        hat("onListener", Scratch.translate("when listener [ID] is answered"), {
          ID: string("example-listener"),
        }),
        reporter(
          "returnListenerData",
          Scratch.translate("answer to listener [ID]"),
          { ID: string("example-listener") }
        ),
        boolean(
          "returnIsNewListener",
          Scratch.translate("got answer to listener [ID]?"),
          { ID: string("example-listener") }
        ),
        command(
          "resetNewListener",
          Scratch.translate("reset got answer to listener [ID]"),
          { ID: string("example-listener") }
        ),
        command(
          "runCMDnoID",
          Scratch.translate("send command [CMD] with data [DATA]"),
          { CMD: string("direct"), DATA: string("val") }
        ),
        command(
          "runCMD",
          Scratch.translate("send command [CMD] to [ID] with data [DATA]"),
          { CMD: string("direct"), ID: string("id"), DATA: string("val") }
        ),
        "---",
        boolean("newPacketsExist", Scratch.translate("[TYPE] waiting?"), {
          TYPE: queueOf(),
        }),
        reporter(
          "getNextPacket",
          Scratch.translate("take oldest packet of [TYPE]"),
          { TYPE: queueOf() },
          { disableMonitor: true }
        ),
        reporter(
          "getAndClearPacketQueue",
          Scratch.translate("take all packets of [TYPE]"),
          { TYPE: queueOf() },
          { disableMonitor: true }
        ),
        reporter("readQueueSize", Scratch.translate("packets of [TYPE]"), {
          TYPE: queueOf(),
        }),
        reporter(
          "readQueueData",
          Scratch.translate("look at packets of [TYPE]"),
          { TYPE: queueOf() }
        ),
        command(
          "clearAllPackets",
          Scratch.translate("delete packets of [TYPE]"),
          {
            TYPE: queueOf(),
          }
        ),
        "---",
        reporter(
          "parseJSON",
          Scratch.translate("[PATH] of JSON [JSON_STRING]"),
          { PATH: string("fruit/apples"), JSON_STRING: string(EXAMPLE) }
        ),
        reporter(
          "getFromJSONArray",
          Scratch.translate("item [NUM] of JSON array [ARRAY]"),
          { NUM: number(0), ARRAY: string('["foo","bar"]') }
        ),
        reporter("makeJSON", Scratch.translate("[toBeJSONified] as JSON"), {
          toBeJSONified: string('{"test": true}'),
        }),
        boolean("isValidJSON", Scratch.translate("is [JSON_STRING] JSON?"), {
          JSON_STRING: string(EXAMPLE),
        }),
        reporter("fetchURL", Scratch.translate("text at [url]"), {
          url: string("https://extensions.turbowarp.org/hello.txt"),
        }),
        reporter(
          "requestURL",
          Scratch.translate(
            "answer to [method] request to [url] with data [data] and headers [headers]"
          ),
          {
            method: string("GET"),
            url: string("https://extensions.turbowarp.org/hello.txt"),
            data: string("{}"),
            headers: string("{}"),
          }
        ),
        command(
          "changeLogToConsole",
          Scratch.translate("log packets to the browser's console: [BOOL]"),
          { BOOL: choice("boolmenu", "Enable") }
        ),
      ];
    }

    /** What is never offered any more and still stands in saved projects. */
    oldBlocks() {
      return [
        command(
          "changeIPFetcher",
          Scratch.translate("fetch IP address from [url] (does nothing)"),
          { url: choice("ipfetchers", "Default") },
          { hideFromPalette: true }
        ),
      ];
    }

    buttons() {
      if (!runtime) return [];
      return [
        {
          blockType: BlockType.BUTTON,
          func: "showMoreBlocks",
          text: Scratch.translate("Show more blocks"),
          hideFromPalette: this.showsMore,
        },
        {
          blockType: BlockType.BUTTON,
          func: "showFewerBlocks",
          text: Scratch.translate("Show fewer blocks"),
          hideFromPalette: !this.showsMore,
        },
      ];
    }

    menus() {
      const data = [
        { text: Scratch.translate("global data"), value: "Global data" },
        { text: Scratch.translate("private data"), value: "Private data" },
        { text: Scratch.translate("direct data"), value: "Direct data" },
        { text: Scratch.translate("status code"), value: "Status code" },
      ];
      const variables = [
        {
          text: Scratch.translate("global variable"),
          value: "Global variables",
        },
        {
          text: Scratch.translate("private variable"),
          value: "Private variables",
        },
      ];
      const everything = {
        text: Scratch.translate("all data"),
        value: EVERYTHING,
      };
      return {
        datamenu: { items: data },
        varmenu: { items: variables },
        almostallmenu: { items: [...data, ...variables] },
        allmenu: { items: [...data, ...variables, everything] },
        boolmenu: {
          items: [
            { text: Scratch.translate("on"), value: "Enable" },
            { text: Scratch.translate("off"), value: "Disable" },
          ],
        },
        ipfetchers: { items: ["Default", "Meower"] },
      };
    }

    showMoreBlocks() {
      this.showsMore = true;
      Scratch.vm.extensionManager.refreshBlocks(ID);
    }

    showFewerBlocks() {
      this.showsMore = false;
      Scratch.vm.extensionManager.refreshBlocks(ID);
    }

    /* ........................................................................... hats */

    onConnect() {
      return this.hats.asks("onConnect");
    }

    onClose() {
      return this.hats.asks("onClose");
    }

    whenConnectionLost() {
      return this.hats.asks("whenConnectionLost");
    }

    whenConnectionBack() {
      return this.hats.asks("whenConnectionBack");
    }

    whenuserconnects() {
      return this.hats.asks("whenuserconnects");
    }

    whenuserdisconnects() {
      return this.hats.asks("whenuserdisconnects");
    }

    onNewPacket({ TYPE }) {
      const kind = ANY.get(TYPE);
      return this.hats.asks("onNewPacket", (news) => news.kind === kind);
    }

    onNewVar({ TYPE, VAR }) {
      const [kind, name] = [VARIABLES.get(TYPE), written(VAR)];
      return this.hats.asks(
        "onNewVar",
        (news) => news.kind === kind && news.name === name
      );
    }

    onListener({ ID: listener }) {
      const id = written(listener);
      return this.hats.asks("onListener", (news) => news.id === id);
    }

    /* ..................................................................... connecting */

    openSocket({ IP }) {
      return this.session.connect(address(IP));
    }

    openSocketPublicServers({ ID: number }) {
      const server = new Map(Object.entries(SERVERS)).get(written(number));
      return this.session.connect(server ? server.url : "");
    }

    closeSocket() {
      this.session.disconnect();
    }

    setReconnect({ BOOL }) {
      this.session.setReconnects(BOOL === "Enable");
    }

    getComState() {
      return this.session.connected;
    }

    returnLinkData() {
      return String(this.session.status);
    }

    getComLostConnectionState() {
      return this.session.status === FAILED && this.session.hadConnection;
    }

    getComFailedConnectionState() {
      return this.session.status === FAILED && !this.session.hadConnection;
    }

    roundTripTime() {
      return this.session.roundTripTime;
    }

    returnServerList() {
      return JSON.stringify(SERVERS);
    }

    returnServerVersion() {
      return this.session.version;
    }

    returnMOTD() {
      return this.session.motd;
    }

    returnClientIP() {
      return this.session.ip;
    }

    returnVersionData() {
      return `${editor()} ${VERSION}`;
    }

    /* ......................................................................... people */

    setMyName({ NAME }) {
      this.session.setName(written(NAME));
    }

    getUsernameState() {
      return this.session.name !== null;
    }

    returnUsernameDataNew() {
      return this.session.name ?? "";
    }

    returnUsernameData() {
      return this.session.name === null ? "{}" : shown(this.session.user);
    }

    returnUserObject() {
      return shown(this.session.user ?? {});
    }

    returnUserListData() {
      return JSON.stringify(this.session.people);
    }

    checkForID({ ID: user }) {
      return this.session.people.has(written(user));
    }

    recentlyjoined() {
      return this.session.joined;
    }

    recentlyleft() {
      return this.session.left;
    }

    countUsers({ ROOM }) {
      return this.session.people.count(written(ROOM));
    }

    /* ........................................................................ sending */

    sendGData({ DATA: data }) {
      this.session.send({ cmd: "gmsg", val: typed(data) }, { routed: true });
    }

    sendPData({ DATA: data, ID: user }) {
      if (!this.session.hasName) return;
      const packet = { cmd: "pmsg", val: typed(data), id: recipients(user) };
      this.session.send(packet, { routed: true });
    }

    sendGDataAsVar({ DATA: data, VAR }) {
      const packet = { cmd: "gvar", name: written(VAR), val: typed(data) };
      this.session.send(packet, { routed: true });
    }

    sendPDataAsVar({ DATA: data, ID: user, VAR }) {
      if (!this.session.hasName) return;
      const name = written(VAR);
      const id = recipients(user);
      const packet = { cmd: "pvar", name, val: typed(data), id };
      this.session.send(packet, { routed: true });
    }

    setPace({ RATE }) {
      this.session.pace.set(Scratch.Cast.toNumber(RATE));
    }

    runCMDnoID({ CMD, DATA: data }) {
      this.session.send({ cmd: written(CMD), val: typed(data) });
    }

    runCMD({ CMD, ID: user, DATA: data }) {
      if (!this.session.hasName) return;
      const id = recipients(user);
      this.session.send({ cmd: written(CMD), id, val: typed(data) });
    }

    createListener({ ID: listener }) {
      this.session.attach(written(listener));
    }

    linkToRooms({ ROOMS }) {
      this.session.link(roomNames(ROOMS));
    }

    selectRoomsInNextPacket({ ROOMS }) {
      this.session.select(roomNames(ROOMS));
    }

    unlinkFromRooms() {
      this.session.unlink();
    }

    getRoomState() {
      return this.session.linked;
    }

    /* ...................................................................... receiving */

    value(kind) {
      return this.session.inbox.values.get(kind) ?? "";
    }

    returnGlobalData() {
      return this.value("gmsg");
    }

    returnPrivateData() {
      return this.value("pmsg");
    }

    returnDirectData() {
      return this.value("direct");
    }

    returnStatusCode() {
      return this.value("statuscode");
    }

    returnIsNewData({ TYPE }) {
      const { connected, inbox } = this.session;
      return connected && inbox.fresh.has(DATA.get(TYPE));
    }

    resetNewData({ TYPE }) {
      this.session.inbox.fresh.delete(DATA.get(TYPE));
    }

    /** What is known of a variable; nothing if the menu value is unknown or no value came. */
    variable({ TYPE, VAR }) {
      const variables = this.session.inbox.variables[VARIABLES.get(TYPE)];
      return variables?.get(written(VAR));
    }

    returnVarData(args) {
      return this.variable(args)?.text ?? "";
    }

    returnPreviousVarData(args) {
      return this.variable(args)?.previous ?? "";
    }

    returnIsNewVarData(args) {
      const { connected } = this.session;
      return connected && (this.variable(args)?.fresh ?? false);
    }

    resetNewVarData(args) {
      const variable = this.variable(args);
      if (variable) variable.fresh = false;
    }

    listener({ ID: listener }) {
      return this.session.inbox.listeners.get(written(listener));
    }

    returnListenerData(args) {
      return this.listener(args)?.text ?? "";
    }

    returnIsNewListener(args) {
      const { connected } = this.session;
      return connected && (this.listener(args)?.fresh ?? false);
    }

    resetNewListener(args) {
      const listener = this.listener(args);
      if (listener) listener.fresh = false;
    }

    newPacketsExist({ TYPE }) {
      return this.session.inbox.size(TYPE) > 0;
    }

    getNextPacket({ TYPE }) {
      return this.session.inbox.next(TYPE);
    }

    getAndClearPacketQueue({ TYPE }) {
      const { inbox } = this.session;
      const packets = inbox.list(TYPE);
      inbox.clearQueues(TYPE);
      return packets;
    }

    readQueueSize({ TYPE }) {
      return this.session.inbox.size(TYPE);
    }

    readQueueData({ TYPE }) {
      const { inbox } = this.session;
      if (TYPE !== EVERYTHING) return inbox.list(TYPE);
      const lists = [...ANY].map(
        ([type, kind]) => `"${kind}":${inbox.list(type)}`
      );
      return `{${lists.join(",")}}`;
    }

    clearAllPackets({ TYPE }) {
      this.session.inbox.clearQueues(TYPE);
    }

    /* ..................................................................... JSON, HTTP */

    parseJSON({ PATH, JSON_STRING }) {
      const parts = written(PATH).split("/");
      if (parts[0] === "") parts.shift();
      if (parts[parts.length - 1] === "") parts.pop();
      let value = parsed(written(JSON_STRING));
      for (const part of parts) {
        if (typeof value !== "object" || value === null) return "";
        const key = percentDecoded(part);
        value = Object.prototype.hasOwnProperty.call(value, key)
          ? value[key]
          : undefined;
      }
      return shown(value);
    }

    getFromJSONArray({ NUM, ARRAY }) {
      const array = parsed(written(ARRAY));
      return Array.isArray(array)
        ? shown(array[Scratch.Cast.toNumber(NUM)])
        : "";
    }

    makeJSON({ toBeJSONified }) {
      const json = written(toBeJSONified);
      return parsed(json) === undefined ? "Not JSON!" : json;
    }

    isValidJSON({ JSON_STRING }) {
      return parsed(written(JSON_STRING)) !== undefined;
    }

    async fetchURL({ url }) {
      return await textAt(written(url), {});
    }

    async requestURL({ method, url, data, headers }) {
      const verb = written(method).trim().toUpperCase();
      const fields = parsed(written(headers));
      const request = { method: verb, headers: isObject(fields) ? fields : {} };
      if (verb !== "GET" && verb !== "HEAD") request.body = written(data);
      return await textAt(written(url), request);
    }

    changeLogToConsole({ BOOL }) {
      this.session.logs = BOOL === "Enable";
    }

    changeIPFetcher() {
      // CloudLink 3 asked a web site for the address; a server tells it by itself.
    }
  }

  Scratch.extensions.register(new CloudLink());
})(Scratch);
