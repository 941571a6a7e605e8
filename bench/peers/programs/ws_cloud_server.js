// A plain server of Scratch cloud variables on node's `ws` library, written for this benchmark.
//
//     node ws_cloud_server.js PORT PROJECTS INTERVAL
//
// Variables live in memory alone; of a packet only the types are checked. An update goes to the other clients of its
// project at once, or, when INTERVAL (milliseconds) is not 0, together with all others of that time, one a line.
// The first PROJECTS projects, room-00000 and so on, have a variable `ready` from the start.
"use strict";
const { WebSocketServer } = require("ws");

const [port, count, interval] = process.argv.slice(2).map(Number);
const projects = new Map();

function project(id) {
  if (!projects.has(id)) projects.set(id, { variables: new Map(), clients: new Set() });
  return projects.get(id);
}

function line(name, value) {
  return JSON.stringify({ method: "set", name, value });
}

for (let number = 0; number < count; number++)
  project(`room-${String(number).padStart(5, "0")}`).variables.set("ready", "1");

class Client {
  constructor(connection) {
    this.connection = connection;
    this.project = null;
    this.waiting = [];
    connection.on("message", (data) => this.receive(data));
    connection.on("close", () => this.project?.clients.delete(this));
  }

  receive(data) {
    const packet = JSON.parse(data);
    if (packet.method === "handshake" && typeof packet.project_id === "string") this.enter(packet.project_id);
    else if (packet.method === "set" && this.project && typeof packet.name === "string") this.set(packet);
    else this.connection.close(4000);
  }

  enter(id) {
    this.project = project(id);
    this.project.clients.add(this);
    this.connection.send([...this.project.variables].map(([name, value]) => line(name, value)).join("\n"));
  }

  set({ name, value }) {
    this.project.variables.set(name, value);
    const update = line(name, value);
    for (const other of this.project.clients) if (other !== this) other.send(update);
  }

  send(update) {
    if (interval) this.waiting.push(update);
    else this.connection.send(update);
  }

  flush() {
    if (!this.waiting.length) return;
    this.connection.send(this.waiting.join("\n"));
    this.waiting = [];
  }
}

const server = new WebSocketServer({ host: "127.0.0.1", port, perMessageDeflate: false });
server.on("connection", (connection) => new Client(connection));

if (interval)
  setInterval(() => {
    for (const { clients } of projects.values()) for (const client of clients) client.flush();
  }, interval);
