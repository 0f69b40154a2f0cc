/** Where the video lies on the screen: CSS pixels = video pixels * scale + (x, y). */
import { rounded } from "./content.js";

export class View {
  /** @param {number} width of the video @param {number} height */
  constructor(width, height) {
    this.video = { width, height };
    this.size = { width: 1, height: 1 };
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
  }

  get fitScale() {
    const margin = Math.min(24, this.size.width * 0.02);
    const across = (this.size.width - 2 * margin) / this.video.width;
    return Math.max(0.01, Math.min(across, (this.size.height - 2 * margin) / this.video.height));
  }

  /** @param {number} width of the canvas, CSS pixels @param {number} height */
  resize(width, height) {
    this.size = { width: Math.max(1, width), height: Math.max(1, height) };
    if (this.fitted) this.fit();
    else this.bound();
  }

  fit() {
    this.fitted = true;
    this.scale = this.fitScale;
    this.x = (this.size.width - this.video.width * this.scale) / 2;
    this.y = (this.size.height - this.video.height * this.scale) / 2;
  }

  /** Zooms by a factor; what is at (x, y) on the screen stays there. @param {number} factor @param {number} [x] @param {number} [y] */
  zoom(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const scale = Math.max(this.fitScale, Math.min(64, this.scale * factor));
    if (scale <= this.fitScale * 1.001) return this.fit();
    const point = this.toVideo(x, y);
    this.fitted = false;
    this.scale = scale;
    this.x = x - point.x * scale;
    this.y = y - point.y * scale;
    this.bound();
  }

  /** @param {number} dx @param {number} dy CSS pixels */
  pan(dx, dy) {
    if (this.fitted) return;
    this.x += dx;
    this.y += dy;
    this.bound();
  }

  /** Moves so that a point of the video is in sight. @param {number} x @param {number} y */
  reveal(x, y) {
    const at = this.toScreen(x, y);
    const edge = 40;
    const inside = at.x > edge && at.y > edge && at.x < this.size.width - edge && at.y < this.size.height - edge;
    if (!inside) this.pan(this.size.width / 2 - at.x, this.size.height / 2 - at.y);
  }

  /** Keeps a part of the picture in sight. */
  bound() {
    const { width, height } = this.size;
    const reach = 80;
    this.x = Math.min(width - reach, Math.max(reach - this.video.width * this.scale, this.x));
    this.y = Math.min(height - reach, Math.max(reach - this.video.height * this.scale, this.y));
  }

  /** @param {number} x @param {number} y */
  toVideo(x, y) {
    return { x: (x - this.x) / this.scale, y: (y - this.y) / this.scale };
  }

  /** @param {number} x @param {number} y */
  toScreen(x, y) {
    return { x: x * this.scale + this.x, y: y * this.scale + this.y };
  }

  /** A place on the screen as a click: within the picture, to a hundredth of a pixel. @param {number} x @param {number} y */
  toClick(x, y) {
    return rounded(this.within(this.toVideo(x, y)));
  }

  /** The place of the picture that is nearest to a place, video pixels. @param {{x: number, y: number}} place */
  within({ x, y }) {
    const { width, height } = this.video;
    return { x: Math.max(0, Math.min(width, x)), y: Math.max(0, Math.min(height, y)) };
  }

  /** @param {number} x @param {number} y */
  inside(x, y) {
    const at = this.toVideo(x, y);
    return at.x >= 0 && at.y >= 0 && at.x <= this.video.width && at.y <= this.video.height;
  }
}
