// One client that stays: prints each of its events as a line of JSON, and sends what it is told to by standard input.

import { createInterface } from "node:readline";

import { connect } from "../../web/cloudlink.mjs";

globalThis.WebSocket = (await import(process.env.WS_MODULE)).WebSocket;
const report = (event) => console.log(JSON.stringify({ ...event, error: event.error?.message }));

try {
	const c = await connect(process.argv[2], { timeout: 5, ...JSON.parse(process.argv[3]) });
	c.on("event", report);
	for await (const line of createInterface({ input: process.stdin })) {
		if (line === "close") c.close();
		else report({ type: "result", value: await eval(line) });
	}
} catch (error) {
	report({ type: "failed", error });
}
process.exit();
