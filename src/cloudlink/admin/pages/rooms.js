// Rooms, one room, and the cloud variables of projects.

import { button, field, h, linkTo, list, note, plural, put, question, row, section, select, sentence, size, text, who } from "./dom.js";
import { playerList, traffic } from "./players.js";

const SLOW = [0, 2, 5, 10, 30, 60, 300];
const SHOWN = 200; // characters of a value

const link = (kind, name) => h("a", { href: `#${kind}?${new URLSearchParams({ of: name })}` }, who(name));

/** Buttons that say what they do next; `get` returns the room as it is. */
function rules(page, get) {
  if (!page.isStaff) return { buttons: [], show() {} };
  const toggle = (rule, yes, no) => async () => {
    const { name, [rule]: was } = get();
    if (await page.act("rooms.set", { name, [rule]: !was })) note([who(name), was ? no : yes], page.undo("rooms.set", { name, [rule]: was }));
  };
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
  const make = ({ name }) => {
    const { buttons, show } = rules(page, () => element.item);
    const element = row(link("room", name), buttons, (now) => {
      show(now);
      return { chip: [now.frozen && "quiet", now.locked && "locked", now.slow > 0 && `slow: ${now.slow} s`], below: [plural(now.clients, "player")] };
    });
    return element;
  };
  const found = list(make, (room) => room.name, "There are no rooms, because nobody is here.", "Rooms");
  put(page.body, found, page.pager(found, "rooms.list").buttons);
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
    section("Players", members, page.pager(members, "clients.list", () => ({ room: name })).buttons),
    page.isStaff && traffic(page, `watch:room:${name}`),
  );
  page.poll(
    async () => {
      now = await page.ask("rooms.get", { name });
      show(now);
      if (document.activeElement !== slow) slow.value = now.slow;
    },
    (error) => put(page.body, back, h("p", sentence(error))),
  );
}

export function cloud(page) {
  const make = ({ project: name }) => row(link("project", name), [], (now) => ({ below: [plural(now.variables, "variable"), size(now.bytes), plural(now.clients, "player")] }));
  const found = list(make, (one) => one.project, "No project has stored cloud variables.", "Projects");
  put(page.body, found, page.pager(found, "cloud.projects").buttons);
}

export function project(page) {
  const name = page.argument;
  const change = ({ name: variable, value: was, length }) => {
    const value = h("textarea", { rows: 3, value: length > was.length ? "" : was }); // long ones are cut
    question(["Change ", who(variable), "?"], [h("p", "Players get it at once."), field("Value", value)], "Change", () =>
      page.change("cloud.set", { project: name, name: variable, value: value.value }));
  };
  const remove = ({ name: variable }) =>
    question(["Delete ", who(variable), "?"], h("p", "Its value cannot be brought back."), "Delete", () =>
      page.change("cloud.delete", { project: name, name: variable }), "danger");
  const make = (variable) => {
    const buttons = page.isOwner && [button("Change", () => change(element.item)), button("Delete", () => remove(variable), "danger")];
    const element = row(who(variable.name), buttons, (now) => ({ below: [now.value.slice(0, SHOWN) + (now.length > SHOWN ? " …" : "")] }));
    return element;
  };
  const found = list(make, (variable) => variable.name, "This project has no variables.", "Variables");
  const back = linkTo("cloud", "All projects");
  put(page.heading, who(name));
  put(page.body, back, found);
  page.feed(found, "cloud.get", { project: name }, (error) => put(page.body, back, h("p", sentence(error))));
}
