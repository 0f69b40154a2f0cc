/**
 * What the server sends and what the page keeps. Frames count from 0 in the whole video; positions
 * are raster pixels of it: (0, 0) is the upper left corner of the image.
 *
 * @typedef {{frame: number, x: number, y: number}} Click
 * @typedef {{name: string, object: string, clicks: Click[], hidden: [number, number][],
 *   assist: string, model: string}} Content  what a person made of one track
 * @typedef {{id: number, video_id: number, version: number, content: Content, stage: string,
 *   deleted: boolean, changed_at: string|number|null, changed_by: string|null}} ServerTrack
 * @typedef {{id: number, name: string, width: number, height: number, frames: number, fps: number,
 *   playable: boolean, stamp: string, tracks: number, tasks: Task[], times: number[]}} Video
 *   `times`: seconds of presentation from the first frame; `stamp` changes with the file
 * @typedef {{version: number, complete: boolean, start: number, xy: Float32Array,
 *   visible: Uint8Array, confidence: Uint8Array, guess: boolean}} Path
 *   xy [2n], visible [n] 0 or 1, confidence [n] 0..255; `guess`: drawn at once by the page, until
 *   the server has computed it
 * @typedef {{key: string, id: number|null, version: number, content: Content, stage: string,
 *   deleted: boolean, changedBy: string|null, changedAt: string|number|null, number: number,
 *   color: string}} Track  `key` stays, `id` comes with the server's answer
 * @typedef {{frame: number, track: number, reason: string, score: number}} Suggestion
 * @typedef {{id: number, kind: string, state: string, done: number, total: number,
 *   message: string|null, settings: Record<string, any>}} Job
 * @typedef {{name: string, role: string, csrf: string, login_required: boolean,
 *   version: string}} Me
 * @typedef {{id: number, video_id: number, video: string, user: string, stage: string,
 *   state: string, note: string|null, changed_at: string}} Task
 * @typedef {{version: number, user: string, time: string|number, kind: string, stage: string,
 *   content: Content}} Edit
 */
export {};
