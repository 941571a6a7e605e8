// A plain broadcaster on node's `ws` library, on the port given as the only argument.
// Every message goes, unread, to all clients whose connection has the same path, the sender included.
"use strict";
const { WebSocketServer } = require("ws");

const rooms = new Map();
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  perMessageDeflate: false,
});

server.on("connection", (connection, request) => {
  const room = rooms.get(request.url) ?? new Set();
  rooms.set(request.url, room);
  room.add(connection);
  connection.on("message", (message, isBinary) => {
    for (const member of room) member.send(message, { binary: isBinary });
  });
  connection.on("close", () => room.delete(connection));
});
