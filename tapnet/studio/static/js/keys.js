/** The keyboard: one table of what each key does, for the dispatcher and for the help. */

/**
 * @typedef {{keys: string[], shown: string, does: string, group: string, run: (event: KeyboardEvent) => void}} Shortcut
 *   `keys`: as `nameOf` names them
 */

/** "Shift+ArrowLeft", "Ctrl+z", "x": modifiers, then the key. @param {KeyboardEvent} event */
export function nameOf(event) {
  const letter = event.key.length === 1;
  const key = letter ? event.key.toLowerCase() : event.key;
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  if (event.shiftKey && (!letter || /[a-z ]/.test(key))) parts.push("Shift");
  return [...parts, key === " " ? "Space" : key].join("+");
}

/** Whether a key belongs to a field that is typed into, or to an open dialog. @param {KeyboardEvent} event */
export function elsewhere(event) {
  const at = /** @type {HTMLElement} */ (event.target);
  const typing = at.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");
  return typing || document.querySelector("dialog[open]") !== null;
}

/** @param {KeyboardEvent} event */
export function onButton(event) {
  return /** @type {HTMLElement} */ (event.target).matches?.("button, a, summary, [role=option]");
}

/** @param {import("./editor.js").Editor} editor @param {import("./stage.js").Stage} stage @param {Record<string, () => void>} act @returns {Shortcut[]} */
export function shortcuts(editor, stage, act) {
  const move = "Move through the video";
  const edit = "Points";
  const look = "Look";
  const page = "This page";
  return [
    { keys: ["Space", "k"], shown: "Space · K", does: "Play or pause", group: move, run: () => editor.player.toggle() },
    { keys: ["l"], shown: "L", does: "Play; again: faster", group: move, run: () => editor.player.shuttle(1) },
    { keys: ["j"], shown: "J", does: "Play backwards; again: faster", group: move, run: () => editor.player.shuttle(-1) },
    { keys: ["ArrowRight"], shown: "← →", does: "Frame before, next frame", group: move, run: () => editor.step(1) },
    { keys: ["ArrowLeft"], shown: "", does: "", group: move, run: () => editor.step(-1) },
    { keys: ["Shift+ArrowRight"], shown: "Shift ← →", does: "10 frames back, on", group: move, run: () => editor.step(10) },
    { keys: ["Shift+ArrowLeft"], shown: "", does: "", group: move, run: () => editor.step(-10) },
    { keys: ["Home"], shown: "Home End", does: "First frame, last frame", group: move, run: () => editor.go(0) },
    { keys: ["End"], shown: "", does: "", group: move, run: () => editor.go(editor.frames.count - 1) },
    { keys: ["]", "Ctrl+ArrowRight"], shown: "[ ]", does: "Click before, next click of the point", group: move, run: () => editor.goToClick(1) },
    { keys: ["[", "Ctrl+ArrowLeft"], shown: "", does: "", group: move, run: () => editor.goToClick(-1) },
    { keys: ["n"], shown: "N", does: "Where to look next", group: move, run: () => editor.lookNext() },
    ...Array.from({ length: 9 }, (_, i) => ({
      keys: [String(i + 1)], shown: i ? "" : "1 – 9", does: "Choose a point", group: edit, run: () => editor.chooseNumber(i + 1),
    })),
    { keys: ["ArrowDown"], shown: "↓ ↑", does: "Next point, point before", group: edit, run: () => editor.chooseNext(1) },
    { keys: ["ArrowUp"], shown: "", does: "", group: edit, run: () => editor.chooseNext(-1) },
    { keys: ["Enter"], shown: "Enter", does: "Click with the arrow keys (Shift far, Alt fine)", group: edit, run: act.aim },
    { keys: ["a"], shown: "A", does: "Clicks make new points", group: edit, run: act.toolAdd },
    { keys: ["c"], shown: "C", does: "Clicks correct the chosen point", group: edit, run: act.toolPlace },
    { keys: ["x"], shown: "X", does: "Hidden from here on; again: seen", group: edit, run: () => editor.toggleHidden() },
    { keys: ["Backspace"], shown: "⌫", does: "Take back the click on this frame", group: edit, run: () => editor.removeClick() },
    { keys: ["Delete"], shown: "Delete", does: "Delete the chosen point", group: edit, run: () => editor.remove() },
    { keys: ["g"], shown: "G", does: "Grid of points", group: edit, run: act.grid },
    { keys: ["Ctrl+z"], shown: "Ctrl Z", does: "Undo", group: edit, run: () => editor.undo.undo() },
    { keys: ["Ctrl+Shift+z", "Ctrl+y"], shown: "Ctrl Shift Z", does: "Redo", group: edit, run: () => editor.undo.redo() },
    { keys: ["+", "="], shown: "+ −", does: "Zoom; also the wheel", group: look, run: () => stage.zoom(1.5) },
    { keys: ["-"], shown: "", does: "", group: look, run: () => stage.zoom(1 / 1.5) },
    { keys: ["0"], shown: "0", does: "Whole picture", group: look, run: () => stage.fit() },
    { keys: ["m"], shown: "M", does: "Magnifier", group: look, run: act.lens },
    { keys: ["t"], shown: "T", does: "Trails: short, whole, none", group: look, run: act.trail },
    { keys: ["b"], shown: "B", does: "Names beside all points", group: look, run: act.labels },
    { keys: ["Escape"], shown: "Esc", does: "Let go of the point", group: look, run: act.escape },
    { keys: ["d"], shown: "D", does: "Download", group: page, run: act.download },
    { keys: ["h"], shown: "H", does: "History of the chosen point", group: page, run: act.history },
    { keys: ["?"], shown: "?", does: "This help", group: page, run: act.help },
  ];
}

/** Mouse and fingers, for the help. */
export const POINTERS = [
  ["Click", "New point, or place of the chosen one"],
  ["Shift click", "The other of the two"],
  ["Drag a point", "Correct it here; with Shift: finely"],
  ["Wheel, pinch", "Zoom"],
  ["Drag picture", "Move it (zoomed; anywhere with Space)"],
  ["Rest a finger", "Magnifier; let go to click"],
];
