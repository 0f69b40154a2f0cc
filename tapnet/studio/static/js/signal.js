/** Names that parts of the page listen to. */
export class Signals {
  constructor() {
    /** @type {Map<string, Set<(detail: any) => void>>} */
    this.listeners = new Map();
  }

  /**
   * Calls `listener` at every `emit` of a name. Returns what stops it.
   * @param {string} name @param {(detail: any) => void} listener
   * @returns {() => void}
   */
  on(name, listener) {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all.add(listener));
    return () => all.delete(listener);
  }

  /** The same, until an element has left the page. @param {Element} element @param {string} name @param {(detail: any) => void} listener */
  during(element, name, listener) {
    const stop = this.on(name, (detail) => (element.isConnected ? listener(detail) : stop()));
  }

  /** @param {string} name @param {any} [detail] */
  emit(name, detail) {
    for (const listener of this.listeners.get(name) ?? []) listener(detail);
  }
}
