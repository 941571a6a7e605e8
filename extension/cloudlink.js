// Name: CloudLink
// ID: cloudlink
// Description: Multiplayer games, chats and shared worlds: send messages and variables to everybody who plays your project.
// By: The CloudLink founders
// License: MIT

(function (Scratch) {
  "use strict";

  const ID = "cloudlink";
  const VERSION = "1.0.0";
  const HANDSHAKE_VERSION = 3; // sent in the handshake; the published extensions send 2

  // Sandboxes of other Scratch mods lack parts of TurboWarp's API. These are minimal substitutes.
  if (!("translate" in Scratch)) Scratch.translate = (message) => message;
  if (!("Cast" in Scratch)) {
    Scratch.Cast = {
      toString: String,
      toNumber: (value) => Number(value) || 0,
    };
  }
  if (!("canFetch" in Scratch)) Scratch.canFetch = () => Promise.resolve(true);
  if (!("fetch" in Scratch)) {
    // eslint-disable-next-line no-restricted-globals -- the substitute for Scratch.fetch
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

  // The values of the block "link status".
  const IDLE = 0;
  const CONNECTING = 1;
  const CONNECTED = 2;
  const CLOSED = 3;
  const FAILED = 4;

  // Times in milliseconds.
  const GREETING_TIMEOUT = 15000; // from the open socket to the server's version
  const ANSWER_TIMEOUT = 10000; // for a username, link or unlink
  const CLOSE_TIMEOUT = 2000; // for the server's half of the closing handshake
  const MIN_RETRY_DELAY = 1000;
  const MAX_RETRY_DELAY = 30000;
  const STABLE_AFTER = 10000; // a connection that lasted this long resets the back-off
  const NAME_RETRY_DELAY = 3000; // while the server still holds the name for the lost connection
  const MAX_NAME_RETRIES = 20; // a minute: longer than a server needs to notice a dead connection
  const LIVENESS_CHECK_INTERVAL = 5000;
  const PING_AFTER_SILENCE = 15000;
  const PING_TIMEOUT = 10000;
  const PING_INTERVAL = 2000; // while "round-trip time" is read
  const GRANT_INTERVAL = 5000; // while "may I moderate?" is read
  const HAT_PULSE = 100; // how long a hat stays true in a sandbox

  // Limits on the memory that other clients can make this page use. The oldest entries are dropped first.
  const MAX_ENTRIES = 10000;
  const MAX_CHARACTERS = 2 ** 23;
  const MAX_PENDING_PACKETS = 200; // below the burst that any server accepts
  const MAX_REQUESTS = 100;

  // The listeners of packets that the extension sends on its own account.
  const OWN_LISTENERS = [
    "handshake_cfg",
    "username_cfg",
    "link",
    "unlink",
    "ping_cfg",
    "moderate_cfg",
  ];

  /**
   * Return whether a close code is final: the server does not want this client back. 1008 is a policy violation (RFC
   * 6455, section 7.4.1); servers use 4000 to 4099 for clients that they refuse, 4004 for those kicked or banned.
   */
  const isFinal = (code) => code === 1008 || (code >= 4000 && code <= 4099);

  /** How the server's sentences for those begin whom it has kicked, banned or muted, and the hats that they start. */
  const SANCTIONS = [
    { beginning: "You were kicked", opcode: "whenKicked" },
    { beginning: "You are banned", opcode: "whenBanned" },
    { beginning: "You are muted", opcode: "whenMuted" },
  ];
  const MUTED = SANCTIONS[2];

  /** The `id` of a gmsg or gvar that its sender does not get. Servers that do not know it send everybody a copy. */
  const EXCEPT_ME = Object.freeze({ except: "me" });

  // Menu values and the commands that they stand for.
  const DATA_TYPES = new Map([
    ["Global data", "gmsg"],
    ["Private data", "pmsg"],
    ["Direct data", "direct"],
    ["Status code", "statuscode"],
  ]);
  const VARIABLE_TYPES = new Map([
    ["Global variables", "gvar"],
    ["Private variables", "pvar"],
  ]);
  const ALL_DATA = "All data";
  const PACKET_TYPES = new Map([...DATA_TYPES, ...VARIABLE_TYPES]);
  const COMMANDS = [...PACKET_TYPES.values()];
  // Projects made for CloudLink 3 contain shorter menu values.
  DATA_TYPES.set("Global", "gmsg").set("Private", "pmsg");
  DATA_TYPES.set("Direct", "direct").set("Status Code", "statuscode");
  VARIABLE_TYPES.set("Global", "gvar").set("Private", "pvar");

  /* ------------------------------------------------------------------------- values */

  const isObject = (value) =>
    typeof value === "object" && value !== null && !Array.isArray(value);

  /** Parse JSON; return undefined if the text is not JSON. */
  const tryParse = (text) => {
    try {
      return JSON.parse(text);
    } catch (_error) {
      return undefined;
    }
  };

  /** Convert a received value to text: strings stay as they are, everything else becomes JSON. */
  const toText = (value) => {
    if (typeof value === "string") return value;
    if (value === undefined) return "";
    if (typeof value !== "object") return String(value);
    try {
      return JSON.stringify(value);
    } catch (_error) {
      return ""; // nested too deeply for this browser
    }
  };

  /** Convert the input of a block to text, as Scratch does. */
  const inputText = (value) => Scratch.Cast.toString(value);

  /** Convert the input of a block to the value to send: parsed JSON if that loses nothing, otherwise text. */
  const inputValue = (value) => {
    const text = inputText(value);
    const json = tryParse(text);
    if (json === undefined || json === null) return text;
    if (typeof json === "number" && Math.abs(json) > Number.MAX_SAFE_INTEGER) {
      return text;
    }
    return json;
  };

  /** The key that identifies a user: taken from a user object, or the text itself. */
  const userKey = (user) => {
    if (!isObject(user)) return toText(user);
    return toText(user.uuid ?? user.id ?? user.username);
  };

  /** Parse recipients: a name, a user object, or a JSON list of either. */
  const inputRecipients = (value) => {
    const text = inputText(value);
    const json = tryParse(text);
    if (Array.isArray(json)) return json.map(userKey);
    return isObject(json) ? userKey(json) : text;
  };

  /** Parse rooms: a JSON list of names, or one name. */
  const inputRooms = (value) => {
    const text = inputText(value);
    const json = tryParse(text);
    return Array.isArray(json) ? json.map(toText) : [text];
  };

  /** Normalize a server's address: accept `http:` URLs and addresses without a scheme. */
  const inputAddress = (value) => {
    const text = inputText(value).trim();
    if (/^https?:\/\//i.test(text)) return text.replace(/^http/i, "ws");
    if (/^\w+:\/\//.test(text) || text === "") return text;
    const local = /^(localhost|127\.|\[::1\])/i.test(text);
    return `${local ? "ws" : "wss"}://${text}`;
  };

  const decodePercents = (text) => {
    try {
      return decodeURIComponent(text);
    } catch (_error) {
      return text;
    }
  };

  /** Fetch the body of an HTTP response; return an empty text if the request fails. */
  const fetchText = async (url, request) => {
    try {
      const response = await Scratch.fetch(url, request);
      return await response.text();
    } catch (_error) {
      return "";
    }
  };

  /* ------------------------------------------------------------------ received data */

  /** A map with limits on its entries and on their total length. It evicts the oldest entries first. */
  class BoundedMap {
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

    /** Store an entry as the newest one. Its `text` counts towards the limit on characters. */
    set(key, entry) {
      this.delete(key);
      this.entries.set(key, entry);
      this.characters += entry.text.length;
      while (this.size > MAX_ENTRIES || this.characters > MAX_CHARACTERS) {
        if (this.size === 1) return;
        this.delete(this.oldestKey());
      }
    }

    delete(key) {
      const entry = this.entries.get(key);
      if (entry === undefined) return;
      this.entries.delete(key);
      this.characters -= entry.text.length;
    }

    /** Return the oldest key, or undefined if the map is empty. */
    oldestKey() {
      return this.entries.keys().next().value;
    }
  }

  /** What was received for the project: latest values, "got new" flags and queues. */
  class Inbox {
    constructor() {
      this.sequence = 0;
      this.clear();
    }

    clear() {
      this.values = new Map();
      this.newCommands = new Set();
      this.variables = { gvar: new BoundedMap(), pvar: new BoundedMap() };
      this.listeners = new BoundedMap();
      this.queues = {};
      for (const cmd of COMMANDS) this.queues[cmd] = new BoundedMap();
    }

    /** Append a packet to the queue of its command; `text` is its JSON. */
    enqueue(cmd, text) {
      this.queues[cmd].set(this.sequence++, { text });
    }

    setValue(cmd, text) {
      this.values.set(cmd, text);
      this.newCommands.add(cmd);
    }

    setVariable(cmd, name, text) {
      const before = this.variables[cmd].get(name);
      const previous = before === undefined ? "" : before.text;
      this.variables[cmd].set(name, { text, previous, isNew: true });
    }

    /** Return the commands that a menu value of a queue block selects. */
    commands(type) {
      if (type === ALL_DATA) return COMMANDS;
      return PACKET_TYPES.has(type) ? [PACKET_TYPES.get(type)] : [];
    }

    queueSize(type) {
      return this.commands(type).reduce(
        (sum, cmd) => sum + this.queues[cmd].size,
        0
      );
    }

    /** Remove the oldest packet; return its JSON, or an empty text. */
    dequeue(type) {
      const queues = this.commands(type)
        .map((cmd) => this.queues[cmd])
        .filter((queue) => queue.size > 0);
      if (queues.length === 0) return "";
      const oldest = Math.min(...queues.map((queue) => queue.oldestKey()));
      const queue = queues.find((each) => each.oldestKey() === oldest);
      const { text } = queue.get(oldest);
      queue.delete(oldest);
      return text;
    }

    /** Return the queued packets as a JSON list, in the order of arrival. */
    queueJSON(type) {
      const all = this.commands(type).flatMap((cmd) => [
        ...this.queues[cmd].entries,
      ]);
      all.sort(([one], [other]) => one - other);
      return `[${all.map(([, entry]) => entry.text).join(",")}]`;
    }

    clearQueues(type) {
      for (const cmd of this.commands(type)) this.queues[cmd].clear();
    }
  }

  /** The user lists: one for each room, and the list that the block "users" reports. */
  class UserLists {
    constructor() {
      this.clear();
    }

    clear() {
      this.latest = new Map();
      this.rooms = new Map();
    }

    set(users, room) {
      const list = new Map(
        users.filter(Boolean).map((user) => [userKey(user), user])
      );
      this.rooms.set(room, list);
      this.latest = new Map(list);
    }

    /** Add a user; return false if they were listed already. */
    add(user, room) {
      const isKnown = this.latest.has(userKey(user));
      this.latest.set(userKey(user), user);
      this.room(room).set(userKey(user), user);
      return !isKnown;
    }

    /** Remove a user; return false if they were not listed. */
    remove(user, room) {
      this.room(room).delete(userKey(user));
      return this.latest.delete(userKey(user));
    }

    room(name) {
      if (!this.rooms.has(name)) this.rooms.set(name, new Map());
      return this.rooms.get(name);
    }

    count(room) {
      return this.rooms.has(room) ? this.rooms.get(room).size : 0;
    }

    /** Return whether a user is listed; `text` is a name, an id, a uuid, or the JSON of a user object. */
    has(text) {
      const json = tryParse(text);
      const users = [...this.latest.values()];
      if (isObject(json)) {
        const given = ["uuid", "id", "username"].filter((key) => key in json);
        const compared = given[0] === "uuid" ? ["uuid"] : given;
        const isSame = (user) =>
          compared.every((key) => toText(user[key]) === toText(json[key]));
        return compared.length > 0 && users.some(isSame);
      }
      return users.some(
        (user) =>
          user === text ||
          [user.username, user.id, user.uuid].some(
            (name) => name !== undefined && toText(name) === text
          )
      );
    }

    /** Return the listed user object with this id or uuid, undefined if there is none. */
    find(id) {
      return [...this.latest.values()].find(
        (user) =>
          user.id !== undefined &&
          [user.id, user.uuid].some((key) => toText(key) === id)
      );
    }

    toJSON() {
      return [...this.latest.values()];
    }
  }

  /* -------------------------------------------------------------------------- hats */

  /**
   * Starts the scripts below hat blocks.
   *
   * Without a sandbox, the runtime starts hats as soon as something happens; it then calls the hat's block function
   * to learn whether its arguments match. In a sandbox an extension cannot start hats: the runtime calls every hat in
   * every frame, so an event stays current for HAT_PULSE milliseconds.
   */
  class Hats {
    constructor() {
      this.current = null;
      this.recent = [];
    }

    /** Start the scripts of a hat; `details` says what happened. */
    start(opcode, details = null) {
      const event = { opcode, details, until: Date.now() + HAT_PULSE };
      if (!runtime) {
        this.recent = this.recent.filter((old) => old.until > Date.now());
        this.recent.push(event);
        return;
      }
      this.current = event;
      try {
        runtime.startHats(`${ID}_${opcode}`);
      } catch (error) {
        console.error("A script of the project failed:", error);
      } finally {
        this.current = null;
      }
    }

    /** Return whether a hat matches what has just happened. */
    matches(opcode, accepts = () => true) {
      if (runtime) {
        return (
          this.current !== null &&
          this.current.opcode === opcode &&
          accepts(this.current.details)
        );
      }
      const now = Date.now();
      return this.recent.some(
        (event) =>
          event.opcode === opcode && event.until > now && accepts(event.details)
      );
    }
  }

  /* ---------------------------------------------------------------------- transport */

  /** One WebSocket at a time. Events of earlier WebSockets are ignored. */
  class Transport {
    constructor(owner) {
      this.owner = owner;
      this.attempt = null;
      this.socket = null;
      this.closing = false;
    }

    /** Whether there is a socket, or one is about to be opened. */
    get busy() {
      return this.attempt !== null;
    }

    /** Open a WebSocket if the editor allows it. */
    async open(url) {
      const attempt = (this.attempt = {});
      let allowed = false;
      try {
        // Browsers resolve any other text as a URL relative to the page.
        allowed = /^wss?:/i.test(url) && (await Scratch.canFetch(url));
      } catch (_error) {
        allowed = false;
      }
      if (this.attempt !== attempt) return;
      let socket = null;
      try {
        // eslint-disable-next-line extension/check-can-fetch -- checked above
        if (allowed) socket = new WebSocket(url);
      } catch (_error) {
        socket = null; // not a valid address, or forbidden for this page
      }
      if (socket === null) {
        this.end({ possible: false });
        return;
      }
      this.socket = socket;
      this.closing = false;
      this.listen(socket);
      this.owner.onOpening();
    }

    listen(socket) {
      const ifCurrent = (handler) => (event) => {
        if (this.socket === socket) handler(event);
      };
      socket.onopen = ifCurrent(() => {
        if (!this.closing) this.owner.onOpen();
      });
      socket.onmessage = ifCurrent((event) => {
        const isText = typeof event.data === "string";
        if (isText && !this.closing) this.owner.onText(event.data);
      });
      socket.onclose = ifCurrent((event) => {
        const { wasClean: clean, code, reason } = event;
        this.end({ clean, code, reason });
      });
    }

    send(text) {
      if (this.socket !== null && this.socket.readyState === 1) {
        this.socket.send(text);
      }
    }

    /** Start the closing handshake. The transport ends when the server has answered, or after CLOSE_TIMEOUT. */
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
      }, CLOSE_TIMEOUT);
    }

    /** Drop the socket in whatever state it is, and report the end. */
    end({ clean = false, code = 0, reason = "", possible = true }) {
      const { socket, closing } = this;
      this.attempt = null;
      this.socket = null;
      this.closing = false;
      if (socket !== null) socket.close();
      this.owner.onEnd({ clean, code, reason, possible, asked: closing });
    }
  }

  /**
   * Packets that wait for a connection. An item replaces an earlier one with the same `replaceKey`, so that only the
   * latest value of a variable waits.
   */
  class PendingQueue {
    constructor() {
      this.items = [];
    }

    add(item) {
      const { replaceKey } = item;
      if (replaceKey !== null) {
        this.items = this.items.filter((old) => old.replaceKey !== replaceKey);
      }
      this.items.push(item);
      if (this.items.length <= MAX_PENDING_PACKETS) return;
      // Drop messages rather than requests for a name or a room.
      const index = this.items.findIndex((old) => old.request === null);
      this.items.splice(Math.max(index, 0), 1);
    }

    /** Return whether a request of this kind waits. */
    has(kind) {
      return this.items.some(({ request }) => request?.kind === kind);
    }

    /** Remove and return all items. */
    drain() {
      const items = this.items;
      this.items = [];
      return items;
    }
  }

  /** Limits how often each variable is sent. Of the values in between, only the latest one is sent. */
  class RateLimiter {
    constructor(send) {
      this.send = send;
      this.interval = 0; // milliseconds between two values of a variable; 0 is without limit
      this.slots = new Map();
    }

    /** Set the limit, in values per second. */
    setRate(rate) {
      this.interval = rate > 0 ? 1000 / rate : 0;
      if (this.interval === 0) this.flushAll();
    }

    /** Send an item now, or when its variable may be sent again. */
    submit(item) {
      const now = Date.now();
      const slot = this.slots.get(item.replaceKey);
      const isEarly = slot !== undefined && now - slot.sentAt < this.interval;
      if (isEarly && !("listener" in item.packet)) {
        slot.item = item;
        if (slot.timer === 0) {
          const wait = slot.sentAt + this.interval - now;
          slot.timer = setTimeout(() => this.flush(item.replaceKey), wait);
        }
        return;
      }
      if (slot !== undefined) clearTimeout(slot.timer);
      this.slots.delete(item.replaceKey);
      if (this.interval > 0) {
        this.evictIdle(now);
        this.startSlot(item.replaceKey, now);
      }
      this.send(item);
    }

    startSlot(key, now) {
      this.slots.set(key, { sentAt: now, item: null, timer: 0 });
    }

    flush(key) {
      const { item, timer } = this.slots.get(key);
      clearTimeout(timer);
      this.startSlot(key, Date.now());
      if (item !== null) this.send(item);
    }

    flushAll() {
      for (const key of [...this.slots.keys()]) this.flush(key);
      this.slots.clear();
    }

    /** Discard the values that have not been sent. */
    clear() {
      for (const slot of this.slots.values()) clearTimeout(slot.timer);
      this.slots.clear();
    }

    evictIdle(now) {
      if (this.slots.size < MAX_ENTRIES) return;
      for (const [key, slot] of this.slots) {
        if (slot.timer === 0 && now - slot.sentAt >= this.interval) {
          this.slots.delete(key);
        }
      }
    }
  }

  /* ------------------------------------------------------------------------ session */

  /** The project's session with a server, over one transport after another. */
  class Session {
    constructor(hats) {
      this.hats = hats;
      this.transport = new Transport(this);
      this.inbox = new Inbox();
      this.users = new UserLists();
      this.pending = new PendingQueue();
      this.rateLimiter = new RateLimiter((item) => this.sendOrQueue(item));
      this.status = IDLE;
      this.hadConnection = false; // whether status 4 means "lost" rather than "failed"
      this.finalStatus = ""; // why the server has closed for good, until the project connects again
      this.sanctionReason = ""; // of the last kick, ban or mute, as a moderator wrote it
      this.lastJoined = "{}"; // JSON of a user object
      this.lastLeft = "{}";
      this.logsPackets = false;

      this.url = "";
      this.reconnects = false;
      this.tries = 0;
      this.retryTimer = 0;
      this.restore = null; // name and rooms of the lost connection, until they are restored
      this.wasLost = false; // a connection was lost, and is not restored yet
      this.livenessTimer = 0;
      this.greetingTimer = 0;
      this.resetConnection();
    }

    /** Reset what belongs to one connection. Received data survives if the session reconnects. */
    resetConnection() {
      clearTimeout(this.greetingTimer);
      for (const request of this.requests || []) clearTimeout(request.timer);
      this.users.clear();
      this.requests = []; // packets whose answers the session waits for
      this.version = "";
      this.motd = "";
      this.ip = "";
      this.name = null;
      this.requestedName = null; // not answered yet
      this.user = null;
      this.linked = false;
      this.requestedRooms = null; // of the last link
      this.rooms = new Set();
      this.nextListener = null; // the listener of the next packet
      this.nextRooms = null; // the rooms of the next message or variable
      this.lastReceivedAt = 0;
      this.connectedAt = 0;
      this.unansweredPingAt = 0; // 0 if every ping has been answered
      this.lastPingAt = 0;
      this.lastRoundTrip = ""; // milliseconds
      this.muteNotice = ""; // the last sentence about a mute, because each refused message brings it again
      this.mayModerate = false; // as the server answered last
      this.grantAskedAt = 0;
    }

    /* ..................................................................... connecting */

    /** Whether there is a connection, or the session is about to make one. */
    get active() {
      const isOpen = this.transport.busy && !this.transport.closing;
      return isOpen || this.retryTimer !== 0;
    }

    get connected() {
      return this.status === CONNECTED && !this.transport.closing;
    }

    /** Whether packets may be sent: connected, and name and rooms are restored. */
    get ready() {
      return this.connected && this.restore === null;
    }

    async connect(url) {
      if (this.transport.busy) {
        if (!this.transport.closing) return;
        this.transport.end({ clean: true });
      }
      if (url !== this.url) this.abandon();
      this.url = url;
      this.finalStatus = "";
      this.tries = 0;
      this.cancelRetry();
      await this.transport.open(url);
    }

    disconnect() {
      if (this.transport.busy) this.transport.close();
      else if (this.retryTimer !== 0) {
        this.status = CLOSED;
        this.abandon();
      }
    }

    /** Return to the initial state, for another project. */
    reset() {
      this.reconnects = false;
      this.updateLivenessTimer();
      if (this.transport.busy) {
        this.transport.closing = true;
        this.transport.end({ clean: true });
      }
      this.abandon();
      this.rateLimiter.setRate(0);
      this.logsPackets = false;
      this.status = IDLE;
      this.hadConnection = false;
      this.finalStatus = "";
      this.sanctionReason = "";
      this.lastJoined = "{}";
      this.lastLeft = "{}";
    }

    setReconnects(wanted) {
      this.reconnects = wanted;
      if (!wanted && this.retryTimer !== 0) this.abandon();
      this.updateLivenessTimer();
    }

    /** Stop reconnecting; discard what would have been restored and sent, and what has been received. */
    abandon() {
      this.cancelRetry();
      this.inbox.clear();
      this.tries = 0;
      this.restore = null;
      this.wasLost = false;
      this.pending.drain();
      this.rateLimiter.clear();
    }

    cancelRetry() {
      clearTimeout(this.retryTimer);
      this.retryTimer = 0;
    }

    onOpening() {
      this.status = CONNECTING;
    }

    onOpen() {
      this.greetingTimer = setTimeout(
        () => this.transport.end({}),
        GREETING_TIMEOUT
      );
      this.transmit({
        packet: {
          cmd: "handshake",
          val: {
            language: "Scratch",
            version: { editorType: editor(), versionNumber: HANDSHAKE_VERSION },
          },
          listener: "handshake_cfg",
        },
        request: { kind: "handshake" },
      });
    }

    /** Handle the server's version, with which the connection counts as made. */
    handleVersion(version) {
      if (this.status !== CONNECTING) return;
      clearTimeout(this.greetingTimer);
      this.version = toText(version);
      this.status = CONNECTED;
      this.hadConnection = true;
      this.connectedAt = Date.now();
      this.hats.start("onConnect");
      if (this.restore === null) this.sendPending();
      else this.restoreName();
    }

    onEnd({ clean, code, reason, possible, asked }) {
      const wasConnected = this.status === CONNECTED;
      const wasRetry = this.tries > 0 && !wasConnected;
      const refused = isFinal(code) && !asked;
      if (refused) this.finalStatus = `E:${code} | ${reason || "Refused"}`;
      if (asked) this.status = CLOSED;
      else this.status = wasConnected && clean ? CLOSED : FAILED;
      this.hadConnection = wasConnected || this.wasLost;
      if (wasConnected && Date.now() - this.connectedAt > STABLE_AFTER) {
        this.tries = 0;
      }
      if (this.reconnects && possible && !asked && !refused) {
        this.wasLost = this.wasLost || wasConnected;
        this.saveForRestore();
        this.scheduleRetry();
      } else this.abandon();
      this.resetConnection();
      // Of failed retries, only one that was the last is reported.
      if (!wasRetry || asked || this.retryTimer === 0) {
        this.hats.start("onClose");
      }
      if (wasConnected && !asked) this.hats.start("whenConnectionLost");
      if (refused) this.handleSanction(reason);
    }

    /** Note a sentence of the server about a kick, a ban or a mute, and start the hat for it; ignore any other. */
    handleSanction(text) {
      const found = SANCTIONS.find(({ beginning }) =>
        text.startsWith(beginning)
      );
      if (found === undefined) return;
      const colon = text.indexOf(": "); // none in a time such as 18:00
      this.sanctionReason = colon < 0 ? "" : text.slice(colon + 2);
      this.hats.start(found.opcode);
    }

    scheduleRetry() {
      const delay = Math.min(
        MIN_RETRY_DELAY * 2 ** this.tries,
        MAX_RETRY_DELAY
      );
      this.tries++;
      // Random, so that the players of a restarted server do not all reconnect at the same moment.
      this.retryTimer = setTimeout(
        () => {
          this.retryTimer = 0;
          this.transport.open(this.url);
        },
        delay * (0.5 + Math.random() / 2)
      );
    }

    /** While the session reconnects automatically, check regularly that the server still answers. */
    updateLivenessTimer() {
      clearInterval(this.livenessTimer);
      if (!this.reconnects) return;
      this.livenessTimer = setInterval(
        () => this.checkLiveness(),
        LIVENESS_CHECK_INTERVAL
      );
    }

    checkLiveness() {
      // Servers older than 0.2 do not know the command `ping`.
      if (!this.connected || !this.version.includes("0.2.")) return;
      const now = Date.now();
      if (this.lastPingAt > this.lastReceivedAt) {
        if (now - this.lastPingAt > PING_TIMEOUT) this.transport.end({});
      } else if (now - this.lastReceivedAt > PING_AFTER_SILENCE) this.ping();
    }

    ping() {
      const now = Date.now();
      const isWaiting = this.unansweredPingAt !== 0;
      if (isWaiting && now - this.unansweredPingAt < PING_TIMEOUT) return;
      this.unansweredPingAt = this.lastPingAt = now;
      this.transmit({
        packet: { cmd: "ping", listener: "ping_cfg" },
        request: { kind: "ping", sentAt: performance.now() },
      });
    }

    /**
     * The round-trip time in milliseconds: of the last ping, or the time that the current one has taken if that is
     * longer; empty before the first answer. Reading it starts the next measurement.
     */
    get roundTripTime() {
      if (!this.connected) return "";
      const now = Date.now();
      if (now - this.lastPingAt >= PING_INTERVAL) this.ping();
      if (this.unansweredPingAt === 0 || this.lastRoundTrip === "") {
        return this.lastRoundTrip;
      }
      return Math.max(this.lastRoundTrip, now - this.unansweredPingAt);
    }

    /**
     * Return whether the server lets this client moderate. It does not tell, so reading this asks: with a request
     * that is refused, in one way (E:109, unknown command) or the other.
     */
    get isModerator() {
      if (!this.connected) return false;
      const now = Date.now();
      if (now - this.grantAskedAt >= GRANT_INTERVAL) {
        this.grantAskedAt = now;
        this.transmit({
          packet: { cmd: "moderate", val: {}, listener: "moderate_cfg" },
          request: { kind: "grant" },
        });
      }
      return this.mayModerate;
    }

    /** Ask the server for an action of a moderator. */
    moderate(method, params) {
      this.send({ cmd: "moderate", val: { method, params } });
    }

    /* ...................................................................... restoring */

    saveForRestore() {
      if (this.restore !== null) return; // lost again before everything was restored
      const name = this.name === null ? this.requestedName : this.name;
      const rooms = [
        ...new Set([...this.rooms, ...(this.requestedRooms ?? [])]),
      ];
      if (name !== null) this.restore = { name, rooms, tries: 0 };
    }

    restoreName() {
      this.transmit(this.nameRequest(this.restore.name));
    }

    restoreRooms() {
      const { rooms } = this.restore;
      if (rooms.length > 0) this.transmit(this.linkRequest(rooms));
      else this.finishRestore();
    }

    /** Ask again for a refused name if the server may still hold it for the lost connection (E:112). */
    retryName(code) {
      const { restore } = this;
      restore.tries++;
      if (/:112\b/.test(code) && restore.tries < MAX_NAME_RETRIES) {
        setTimeout(() => {
          if (this.restore === restore && this.connected) this.restoreName();
        }, NAME_RETRY_DELAY);
      } else this.finishRestore();
    }

    finishRestore() {
      this.restore = null;
      this.sendPending();
    }

    /** Send what waited for the connection. */
    sendPending() {
      const wasLost = this.wasLost;
      this.wasLost = false;
      for (const item of this.pending.drain()) this.sendOrQueue(item);
      if (wasLost) this.hats.start("whenConnectionBack");
    }

    /* ........................................................................ sending */

    /** Send the packet of a block, with the attached listener and, if it is `routed`, the selected rooms. */
    send(packet, { request = null, routed = false } = {}) {
      if (!this.active) return;
      if (routed && this.nextRooms !== null) {
        packet.rooms = this.nextRooms;
        this.nextRooms = null;
      }
      if (this.nextListener !== null) {
        packet.listener = this.nextListener;
        this.nextListener = null;
      }
      const { cmd, name, id, rooms, val } = packet;
      const isVariable = routed && "name" in packet;
      let replaceKey = null;
      // A global variable is one variable, whether or not its sender is left out.
      const recipients = id === EXCEPT_ME ? undefined : id;
      if (isVariable) {
        replaceKey = JSON.stringify([cmd, name, recipients, rooms]);
      } else if (request?.kind === "link")
        replaceKey = JSON.stringify([cmd, val]);
      const item = { packet, request, replaceKey };
      if (isVariable) this.rateLimiter.submit(item);
      else this.sendOrQueue(item);
    }

    sendOrQueue(item) {
      if (this.ready) this.transmit(item);
      else if (this.active) this.pending.add(item);
    }

    transmit({ packet, request }) {
      if (request) this.trackRequest(packet, request);
      let text;
      try {
        text = JSON.stringify(packet);
      } catch (_error) {
        return; // nested too deeply for this browser
      }
      if (this.logsPackets) console.log("CloudLink sends", text);
      this.transport.send(text);
    }

    /** Remember a request, so that its answer is recognized. */
    trackRequest(packet, request) {
      request.listener = toText(packet.listener);
      request.timer = setTimeout(() => this.expire(request), ANSWER_TIMEOUT);
      this.requests.push(request);
      if (this.requests.length > MAX_REQUESTS) this.requests.shift();
      if (request.kind === "username") this.requestedName = request.name;
      if (request.kind === "link") this.requestedRooms = request.rooms;
      if (request.kind === "unlink") this.forgetRooms();
    }

    /** Forget the rooms, so that reconnecting does not enter them again. */
    forgetRooms() {
      this.requestedRooms = null;
      this.rooms.clear();
    }

    /** Whether there is a username, or one has been requested. */
    get hasName() {
      const isComing = this.restore !== null || this.pending.has("username");
      return this.name !== null || this.requestedName !== null || isComing;
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
      const isSame =
        JSON.stringify(rooms) === JSON.stringify(this.requestedRooms);
      if (!this.hasName || isSame) return;
      const { packet, request } = this.linkRequest(rooms);
      this.send(packet, { request });
    }

    unlink() {
      if (!this.hasName) return;
      const packet = { cmd: "unlink", val: "", listener: "unlink" };
      this.send(packet, { request: { kind: "unlink" } });
    }

    /** Select the rooms of the next message or variable. Ignored unless the client is in rooms or has asked to be. */
    selectRooms(rooms) {
      const isComing = this.restore !== null || this.pending.has("link");
      if (!this.linked && this.requestedRooms === null && !isComing) return;
      if (this.nextRooms === null) this.nextRooms = rooms;
    }

    attachListener(listener) {
      if (this.nextListener === null) this.nextListener = listener;
    }

    /* ...................................................................... receiving */

    onText(text) {
      this.lastReceivedAt = Date.now();
      if (this.logsPackets) console.log("CloudLink receives", text);
      const packet = tryParse(text);
      if (!isObject(packet)) return;
      try {
        this.handle(packet, JSON.stringify(packet));
      } catch (error) {
        if (!(error instanceof RangeError)) throw error; // nested too deeply for this browser
      }
    }

    handle(packet, text) {
      const { cmd, val } = packet;
      if (cmd === "direct" && val === null) packet.val = "";
      if (cmd === "server_version") this.handleVersion(val);
      else if (cmd === "client_obj") this.user = isObject(val) ? val : null;
      else if (cmd === "client_ip") this.ip = toText(val);
      else if (cmd === "motd") this.motd = toText(val);
      else if (cmd === "ulist") this.handleUserList(packet);
      else if (cmd === "direct" && this.isGreeting(packet)) {
        if (val.cmd === "vers") this.handleVersion(val.val);
        else this.motd = toText(val.val);
      } else if (cmd === "statuscode") this.handleStatus(packet, text);
      else this.deliver(packet, text);
    }

    /** Return whether this is the greeting of an old server. Other clients cannot send one before the version. */
    isGreeting({ origin, val }) {
      const isEarly = this.version === "" && origin === undefined;
      return isEarly && isObject(val) && ["vers", "motd"].includes(val.cmd);
    }

    handleUserList({ mode = "set", val, rooms = DEFAULT_ROOM }) {
      const room = toText(rooms);
      if (mode === "set") {
        const names = typeof val === "string" ? val.split(";") : val;
        this.users.set(Array.isArray(names) ? names : [], room);
      } else if (!isObject(val)) return;
      else if (mode === "add" && this.users.add(val, room)) {
        this.lastJoined = toText(val);
        this.hats.start("whenuserconnects");
      } else if (mode === "remove" && this.users.remove(val, room)) {
        this.lastLeft = toText(val);
        this.hats.start("whenuserdisconnects");
      }
    }

    handleStatus(packet, text) {
      const code = toText(packet.code ?? packet.val);
      const listener = toText(packet.listener);
      const index =
        packet.listener === undefined
          ? -1
          : this.requests.findIndex((each) => each.listener === listener);
      if (index >= 0) {
        const [request] = this.requests.splice(index, 1);
        const isOwn = OWN_LISTENERS.includes(request.listener);
        const isOk = code.includes("I:100");
        this.handleAnswer(request, isOk, packet.val, code);
        const isQuestion = ["ping", "grant"].includes(request.kind);
        if (isOwn && (isOk || isQuestion)) return;
      }
      this.deliver(packet, text, code);
      const details = toText(packet.details);
      if (details.startsWith(MUTED.beginning) && details !== this.muteNotice) {
        this.muteNotice = details;
        this.handleSanction(details);
      }
    }

    /** Store a packet for the project, then start the matching hats. */
    deliver(packet, text, code) {
      const { cmd, listener } = packet;
      const isVariable = cmd === "gvar" || cmd === "pvar";
      const name = toText(packet.name);
      if (isVariable) this.inbox.setVariable(cmd, name, toText(packet.val));
      else if (COMMANDS.includes(cmd)) {
        this.inbox.setValue(cmd, code ?? toText(packet.val));
      }
      if (COMMANDS.includes(cmd)) this.inbox.enqueue(cmd, text);
      const id = listener === undefined ? null : toText(listener);
      if (id !== null) this.inbox.listeners.set(id, { text, isNew: true });
      if (this.status !== CONNECTED) return;
      if (COMMANDS.includes(cmd)) this.hats.start("onNewPacket", { cmd });
      if (isVariable) this.hats.start("onNewVar", { cmd, name });
      if (id !== null) this.hats.start("onListener", { id });
    }

    /* ........................................................................ answers */

    handleAnswer(request, isOk, val, code) {
      clearTimeout(request.timer);
      if (request.kind === "username") this.handleNameAnswer(isOk, val, code);
      else if (request.kind === "link") this.handleLinkAnswer(request, isOk);
      else if (request.kind === "unlink" && isOk) {
        this.linked = false;
        this.rooms.clear();
        for (const room of [...this.users.rooms.keys()]) {
          if (room !== DEFAULT_ROOM) this.users.rooms.delete(room);
        }
      } else if (request.kind === "grant") {
        this.mayModerate = !/:109\b/.test(code);
      } else if (request.kind === "ping") {
        this.unansweredPingAt = 0;
        this.lastRoundTrip = Math.round(performance.now() - request.sentAt);
      }
    }

    handleNameAnswer(isOk, val, code) {
      const requested = this.requestedName;
      this.requestedName = null;
      if (isOk) {
        this.user = isObject(val) ? val : { username: requested };
        this.name = toText(this.user.username ?? requested);
        if (this.restore !== null) this.restoreRooms();
      } else if (this.restore !== null) this.retryName(code);
    }

    handleLinkAnswer({ rooms }, isOk) {
      if (isOk) {
        this.linked = true;
        for (const room of rooms) this.rooms.add(room);
        if (!rooms.includes(DEFAULT_ROOM)) {
          this.users.rooms.delete(DEFAULT_ROOM);
        }
      } else this.requestedRooms = null;
      if (this.restore !== null) this.finishRestore();
    }

    /** Treat a request without an answer as refused, so that the project can try again. */
    expire(request) {
      const { kind, name, rooms } = request;
      if (kind === "username" && this.requestedName === name) {
        this.handleNameAnswer(false, null, "");
      } else if (kind === "link" && this.requestedRooms === rooms) {
        this.handleLinkAnswer(request, false);
      }
    }
  }

  /* ------------------------------------------------------------------------- blocks */

  const { ArgumentType, BlockType } = Scratch;

  const icon = (background) =>
    `data:image/svg+xml,${encodeURIComponent(
      `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40" viewBox="0 0 40 40">${background}<g fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"><path d="M13 21.5a5.6 5.6 0 0 1 .6-11.1 7.4 7.4 0 0 1 13.9 1.4 4.9 4.9 0 0 1-.2 9.7z" stroke-linejoin="round"/><path d="M20 21.5v5M20 26.5l-7.5 4.6M20 26.5l7.5 4.6"/></g><g fill="#fff"><circle cx="11.5" cy="31.7" r="3.1"/><circle cx="28.5" cy="31.7" r="3.1"/></g></svg>`
    )}`;
  const COLOUR = "#2f6fa7";
  const DARKER = ["#285f90", "#214f78"];
  const BLOCK_ICON = icon("");
  const MENU_ICON = icon(`<circle cx="20" cy="20" r="20" fill="${COLOUR}"/>`);

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
  const dataMenu = () => choice("datamenu", "Global data");
  const variableMenu = () => choice("varmenu", "Global variables");
  const queueMenu = () => choice("allmenu", "All data");
  const EXAMPLE_JSON =
    '{"fruit": {"apples": 2, "bananas": 3}, "total_fruit": 5}';

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
  // Without a sandbox, hats without arguments are events: the runtime starts them without calling a block function.
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
      this.showsAdvanced = !runtime;
      if (runtime) {
        // A newly loaded project must not inherit the connection of the previous one.
        runtime.on("RUNTIME_DISPOSED", () => this.session.reset());
      }
    }

    getInfo() {
      const advanced = this.advancedBlocks();
      for (const each of advanced) {
        if (each !== "---") each.hideFromPalette = !this.showsAdvanced;
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
          ...advanced,
          ...this.retiredBlocks(),
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
        command(
          "sendGDataToOthers",
          Scratch.translate("send [DATA] to everybody but me"),
          { DATA: string("Apple") }
        ),
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
          "sendGDataAsVarToOthers",
          Scratch.translate(
            "set global variable [VAR] to [DATA] for everybody but me"
          ),
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
          TYPE: variableMenu(),
          VAR: string("Apple"),
        }),
        reporter("returnVarData", Scratch.translate("[TYPE] [VAR]"), {
          TYPE: variableMenu(),
          VAR: string("Apple"),
        }),
        reporter(
          "returnPreviousVarData",
          Scratch.translate("previous value of [TYPE] [VAR]"),
          { TYPE: variableMenu(), VAR: string("Apple") }
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

    advancedBlocks() {
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
        hat("whenKicked", Scratch.translate("when I am kicked")),
        hat("whenBanned", Scratch.translate("when I am banned")),
        hat("whenMuted", Scratch.translate("when I am muted")),
        reporter(
          "sanctionReason",
          Scratch.translate("reason for the kick, ban or mute")
        ),
        boolean("mayModerate", Scratch.translate("may I moderate?")),
        command(
          "kickUser",
          Scratch.translate("kick [ID] because of [REASON]"),
          {
            ID: string("Another name"),
            REASON: string("spam"),
          }
        ),
        command(
          "muteUser",
          Scratch.translate(
            "mute [ID] for [SECONDS] seconds because of [REASON]"
          ),
          {
            ID: string("Another name"),
            SECONDS: number(300),
            REASON: string("spam"),
          }
        ),
        command("lockRoom", Scratch.translate("lock room [ROOM]: [BOOL]"), {
          ROOM: string("test"),
          BOOL: choice("boolmenu", "Enable"),
        }),
        command("quietRoom", Scratch.translate("quiet room [ROOM]: [BOOL]"), {
          ROOM: string(DEFAULT_ROOM),
          BOOL: choice("boolmenu", "Enable"),
        }),
        "---",
        boolean("returnIsNewData", Scratch.translate("got new [TYPE]?"), {
          TYPE: dataMenu(),
        }),
        command("resetNewData", Scratch.translate("reset got new [TYPE]"), {
          TYPE: dataMenu(),
        }),
        boolean(
          "returnIsNewVarData",
          Scratch.translate("got new value of [TYPE] [VAR]?"),
          { TYPE: variableMenu(), VAR: string("Apple") }
        ),
        command(
          "resetNewVarData",
          Scratch.translate("reset got new value of [TYPE] [VAR]"),
          { TYPE: variableMenu(), VAR: string("Apple") }
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
          TYPE: queueMenu(),
        }),
        reporter(
          "getNextPacket",
          Scratch.translate("take oldest packet of [TYPE]"),
          { TYPE: queueMenu() },
          { disableMonitor: true }
        ),
        reporter(
          "getAndClearPacketQueue",
          Scratch.translate("take all packets of [TYPE]"),
          { TYPE: queueMenu() },
          { disableMonitor: true }
        ),
        reporter("readQueueSize", Scratch.translate("packets of [TYPE]"), {
          TYPE: queueMenu(),
        }),
        reporter(
          "readQueueData",
          Scratch.translate("look at packets of [TYPE]"),
          { TYPE: queueMenu() }
        ),
        command(
          "clearAllPackets",
          Scratch.translate("delete packets of [TYPE]"),
          {
            TYPE: queueMenu(),
          }
        ),
        "---",
        reporter(
          "parseJSON",
          Scratch.translate("[PATH] of JSON [JSON_STRING]"),
          { PATH: string("fruit/apples"), JSON_STRING: string(EXAMPLE_JSON) }
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
          JSON_STRING: string(EXAMPLE_JSON),
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

    /** Blocks that are never shown and exist only for saved projects. */
    retiredBlocks() {
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
          hideFromPalette: this.showsAdvanced,
        },
        {
          blockType: BlockType.BUTTON,
          func: "showFewerBlocks",
          text: Scratch.translate("Show fewer blocks"),
          hideFromPalette: !this.showsAdvanced,
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
        value: ALL_DATA,
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
      this.showsAdvanced = true;
      Scratch.vm.extensionManager.refreshBlocks(ID);
    }

    showFewerBlocks() {
      this.showsAdvanced = false;
      Scratch.vm.extensionManager.refreshBlocks(ID);
    }

    /* ........................................................................... hats */

    onConnect() {
      return this.hats.matches("onConnect");
    }

    onClose() {
      return this.hats.matches("onClose");
    }

    whenConnectionLost() {
      return this.hats.matches("whenConnectionLost");
    }

    whenConnectionBack() {
      return this.hats.matches("whenConnectionBack");
    }

    whenuserconnects() {
      return this.hats.matches("whenuserconnects");
    }

    whenuserdisconnects() {
      return this.hats.matches("whenuserdisconnects");
    }

    whenKicked() {
      return this.hats.matches("whenKicked");
    }

    whenBanned() {
      return this.hats.matches("whenBanned");
    }

    whenMuted() {
      return this.hats.matches("whenMuted");
    }

    onNewPacket({ TYPE }) {
      const cmd = PACKET_TYPES.get(TYPE);
      return this.hats.matches("onNewPacket", (event) => event.cmd === cmd);
    }

    onNewVar({ TYPE, VAR }) {
      const [cmd, name] = [VARIABLE_TYPES.get(TYPE), inputText(VAR)];
      return this.hats.matches(
        "onNewVar",
        (event) => event.cmd === cmd && event.name === name
      );
    }

    onListener({ ID: listener }) {
      const id = inputText(listener);
      return this.hats.matches("onListener", (event) => event.id === id);
    }

    /* ..................................................................... connecting */

    openSocket({ IP }) {
      return this.session.connect(inputAddress(IP));
    }

    openSocketPublicServers({ ID: number }) {
      const server = new Map(Object.entries(SERVERS)).get(inputText(number));
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
      this.session.setName(inputText(NAME));
    }

    getUsernameState() {
      return this.session.name !== null;
    }

    returnUsernameDataNew() {
      return this.session.name ?? "";
    }

    returnUsernameData() {
      return this.session.name === null ? "{}" : toText(this.session.user);
    }

    returnUserObject() {
      return toText(this.session.user ?? {});
    }

    returnUserListData() {
      return JSON.stringify(this.session.users);
    }

    checkForID({ ID: user }) {
      return this.session.users.has(inputText(user));
    }

    recentlyjoined() {
      return this.session.lastJoined;
    }

    recentlyleft() {
      return this.session.lastLeft;
    }

    countUsers({ ROOM }) {
      return this.session.users.count(inputText(ROOM));
    }

    /* ..................................................................... moderating */

    sanctionReason() {
      return this.session.sanctionReason;
    }

    mayModerate() {
      return this.session.isModerator;
    }

    /** Return what names a person in the params of a moderator's action: an id if the input is one, else a name. */
    person(user) {
      const { users } = this.session;
      const [text, json] = [inputText(user), tryParse(inputText(user))];
      const listed = users.find(isObject(json) ? userKey(json) : text);
      return listed === undefined ? { name: text } : { id: toText(listed.id) };
    }

    kickUser({ ID: user, REASON: reason }) {
      this.session.moderate("clients.kick", {
        ...this.person(user),
        reason: inputText(reason),
      });
    }

    muteUser({ ID: user, SECONDS, REASON: reason }) {
      const { name, id } = this.person(user);
      this.session.moderate("mutes.add", {
        target: id === undefined ? { name } : { client: id },
        seconds: Scratch.Cast.toNumber(SECONDS),
        reason: inputText(reason),
      });
    }

    lockRoom({ ROOM, BOOL }) {
      this.session.moderate("rooms.set", {
        name: inputText(ROOM),
        locked: BOOL === "Enable",
      });
    }

    quietRoom({ ROOM, BOOL }) {
      this.session.moderate("rooms.set", {
        name: inputText(ROOM),
        frozen: BOOL === "Enable",
      });
    }

    /* ........................................................................ sending */

    sendGData({ DATA: data }) {
      this.session.send(
        { cmd: "gmsg", val: inputValue(data) },
        { routed: true }
      );
    }

    sendGDataToOthers({ DATA: data }) {
      this.session.send(
        { cmd: "gmsg", val: inputValue(data), id: EXCEPT_ME },
        { routed: true }
      );
    }

    sendPData({ DATA: data, ID: user }) {
      if (!this.session.hasName) return;
      const packet = {
        cmd: "pmsg",
        val: inputValue(data),
        id: inputRecipients(user),
      };
      this.session.send(packet, { routed: true });
    }

    sendGDataAsVar({ DATA: data, VAR }) {
      const packet = {
        cmd: "gvar",
        name: inputText(VAR),
        val: inputValue(data),
      };
      this.session.send(packet, { routed: true });
    }

    sendGDataAsVarToOthers({ DATA: data, VAR }) {
      const packet = {
        cmd: "gvar",
        name: inputText(VAR),
        val: inputValue(data),
        id: EXCEPT_ME,
      };
      this.session.send(packet, { routed: true });
    }

    sendPDataAsVar({ DATA: data, ID: user, VAR }) {
      if (!this.session.hasName) return;
      const name = inputText(VAR);
      const id = inputRecipients(user);
      const packet = { cmd: "pvar", name, val: inputValue(data), id };
      this.session.send(packet, { routed: true });
    }

    setPace({ RATE }) {
      this.session.rateLimiter.setRate(Scratch.Cast.toNumber(RATE));
    }

    runCMDnoID({ CMD, DATA: data }) {
      this.session.send({ cmd: inputText(CMD), val: inputValue(data) });
    }

    runCMD({ CMD, ID: user, DATA: data }) {
      if (!this.session.hasName) return;
      const id = inputRecipients(user);
      this.session.send({ cmd: inputText(CMD), id, val: inputValue(data) });
    }

    createListener({ ID: listener }) {
      this.session.attachListener(inputText(listener));
    }

    linkToRooms({ ROOMS }) {
      this.session.link(inputRooms(ROOMS));
    }

    selectRoomsInNextPacket({ ROOMS }) {
      this.session.selectRooms(inputRooms(ROOMS));
    }

    unlinkFromRooms() {
      this.session.unlink();
    }

    getRoomState() {
      return this.session.linked;
    }

    /* ...................................................................... receiving */

    value(cmd) {
      return this.session.inbox.values.get(cmd) ?? "";
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
      return this.session.finalStatus || this.value("statuscode");
    }

    returnIsNewData({ TYPE }) {
      const { connected, inbox } = this.session;
      return connected && inbox.newCommands.has(DATA_TYPES.get(TYPE));
    }

    resetNewData({ TYPE }) {
      this.session.inbox.newCommands.delete(DATA_TYPES.get(TYPE));
    }

    /** Return a variable; undefined if the menu value is unknown or no value has been received. */
    variable({ TYPE, VAR }) {
      const variables = this.session.inbox.variables[VARIABLE_TYPES.get(TYPE)];
      return variables?.get(inputText(VAR));
    }

    returnVarData(args) {
      return this.variable(args)?.text ?? "";
    }

    returnPreviousVarData(args) {
      return this.variable(args)?.previous ?? "";
    }

    returnIsNewVarData(args) {
      const { connected } = this.session;
      return connected && (this.variable(args)?.isNew ?? false);
    }

    resetNewVarData(args) {
      const variable = this.variable(args);
      if (variable) variable.isNew = false;
    }

    listener({ ID: listener }) {
      return this.session.inbox.listeners.get(inputText(listener));
    }

    returnListenerData(args) {
      return this.listener(args)?.text ?? "";
    }

    returnIsNewListener(args) {
      const { connected } = this.session;
      return connected && (this.listener(args)?.isNew ?? false);
    }

    resetNewListener(args) {
      const listener = this.listener(args);
      if (listener) listener.isNew = false;
    }

    newPacketsExist({ TYPE }) {
      return this.session.inbox.queueSize(TYPE) > 0;
    }

    getNextPacket({ TYPE }) {
      return this.session.inbox.dequeue(TYPE);
    }

    getAndClearPacketQueue({ TYPE }) {
      const { inbox } = this.session;
      const packets = inbox.queueJSON(TYPE);
      inbox.clearQueues(TYPE);
      return packets;
    }

    readQueueSize({ TYPE }) {
      return this.session.inbox.queueSize(TYPE);
    }

    readQueueData({ TYPE }) {
      const { inbox } = this.session;
      if (TYPE !== ALL_DATA) return inbox.queueJSON(TYPE);
      const lists = [...PACKET_TYPES].map(
        ([type, cmd]) => `"${cmd}":${inbox.queueJSON(type)}`
      );
      return `{${lists.join(",")}}`;
    }

    clearAllPackets({ TYPE }) {
      this.session.inbox.clearQueues(TYPE);
    }

    /* ..................................................................... JSON, HTTP */

    parseJSON({ PATH, JSON_STRING }) {
      const parts = inputText(PATH).split("/");
      if (parts[0] === "") parts.shift();
      if (parts[parts.length - 1] === "") parts.pop();
      let value = tryParse(inputText(JSON_STRING));
      for (const part of parts) {
        if (typeof value !== "object" || value === null) return "";
        const key = decodePercents(part);
        value = Object.prototype.hasOwnProperty.call(value, key)
          ? value[key]
          : undefined;
      }
      return toText(value);
    }

    getFromJSONArray({ NUM, ARRAY }) {
      const array = tryParse(inputText(ARRAY));
      return Array.isArray(array)
        ? toText(array[Scratch.Cast.toNumber(NUM)])
        : "";
    }

    makeJSON({ toBeJSONified }) {
      const json = inputText(toBeJSONified);
      return tryParse(json) === undefined ? "Not JSON!" : json;
    }

    isValidJSON({ JSON_STRING }) {
      return tryParse(inputText(JSON_STRING)) !== undefined;
    }

    async fetchURL({ url }) {
      return await fetchText(inputText(url), {});
    }

    async requestURL({ method, url, data, headers }) {
      const verb = inputText(method).trim().toUpperCase();
      const fields = tryParse(inputText(headers));
      const request = { method: verb, headers: isObject(fields) ? fields : {} };
      if (verb !== "GET" && verb !== "HEAD") request.body = inputText(data);
      return await fetchText(inputText(url), request);
    }

    changeLogToConsole({ BOOL }) {
      this.session.logsPackets = BOOL === "Enable";
    }

    changeIPFetcher() {
      // CloudLink 3 asked a web site for the IP address; since CloudLink 4 the server sends it.
    }
  }

  Scratch.extensions.register(new CloudLink());
})(Scratch);
