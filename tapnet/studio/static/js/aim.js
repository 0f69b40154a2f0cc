/** Clicking with the keyboard: a cross that the arrows move and Enter clicks with. */
import { rounded } from "./content.js";
import { say } from "./dom.js";
import { newSpot } from "./paths.js";
import { Signals } from "./signal.js";

const spot = newSpot();

export class Aim extends Signals {
  /** @param {import("./editor.js").Editor} editor @param {import("./stage.js").Stage} stage */
  constructor(editor, stage) {
    super();
    this.editor = editor;
    this.stage = stage;
    this.aiming = false;
  }

  begin() {
    const { editor, stage } = this;
    if (!editor.usable) return;
    if (editor.playing) editor.player.pause();
    const places = editor.settings.tool === "place" && editor.track;
    const known = places && editor.paths.at(places, editor.frames.shown, spot);
    const { width, height } = stage.view.size;
    stage.ghost = known ? { x: spot.x, y: spot.y } : (this.last ?? stage.view.toClick(width / 2, height / 2));
    stage.view.reveal(stage.ghost.x, stage.ghost.y);
    this.turn(true);
    say("Cross on. Arrows move it, Enter clicks, Escape leaves.");
  }

  /** @param {boolean} on */
  turn(on) {
    this.aiming = on;
    if (!on) this.stage.ghost = null;
    this.emit("changed");
    this.stage.request();
  }

  /** @param {KeyboardEvent} event @returns {boolean} whether the key was for the cross */
  key(event) {
    const { ghost, view } = this.stage;
    if (!this.aiming || !ghost) return false;
    if (event.key === "Escape") this.turn(false);
    else if (event.key === "Enter") this.click();
    else if (event.key.startsWith("Arrow")) {
      const step = (event.altKey ? 1 : event.shiftKey ? 40 : 8) / view.scale;
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const [dx, dy] = way[/** @type {"ArrowLeft"} */ (event.key)];
      Object.assign(ghost, view.within({ x: ghost.x + dx * step, y: ghost.y + dy * step }));
      view.reveal(ghost.x, ghost.y);
      say(`${Math.round(ghost.x)}, ${Math.round(ghost.y)}`);
      this.stage.request();
    } else return false;
    return true;
  }

  click() {
    const { ghost } = this.stage;
    if (!ghost) return;
    this.last = rounded(ghost);
    this.editor.clicked(this.last, false);
    this.turn(false);
  }
}
