/** Who may work here: for admins. */
import { call, get, post } from "./api.js";
import { ask, askFields, attempt, iconButton, toast } from "./dialog.js";
import { fill, h } from "./dom.js";
import { icon } from "./icons.js";
/** @typedef {{id: number, name: string, role: string}} User */

const ROLES = [["annotator", "Annotator: makes and corrects tracks"], ["reviewer", "Reviewer: also assigns, agrees and sends back"], ["admin", "Admin: also people and videos"]];

/** @param {import("./app.js").On} on */
export async function peopleScreen({ root, app }) {
  const table = h("tbody");
  const load = async () => fill(table, ...(await get("users")).map((/** @type {User} */ user) => line(user, app, load)));
  const add = h("button", { type: "button", class: "main", onclick: () => addPerson(load) }, icon("add"), h("span", {}, "Add a person"));
  fill(root, app.bar("People"), h("main", { class: "plain" },
    h("div", { class: "head" }, h("h2", {}, "People"), h("span", { class: "gap" }), add),
    h("div", { class: "table" }, h("table", {}, h("thead", {}, h("tr", {}, h("th", {}, "Name"), h("th", {}, "Role"), h("th", {}, h("span", { class: "spoken" }, "Actions")))), table))));
  await load();
}

/** @param {string} now @returns {HTMLSelectElement} */
function roles(now) {
  return h("select", { "aria-label": "Role" }, ...ROLES.map(([value, words]) => h("option", { value, selected: value === now, title: words }, value)));
}

/** @param {User} user @param {import("./app.js").App} app @param {() => void} load */
function line(user, app, load) {
  const role = roles(user.role);
  role.addEventListener("change", async () => {
    if (await attempt(() => call("PATCH", `users/${user.id}`, { role: role.value }))) toast(`${user.name} is now ${role.value}`, "good");
    else load();
  });
  const mine = user.name === app.me.name;
  if (mine) role.disabled = true;
  return h("tr", {}, h("td", {}, h("span", { class: "initial", "aria-hidden": "true" }, user.name.slice(0, 1).toUpperCase()), " ", user.name, mine && h("span", { class: "muted" }, " (you)")), h("td", {}, role),
    h("td", { class: "right" }, iconButton("key", `New password for ${user.name}`, () => newPassword(user)), !mine && iconButton("trash", `Remove ${user.name}`, () => removePerson(user, load))));
}

/** @param {() => void} load */
function addPerson(load) {
  const name = h("input", { type: "text", required: true, autocomplete: "off", maxlength: "200" });
  const password = h("input", { type: "password", required: true, autocomplete: "new-password" });
  const role = roles("annotator");
  const about = h("p", { class: "muted small" });
  const tell = () => (about.textContent = ROLES.find(([value]) => value === role.value)?.[1] ?? "");
  role.addEventListener("change", tell);
  tell();
  const fields = [h("label", {}, "Name", name), h("label", {}, "Password", password), h("label", {}, "Role", role), about];
  askFields("Add a person", fields, "Add", async () => {
    await post("users", { name: name.value.trim(), password: password.value, role: role.value });
    load();
  });
}

/** @param {User} user */
function newPassword(user) {
  const password = h("input", { type: "password", required: true, autocomplete: "new-password" });
  askFields(`New password for ${user.name}`, [h("label", {}, "Password", password)], "Set", async () => {
    await call("PATCH", `users/${user.id}`, { password: password.value });
    toast(`${user.name} has a new password`, "good");
  });
}

/** @param {User} user @param {() => void} load */
async function removePerson(user, load) {
  const words = `${user.name} can no longer log in. Their work stays, with their name.`;
  const answer = await ask(`Remove ${user.name}?`, [h("p", {}, words)], [["Keep", "no"], ["Remove", "yes", "danger"]]);
  if (answer === "yes" && (await attempt(() => call("DELETE", `users/${user.id}`)))) load();
}
