// What was done; and for owners the server's log.

import { h, list, moment, put, row, section, who } from "./dom.js";
import { live } from "./players.js";

export function history(page) {
  const make = (entry) => row(["actor", "method", "target"].map((key) => entry[key] && who(entry[key])), [], (now) => ({
    chip: [now.outcome !== "ok" && now.outcome],
    below: [moment(now.at), now.role, now.via, now.from, now.node && `on ${now.node}`, now.reason],
  }));
  put(
    page.body,
    page.isOwner && section("Log of the server", live(page, "log", "Show the log", (line) => h("bdi", line.text))),
    section(page.isOwner ? "What was done" : "What you did", page.pager(list(make, "id", "Nothing was done.", "Actions"), "audit.list").parts),
  );
}
