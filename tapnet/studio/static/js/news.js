/** What happens on the server, as it happens. */

const AGAIN = 2000; // ms until the next try, where the browser has given up

/**
 * Calls what takes each event's data; "hello" comes with every connection, the first and later
 * ones. What was loaded before it may be older than the news: it is to be loaded after it.
 * @param {string} address @param {Record<string, (data: any) => void>} takes
 * @param {() => void} [broken] called when the connection is lost or refused
 * @returns {() => void} what ends it
 */
export function listen(address, takes, broken) {
  /** @type {EventSource} */
  let source;
  let again = 0;
  const open = () => {
    source = new EventSource(address);
    for (const [name, take] of Object.entries(takes)) {
      source.addEventListener(name, (event) => take(JSON.parse(/** @type {MessageEvent} */ (event).data)));
    }
    source.addEventListener("error", () => {
      broken?.();
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again
      clearTimeout(again);
      again = setTimeout(open, AGAIN);
    });
  };
  open();
  return () => {
    source.close();
    clearTimeout(again);
  };
}
