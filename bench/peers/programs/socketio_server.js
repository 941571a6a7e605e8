// Socket.IO with rooms, on the port given as the only argument.
// A message or a player's variable goes to everybody in the room, the sender included.
"use strict";
const { createServer } = require("http");
const { Server } = require("socket.io");

const http = createServer();
const io = new Server(http, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

io.engine.on("connection", (connection) => {
  connection.request = null;
});
io.on("connection", (socket) => {
  socket.on("join", (room) => {
    socket.join(room);
    socket.emit("joined");
  });
  socket.on("message", (room, text) => io.to(room).emit("message", text));
  socket.on("variable", (room, name, value) => io.to(room).emit("variable", name, value));
});

http.listen(Number(process.argv[2]), "127.0.0.1");
