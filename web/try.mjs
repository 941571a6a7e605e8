// The "Try it" box of the start page: everybody who opens it sees the others' names, pointers, drawings and words.

import { connect } from "./client.mjs";

const ROOM = "cloudlink.try";
const WIDTH = 1000; // of the drawing, in its own units
const HEIGHT = 500;
const INTERVAL = 50; // milliseconds between two positions of a pointer that are sent
const MAX_LINES = 50;

const box = document.getElementById("try");
const [button, status, sheet, names, lines, form] = ["button", "p", ".sheet", ".names", ".lines", "form"].map((each) =>
	box.querySelector(each),
);
const canvas = sheet.querySelector("canvas");
const pen = canvas.getContext("2d");
const pointers = new Map(); // by id: where the pointer is, whether it draws, and its label

button.addEventListener("click", start);

async function start() {
	button.disabled = true;
	status.textContent = "Connecting …";
	let c;
	try {
		c = await connect(new URL("./", location.href).href.replace(/^http/, "ws"), {
			username: `guest ${Math.floor(1000 + Math.random() * 9000)}`,
			rooms: ROOM,
		});
	} catch (error) {
		status.textContent = `That did not work. ${error.message}`;
		button.disabled = false;
		return;
	}
	button.hidden = true;
	sheet.hidden = form.hidden = false;
	c.on("connected", () => say(`You are ${c.user.username}. Open this page in a second window, and draw.`));
	c.on("disconnected", () => say("The connection is broken; it is being made again."));
	c.on("closed", ({ error }) => say(`The connection has ended. ${error.message}`));
	for (const type of ["connected", "userList", "userJoined", "userLeft"]) c.on(type, () => showNames(c));
	c.on("globalVariable", ({ name, value }) => move(c, name, value));
	c.on("globalMessage", ({ value }) => showLine(c, value));
	send(c);
}

function say(text) {
	status.textContent = text;
}

// What this window sends.

function send(c) {
	let next = null; // the position to send next
	let isDown = false;
	const point = (event) => {
		const { left, top, width, height } = canvas.getBoundingClientRect();
		const x = Math.round(((event.clientX - left) / width) * WIDTH);
		const y = Math.round(((event.clientY - top) / height) * HEIGHT);
		next = [x, y, isDown];
	};
	const press = (event, down) => {
		point(event);
		flush();
		isDown = down;
	};
	const flush = () => {
		if (next) c.gvar(c.user.id, next, ROOM);
		next = null;
	};
	setInterval(flush, INTERVAL);
	canvas.addEventListener("pointermove", point);
	canvas.addEventListener("pointerdown", (event) => {
		canvas.setPointerCapture(event.pointerId);
		press(event, true);
	});
	canvas.addEventListener("pointerup", (event) => press(event, false));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		const input = form.elements.line;
		if (input.value.trim() && c.send([c.user.id, input.value.slice(0, 200)], ROOM)) input.value = "";
	});
}

// What it shows. Anybody can send anything to the room, so everything is checked, and text is only ever text.

function nameOf(c, id) {
	return (c.users[ROOM] ?? []).find((user) => user.id === id)?.username;
}

function showNames(c) {
	const here = (c.users[ROOM] ?? []).map((user) => user.username);
	names.textContent = here.length < 2 ? "Nobody else is here yet." : `Here: ${here.slice(0, 30).join(", ")}`;
	for (const [id, { label }] of pointers) {
		if (nameOf(c, id) === undefined) {
			label.remove();
			pointers.delete(id);
		}
	}
}

function move(c, id, value) {
	const name = nameOf(c, id);
	const isPosition = Array.isArray(value) && Number.isFinite(value[0]) && Number.isFinite(value[1]);
	if (name === undefined || !isPosition) return;
	const [x, y, draws] = value;
	const before = pointers.get(id);
	const label = before?.label ?? sheet.appendChild(document.createElement("span"));
	const color = `hsl(${Number(id.slice(-6)) % 360} 70% 45%)`;
	if (before && draws === true) {
		pen.strokeStyle = color;
		pen.lineWidth = 5;
		pen.lineCap = "round";
		pen.beginPath();
		pen.moveTo(before.x, before.y);
		pen.lineTo(x, y);
		pen.stroke();
	}
	label.textContent = name;
	label.style.background = color;
	label.style.left = `${Math.min(Math.max((x / WIDTH) * 100, 0), 100)}%`;
	label.style.top = `${Math.min(Math.max((y / HEIGHT) * 100, 0), 100)}%`;
	label.hidden = id === c.user.id;
	pointers.set(id, { x, y, label });
}

function showLine(c, value) {
	if (!Array.isArray(value) || typeof value[1] !== "string") return;
	const name = nameOf(c, String(value[0]));
	if (name === undefined) return;
	const line = lines.appendChild(document.createElement("li"));
	line.textContent = `${name}: ${value[1].slice(0, 200)}`;
	if (lines.children.length > MAX_LINES) lines.firstChild.remove();
	line.scrollIntoView?.({ block: "nearest" });
}
