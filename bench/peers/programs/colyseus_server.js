// Colyseus with rooms called `arena`, one for each value of the option of the same name, on the port given as the
// only argument. A message is broadcast to its room, the sender included; a variable is its player's field in the
// room's state. Seats stay reserved for a minute, because all are reserved before the first client connects, and
// no pings are sent, because the load generator does not answer them.
"use strict";
const { Server, Room } = require("@colyseus/core");
const { WebSocketTransport } = require("@colyseus/ws-transport");
const { schema, t } = require("@colyseus/schema");

const Player = schema({ variable: t.string() });
const State = schema({ greeting: t.string(), players: t.map(Player) });

class Arena extends Room {
  seatReservationTimeout = 60;

  onCreate() {
    this.state = new State();
    this.state.greeting = "welcome";
    this.onMessage("message", (client, text) => this.broadcast("message", text));
    this.onMessage("variable", (client, text) => {
      this.state.players.get(client.sessionId).variable = text;
    });
  }

  onJoin(client) {
    this.state.players.set(client.sessionId, new Player());
  }

  onLeave(client) {
    this.state.players.delete(client.sessionId);
  }
}

const server = new Server({ greet: false, transport: new WebSocketTransport({ pingInterval: 0 }) });
server.define("arena", Arena).filterBy(["arena"]);
server.listen(Number(process.argv[2]), "127.0.0.1");
