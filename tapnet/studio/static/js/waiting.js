/** Waiting: for a time, for the next picture of the screen, for the end of a press. */

/** @param {number} ms @returns {Promise<void>} */
export const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

export const nextPicture = () => new Promise((resume) => requestAnimationFrame(resume));

let pressed = false; // a button of the mouse is down, or a finger
for (const name of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) {
  addEventListener(name, (event) => (pressed = /** @type {PointerEvent} */ (event).buttons > 0), true);
}
addEventListener("contextmenu", () => (pressed = false), true); // a menu of the system may keep the release

/** Waits while something is being pressed: what is replaced under a finger gets no click. */
export async function untilReleased() {
  while (pressed) await pause(20);
  await pause(0); // the click comes with the release
}

/** What calls `run` before the next picture of the screen: once, however often it is asked. @param {() => void} run */
export function oncePerPicture(run) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      run();
    });
  };
}

/**
 * What calls `load` one at a time: asked while it runs, it runs once more, so that what was asked
 * for last is what is there in the end.
 * @param {() => Promise<void>} load @returns {() => Promise<void>}
 */
export function oneAtATime(load) {
  let asked = false;
  /** @type {Promise<void>|null} */
  let running = null;
  const run = async () => {
    try {
      while (asked) {
        asked = false;
        await load();
      }
    } finally {
      running = null;
    }
  };
  return () => {
    asked = true;
    running ??= run();
    return running;
  };
}
