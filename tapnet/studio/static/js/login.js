/** Logging in: a screen of its own, or a dialog when a session ends in the middle of work. */
import { post } from "./api.js";
import { dialog } from "./dialog.js";
import { fill, h } from "./dom.js";
/** @typedef {import("./types.js").Me} Me */

/** @param {(me: Me) => void} done @param {string} [name] */
function form(done, name = "") {
  const user = h("input", { type: "text", name: "name", autocomplete: "username", required: true, value: name });
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const button = h("button", { class: "main", type: "submit" }, "Log in");
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    button.disabled = true;
    problem.textContent = "";
    try {
      done(await post("login", { name: user.value, password: password.value }));
    } catch (error) {
      problem.textContent = /** @type {Error} */ (error).message;
      password.select();
    } finally {
      button.disabled = false;
    }
  };
  const made = h("form", { class: "form", onsubmit: submit }, h("label", {}, "Name", user), h("label", {}, "Password", password), problem, button);
  setTimeout(() => (name ? password : user).focus());
  return made;
}

/** @param {HTMLElement} root @param {(me: Me) => void} done */
export function loginScreen(root, done) {
  document.title = "Log in · tapnet studio";
  fill(root, h("main", { class: "login" }, h("img", { src: "/static/icon.svg", alt: "", width: "52", height: "52" }), h("h1", {}, "tapnet studio"), form(done),
    h("p", { class: "muted small" }, "No account? Whoever runs this studio can add you.")));
}

/** @type {HTMLDialogElement|null} */
let open = null;

/** @param {string} name @param {(me: Me) => void} done */
export function loginAgain(name, done) {
  if (open?.isConnected || document.querySelector(".login")) return;
  const box = dialog("Log in again", [h("p", {}, "Your session has ended. What you did is kept and saved once you are back."), form((me) => {
    box.close();
    done(me);
  }, name)], { fixed: true });
  open = box;
}
