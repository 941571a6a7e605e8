// Rooms, and cloud variables.

import { button, field, h, linkOf, linkTo, list, plural, put, questionOf, row, section, select, size, text, who } from "./dom.js";
import { playerList, toggleRule, traffic } from "./players.js";

const SLOW = [0, 2, 5, 10, 30, 60, 300];
const SHOWN = 200; // characters of a value

/** Buttons for the rules of a room; `get` returns it as it is. */
function rules(page, get) {
  if (!page.isStaff) return { buttons: [], show() {} };
  const toggle = (rule, yes, no) => () => toggleRule(page, rule, get(), (is, name) => [who(name), is ? yes : no]);
  const quiet = button("", toggle("frozen", " is quiet now.", " may talk again."));
  const lock = button("", toggle("locked", " is locked: nobody new gets in.", " is open again."));
  const show = (room) => {
    text(quiet, room.frozen ? "Let them talk" : "Quiet");
    text(lock, room.locked ? "Unlock" : "Lock");
    lock.hidden = room.name === "default";
  };
  return { buttons: [quiet, lock], show };
}

export function rooms(page) {
  const make = ({ name }, get) => {
    const { buttons, show } = rules(page, get);
    return row(linkOf("room", name), buttons, (now) => {
      show(now);
      return { chip: [now.frozen && "quiet", now.locked && "locked", now.slow > 0 && `slow: ${now.slow} s`], below: [plural(now.clients, "player")] };
    });
  };
  put(page.body, page.pager(list(make, "name", "There are no rooms.", "Rooms"), "rooms.list").parts);
}

export function room(page) {
  const name = page.argument;
  const { buttons, show } = rules(page, () => now);
  const slow = select(SLOW.map((time) => [time, time ? `once in ${time} s` : "as often as they like"]), 0, { onchange: () => page.act("rooms.set", { name, slow: Number(slow.value) }) });
  const members = playerList(page, "Nobody is in this room.");
  const back = linkTo("rooms", "All rooms");
  let now = { name };
  show(now);
  put(page.heading, who(name));
  put(
    page.body,
    back,
    buttons.length > 0 && section("Rules", h("div.buttons", buttons), field("A player may send", slow)),
    section("Players", page.pager(members, "clients.list", () => ({ room: name })).parts),
    page.isStaff && traffic(page, `watch:room:${name}`),
  );
  page.poll(
    async () => {
      now = await page.ask("rooms.get", { name });
      show(now);
      if (document.activeElement !== slow) slow.value = now.slow;
    },
    page.refused(back),
  );
}

export function cloud(page) {
  const make = ({ project: name }) => row(linkOf("project", name), [], (now) => ({ below: [plural(now.variables, "variable"), size(now.bytes), plural(now.clients, "player")] }));
  put(page.body, page.pager(list(make, "project", "No project has cloud variables.", "Projects"), "cloud.projects").parts);
}

export function project(page) {
  const name = page.argument;
  const change = ({ name: variable, value: was, length }) => {
    const value = h("textarea", { rows: 3, value: length > was.length ? "" : was }); // long ones are cut
    questionOf("Change", variable, [h("p", "Players get it at once."), field("Value", value)], () =>
      page.change("cloud.set", { project: name, name: variable, value: value.value }));
  };
  const remove = ({ name: variable }) =>
    questionOf("Delete", variable, h("p", "Its value cannot be brought back."), () =>
      page.change("cloud.delete", { project: name, name: variable }), "danger");
  const make = (variable, get) => {
    const buttons = page.isOwner && [button("Change", () => change(get())), button("Delete", () => remove(variable), "danger")];
    return row(who(variable.name), buttons, (now) => ({ below: [now.value.slice(0, SHOWN) + (now.length > SHOWN ? " …" : "")] }));
  };
  const found = list(make, "name", "This project has no variables.", "Variables");
  const back = linkTo("cloud", "All projects");
  put(page.heading, who(name));
  put(page.body, back, page.feed(found, "cloud.get", { project: name }, page.refused(back)));
}
