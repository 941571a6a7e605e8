// Two clients talk to each other by a server; prints what came of it as one JSON object.

import { connect, connectCloud } from "../../web/cloudlink.mjs";

const address = process.argv[2];
const isOurs = process.argv[3] === "ours"; // CloudLink 0.2.0 has none of what is asked for only then
globalThis.WebSocket = (await import(process.env.WS_MODULE)).WebSocket; // Node.js 20 has none of its own

const seen = { ada: [], bob: [] };
const results = {};
const failure = ({ name, code, message }) => ({ name, code, message });

const ada = await connect(address, { username: "ada", rooms: ["lobby"] });
ada.on("event", (event) => seen.ada.push(event));
const bob = await connect(address, { username: "bob", rooms: "lobby" });
bob.on("event", (event) => seen.bob.push(event));
bob.on("directMessage", ({ sender, listener, value }) => value === 41 && bob.direct(sender, value + 1, listener));
bob.on("globalMessage", () => {
	if (!results.failed) {
		results.failed = true;
		process.once("uncaughtException", (error) => (results.reported = error.message));
		throw new Error("a handler failed");
	}
});

results.sent = [
	ada.send({ hello: ["everybody", 1.5, true] }),
	ada.gvar("score", 7),
	ada.pmsg("bob", "psst"),
	ada.pvar(bob.user, "hp", 3),
	ada.command("gmsg", { val: "there", rooms: "lobby" }),
];
ada.direct(bob.user, "knock");
if (isOurs) {
	results.answer = await ada.request("direct", { id: "bob", val: 41 });
	results.late = await ada.request("direct", { id: "bob", val: "no answer" }, { timeout: 0.05 }).catch(failure);
}
results.copy = await ada.request("gmsg", { val: "mine", rooms: "lobby" });
results.refused = await ada.request("pmsg", { id: "nobody", val: 1 }).catch(failure);
results.users = ada.users.lobby.map((user) => user.username);
if (isOurs) {
	await ada.link("den");
	results.linked = ada.rooms;
	await ada.unlink("den");
	results.unlinked = [ada.rooms, Object.keys(ada.users)];
}
await ada.unlink();
results.alone = ada.rooms;
results.named = (await connect(address).then(async (c) => (await c.setUsername("eve"), c.close(), c.user))).username;
results.twice = await bob.setUsername("bobby").catch(failure);

if (isOurs) {
	const one = await connectCloud(address, { projectId: 104, username: "one" });
	const two = await connectCloud(address, { projectId: 104, username: "two" });
	const changed = new Promise((resolve) => two.on("change", resolve));
	one.set("☁ score", "007");
	results.change = await changed;
	const three = await connectCloud(address, { projectId: "104", username: "three" });
	results.cloud = [one.get("☁ score"), { ...three.variables }, three.get("☁ none", 0)];
	results.unfit = ["x", "-", NaN, null, {}, true].map((value) => {
		try {
			return one.set("☁ score", value);
		} catch (error) {
			return error.name;
		}
	});
	results.bad = await connectCloud(address, { projectId: 104, username: "not a name!" }).catch(failure);
	for (const each of [one, two, three]) each.close();
}

const closed = new Promise((resolve) => bob.on("closed", resolve));
bob.close();
results.closed = failure((await closed).error);
results.afterwards = [bob.connected, bob.send("more"), await bob.link("x").catch(failure)];
ada.close();
console.log(JSON.stringify({ seen, results }));
