// A CloudLink client for web pages and Node.js; cloudlink.d.mts describes it.

const FIRST_DELAY = 0.5; // seconds between attempts to connect; doubled each time
const LONGEST_DELAY = 30;
const STABLE_AFTER = 10; // seconds of connection that reset the delay
const NAME_IN_USE = 112;
const NUMERIC_TEXT = /^(?![-.]$)-?\d*(\.\d*)?$/;

export class ClientError extends Error {
	constructor(name, message, details) {
		super(message);
		Object.assign(this, { name }, details);
	}
}

// The socket, connecting again, and events. Subclasses speak a protocol.
class Client {
	connected = false;
	_handlers = {};
	_delay = FIRST_DELAY;

	constructor(url, options) {
		this.url = url;
		this._options = { timeout: 10, wait: false, reconnect: true, ...options };
	}

	on(type, handler) {
		const handlers = (this._handlers[type] ??= new Set());
		handlers.add(handler);
		return () => handlers.delete(handler);
	}

	close() {
		this._finish(new ClientError("DisconnectedError", "Closed from here."));
	}

	_connect() {
		return new Promise((resolve, reject) => {
			this._first = { resolve, reject };
			this._open();
		});
	}

	_open() {
		const socket = (this._socket = new WebSocket(this.url));
		const late = new ClientError("WaitTimeoutError", `${this.url} did not answer in time.`);
		this._timer = setTimeout(() => this._lost(socket, late), this._options.timeout * 1000);
		this._held = []; // until handlers can have been added
		this._begin();
		socket.onopen = () => this._opened(socket);
		socket.onmessage = ({ data }) => socket === this._socket && this._received(String(data));
		socket.onerror = () => socket.onclose({ code: 1006, reason: "" });
		socket.onclose = ({ code, reason }) => {
			const message = `${this.url}: ${reason || "the connection failed"} (${code})`;
			this._lost(socket, new ClientError("DisconnectedError", message, { code, reason }), this._isFinal(code));
		};
	}

	_write(packet) {
		if (this._socket?.readyState !== 1) return false;
		this._socket.send(JSON.stringify(packet));
		return true;
	}

	_ready(details) {
		if (this.connected) return;
		clearTimeout(this._timer);
		this.connected = true;
		this._since = Date.now();
		this._held.unshift({ type: "connected", again: !this._first, ...details });
		this._first?.resolve(this);
		this._first = null;
		setTimeout(() => this._release());
	}

	_release() {
		const held = this._held ?? [];
		this._held = null;
		held.forEach((event) => this._emit(event));
	}

	_lost(socket, error, isFinal) {
		if (socket !== this._socket) return;
		if (isFinal || !this._options[this._first ? "wait" : "reconnect"]) return this._finish(error);
		this._stop(error);
		if (this.connected && Date.now() - this._since > STABLE_AFTER * 1000) this._delay = FIRST_DELAY;
		const least = [4000, 4003].includes(error.code) ? 60 : 0; // no room there, or a mistake
		const retryIn = Math.max(this._delay / 2, least) * (1 + Math.random());
		this._delay = Math.min(this._delay * 2, LONGEST_DELAY);
		if (this.connected) this._emit({ type: "disconnected", reason: error.message, retryIn });
		this.connected = false;
		this._timer = setTimeout(() => this._open(), retryIn * 1000);
	}

	_finish(error) {
		if (this._ended) return;
		this._ended = true;
		this.connected = false;
		this._stop(error);
		this._first?.reject(error);
		this._release();
		this._emit({ type: "closed", error });
	}

	_stop(error) {
		clearTimeout(this._timer);
		this._socket?.close();
		this._socket = null;
		this._requests?.forEach(({ reject }) => reject(error));
	}

	_emit(event) {
		if (this._held) return this._held.push(event);
		for (const type of [event.type, "event"]) {
			// In microtasks, a failing handler harms no other.
			this._handlers[type]?.forEach((handler) => queueMicrotask(() => handler(event)));
		}
	}
}

export class Connection extends Client {
	_requests = new Map();

	send = (val, rooms) => this.command("gmsg", { val, rooms });
	gvar = (name, val, rooms) => this.command("gvar", { name, val, rooms });
	pmsg = (to, val, rooms) => this.command("pmsg", { id: idOf(to), val, rooms });
	pvar = (to, name, val, rooms) => this.command("pvar", { id: idOf(to), name, val, rooms });
	direct = (to, val, listener) => this.command("direct", { id: idOf(to), val, listener });

	command(cmd, keys) {
		return this.connected && this._write({ cmd, ...keys });
	}

	async request(cmd, keys, { timeout = this._options.timeout } = {}) {
		const listener = `js-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
		let timer;
		try {
			const answer = await new Promise((resolve, reject) => {
				const late = new ClientError("WaitTimeoutError", `${cmd} was not answered in ${timeout} seconds.`);
				timer = setTimeout(reject, timeout * 1000, late);
				this._requests.set(listener, { cmd, resolve, reject });
				if (!this._write({ cmd, ...keys, listener })) reject(new ClientError("DisconnectedError", "Not connected."));
			});
			if (answer.ok !== false) return answer;
			const message = `${cmd} was answered with ${answer.code} ${JSON.stringify(answer.details ?? "")}`;
			throw new ClientError("RequestError", message, { code: answer.codeId, status: answer });
		} finally {
			clearTimeout(timer);
			this._requests.delete(listener);
		}
	}

	async link(...rooms) {
		await this.request("link", { val: rooms });
		const kept = this.rooms.filter((room) => room !== "default" || rooms.includes(room));
		this._setRooms([...new Set([...kept, ...rooms])]);
	}

	async unlink(...rooms) {
		await this.request("unlink", { val: rooms.length ? rooms : "" });
		this._setRooms(this.rooms.filter((room) => rooms.length && !rooms.includes(room)));
	}

	_begin() {
		this.rooms = ["default"];
		this.users = { __proto__: null };
	}

	async _opened(socket) {
		const { username, rooms = [] } = this._options;
		try {
			await this.request("handshake", { val: { language: "JavaScript", version: "0.2.0" } });
			if (username !== undefined) await this.setUsername(username);
			if (rooms.length && String(rooms) !== "default") await this.link(...[rooms].flat());
		} catch (error) {
			return this._lost(socket, error, error.status && error.code !== NAME_IN_USE);
		}
		this._ready({ user: this.user, rooms: this.rooms });
	}

	_received(text) {
		const packet = parse(text);
		const event = packet?.cmd ? read(packet) : { type: "unreadable", text };
		const isNews = this._track(event, packet);
		const request = this._requests.get(packet?.listener);
		// Clients choose their listeners, so only a direct is answered by a client.
		if (request && (request.cmd === "direct" || !packet.origin)) request.resolve(event);
		else if (isNews) this._emit(event);
	}

	// Update the state; return whether the event is news.
	_track({ type, room, user, users }, packet) {
		if (packet?.cmd === "client_obj") this.user = packet.val;
		if (/^(client|server)_/.test(packet?.cmd)) return false;
		if (users) this.users[room] = users;
		if (!user) return true;
		const before = this.users[room] ?? [];
		const known = before.find(({ uuid }) => uuid === user.uuid);
		const named = type === "userJoined" ? user : undefined;
		this.users[room] = before.filter((each) => each !== known).concat(named ?? []);
		return known?.username !== named?.username;
	}

	async setUsername(name) {
		this.user = (await this.request("setid", { val: name })).value;
		this._options.username = name;
	}

	_setRooms(rooms) {
		this.rooms = this._options.rooms = rooms.length ? rooms : ["default"];
		for (const room in this.users) if (!this.rooms.includes(room)) delete this.users[room];
	}

	_isFinal(code) {
		return code === 1000 || code === 1008 || (code >= 4000 && code < 4100);
	}
}

export class CloudConnection extends Client {
	variables = { __proto__: null };

	get(name, missing) {
		return this.variables[name] ?? missing;
	}

	set(name, value) {
		const isText = typeof value === "string" && (this._options.textValues || NUMERIC_TEXT.test(value));
		if (!isText && !Number.isFinite(value)) throw new TypeError(`Neither number nor digits: ${value}`);
		if (!this.connected) return false;
		this.variables[name] = value;
		return this._say("set", { name, value });
	}

	_begin() {
		this._known = this._first ? null : this.variables;
		this.variables = { __proto__: null };
	}

	_opened(socket) {
		this._say("handshake");
		setTimeout(() => socket === this._socket && this._ready(), 500); // a server without values is silent
	}

	_received(text) {
		const changes = text
			.split("\n")
			.map(parse)
			.filter((each) => each?.method === "set");
		for (const { name, value } of changes) {
			this.variables[name] = value;
			const isNews = this.connected || (this._known && this._known[name] !== value);
			if (isNews) this._emit({ type: "change", name, value });
		}
		if (changes.length) this._ready();
	}

	_say(method, keys) {
		const { username, projectId } = this._options;
		return this._write({ method, ...keys, user: username, project_id: String(projectId) });
	}

	_isFinal(code) {
		return [1000, 1008, 4002, 4004, 4005].includes(code);
	}
}

export const connect = (url, options) => new Connection(url, options)._connect();

export const connectCloud = (url, options) => new CloudConnection(url, options)._connect();

function parse(text) {
	try {
		return JSON.parse(text);
	} catch {}
}

const idOf = (to) => (Array.isArray(to) ? to.map(idOf) : (to.id ?? to));

const TYPES = {
	__proto__: null,
	gmsg: "globalMessage",
	gvar: "globalVariable",
	pmsg: "privateMessage",
	pvar: "privateVariable",
	direct: "directMessage",
	motd: "messageOfTheDay",
	statuscode: "statusCode",
	"ulist set": "userList",
	"ulist add": "userJoined",
	"ulist remove": "userLeft",
};

function read(packet) {
	const { cmd, mode, origin, name, listener, code, details, rooms: room, val: value } = packet;
	const type = TYPES[mode ? `${cmd} ${mode}` : cmd];
	// A private packet without a sender comes from a plugin.
	if (!type || (/^[pd]/.test(cmd) && !origin)) return { type: "otherPacket", packet };
	if (mode === "set") return { type, room, users: value };
	if (mode) return { type, room, user: value };
	if (code) return { type, ok: code.startsWith("I:"), code, codeId: packet.code_id, details, listener, value };
	return { type, room, name, value, listener, sender: origin };
}
