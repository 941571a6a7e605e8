/**
 * A CloudLink client for web pages and Node.js.
 *
 *     import { connect } from "http://127.0.0.1:3000/client.mjs";
 *     const c = await connect("ws://127.0.0.1:3000/", { username: "ada", rooms: ["lobby"] });
 *     c.on("globalMessage", ({ value, room }) => console.log(room, value));
 *     c.send("Hello!");
 */

/** Anything JSON can hold. */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value | undefined };

/** A tag that an answer repeats. */
export type Listener = string | number | boolean;

/** A client of the server, as others see it. */
export interface User {
	/** Its snowflake, never reused. */
	id: string;
	/** The UUID of its connection. */
	uuid: string;
	/** Its name; null or missing without one. */
	username?: string | null;
}

/** A user, a username, a snowflake or a UUID. */
export type Recipient = User | string;

/** A refused request, or one that was accepted. */
export interface StatusCode {
	type: "statusCode";
	/** Whether it reports success. */
	ok: boolean;
	/** Letter, number and text, such as `E:103 | ID not found`. */
	code: string;
	codeId: number;
	details?: Value;
	listener?: Listener;
	value?: Value;
}

/** The events of a connection to a CloudLink server, by type. */
export interface Events {
	/** Name and rooms are in place. Always the first event, and once after each reconnection. */
	connected: { type: "connected"; user: User; rooms: string[]; again: boolean };
	/** The connection broke; the client connects again in `retryIn` seconds. */
	disconnected: { type: "disconnected"; reason: string; retryIn: number };
	/** The connection has ended for good. Always the last event. */
	closed: { type: "closed"; error: ClientError };
	globalMessage: { type: "globalMessage"; value: any; room: string; listener?: Listener };
	globalVariable: { type: "globalVariable"; name: string; value: any; room: string; listener?: Listener };
	privateMessage: { type: "privateMessage"; value: any; sender: User; room: string };
	privateVariable: { type: "privateVariable"; name: string; value: any; sender: User; room: string };
	directMessage: { type: "directMessage"; value: any; sender: User; listener?: Listener };
	/** All users with a name in a room. */
	userList: { type: "userList"; users: User[]; room: string };
	userJoined: { type: "userJoined"; user: User; room: string };
	userLeft: { type: "userLeft"; user: User; room: string };
	/** An answer that no request waits for. */
	statusCode: StatusCode;
	messageOfTheDay: { type: "messageOfTheDay"; value: any };
	/** A command that this client does not know, such as a plugin's, or a private packet of a plugin. */
	otherPacket: { type: "otherPacket"; packet: any };
	/** A message that is not a packet. */
	unreadable: { type: "unreadable"; text: string };
}

/** The events of a connection to cloud variables, by type. */
export interface CloudEvents extends Pick<Events, "disconnected" | "closed"> {
	/** The values have arrived, at first and after each reconnection. */
	connected: { type: "connected"; again: boolean };
	/** Another client has set a variable. */
	change: { type: "change"; name: string; value: number | string };
}

/** What both kinds of connection can be given. */
export interface Options {
	/** Seconds for connecting, and for each answer; 10. */
	timeout?: number;
	/** Whether to wait for a server that is not running yet; false. */
	wait?: boolean;
	/** Whether to connect again when the connection breaks; true. */
	reconnect?: boolean;
	username?: string;
}

/**
 * Any error of a client. `name` is `DisconnectedError`, `RequestError` or `WaitTimeoutError`.
 */
export class ClientError extends Error {
	/** The close code of a DisconnectedError, or the number of the status code of a RequestError. */
	code?: number;
	/** The reason that the server gave for closing the connection. */
	reason?: string;
	/** The answer that caused a RequestError. */
	status?: StatusCode;
}

declare class Client<E> {
	readonly url: string;
	readonly connected: boolean;
	/** Call a function for each event of a type, or for all of them with the type `event`; return what removes it. */
	on<T extends keyof E>(type: T, handler: (event: E[T]) => unknown): () => void;
	on(type: "event", handler: (event: E[keyof E]) => unknown): () => void;
	/** Close the connection for good. */
	close(): void;
}

/**
 * A connection to a CloudLink server. While it is broken, sending does nothing and returns false; after that, name and
 * rooms are restored. Where rooms are left out, they are all rooms of this client.
 */
export class Connection extends Client<Events> {
	/** This client as the server knows it; its ids change with every reconnection. */
	readonly user: User;
	/** The rooms this client is in. */
	readonly rooms: string[];
	/** All users with a name, by room. */
	readonly users: { [room: string]: User[] };
	/** Send a message to all clients in rooms (gmsg). */
	send(value: Value, rooms?: string | string[]): boolean;
	/** Send the value of a variable to all clients in rooms. */
	gvar(name: string, value: Value, rooms?: string | string[]): boolean;
	/** Send a private message. */
	pmsg(to: Recipient | Recipient[], value: Value, rooms?: string | string[]): boolean;
	/** Send the value of a private variable. */
	pvar(to: Recipient | Recipient[], name: string, value: Value, rooms?: string | string[]): boolean;
	/** Send a message to clients anywhere on the server. To answer one, pass its listener. */
	direct(to: Recipient | Recipient[], value: Value, listener?: Listener): boolean;
	/** Send any packet, such as a plugin's command, without waiting for an answer. */
	command(cmd: string, keys?: { [key: string]: Value | undefined }): boolean;
	/**
	 * Send any packet and return its answer: the first packet that comes back with its listener.
	 *
	 * Rejects with a `RequestError` if it is an error, a `WaitTimeoutError` if none came within `timeout` seconds, and a
	 * `DisconnectedError` if the connection is broken.
	 */
	request(
		cmd: string,
		keys?: { [key: string]: Value | undefined },
		options?: { timeout?: number },
	): Promise<Events[keyof Events]>;
	/** Join rooms, keeping those this client is in, except `default`. Rejects as `request`. */
	link(...rooms: string[]): Promise<void>;
	/** Leave rooms; without any, all of them. Rejects as `request`. */
	unlink(...rooms: string[]): Promise<void>;
	/** Set the username, once per connection. Rejects as `request`. */
	setUsername(name: string): Promise<void>;
}

/** A connection to the cloud variables of a project. Names are full names, such as `☁ score`. */
export class CloudConnection extends Client<CloudEvents> {
	/** The values of all variables. */
	readonly variables: { [name: string]: number | string };
	/** Return the value of a variable, or `missing` if there is none. */
	get<T = undefined>(name: string, missing?: T): number | string | T;
	/**
	 * Set a variable; it is created if it does not exist. While disconnected, set nothing and return false.
	 *
	 * Throws a `TypeError` if the value is neither a finite number nor text of digits.
	 */
	set(name: string, value: number | string): boolean;
}

/** Connect to a CloudLink server. Resolves when name and rooms are in place; rejects with a `ClientError`. */
export function connect(url: string, options?: Options & { rooms?: string | string[] }): Promise<Connection>;

/** Connect to the cloud variables of a project. Resolves when the values have arrived; rejects with a `ClientError`. */
export function connectCloud(
	url: string,
	options: Options & {
		projectId: string | number;
		username: string;
		/** Whether the host accepts any text as a value. */
		textValues?: boolean;
	},
): Promise<CloudConnection>;
