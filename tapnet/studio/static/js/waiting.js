/** Waiting: for a time, or for the next picture of the screen. */

/** @param {number} ms @returns {Promise<void>} */
export const pause = (ms) => new Promise((resume) => setTimeout(resume, ms));

export const nextPicture = () => new Promise((resume) => requestAnimationFrame(resume));

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
