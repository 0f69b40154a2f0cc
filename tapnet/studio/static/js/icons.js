/** Line icons, drawn on a 24 x 24 grid; `!` before a path fills it. */

const PATHS = {
  play: "!M8 5.5v13l10.5-6.500z",
  pause: "!M7 5.500h3.500v13H7z|!M13.5 5.500H17v13h-3.500z",
  next: "!M6 6v12l8-6z|M17 6v12",
  previous: "!M18 6v12l-8-6z|M7 6v12",
  first: "!M19 6v12l-6.5-6z|!M12.5 6v12L6 12z|M5 6v12",
  last: "!M5 6v12l6.5-6z|!M11.5 6v12l6.5-6z|M19 6v12",
  undo: "M8 5 4 9l4 4|M4 9h10a5.5 5.5 0 0 1 0 11H9",
  redo: "m16 5 4 4-4 4|M20 9H10a5.5 5.5 0 0 0 0 11h5",
  add: "M12 5v14|M5 12h14",
  grid: "!M5 5h3v3H5z|!M10.5 5h3v3h-3z|!M16 5h3v3h-3z|!M5 10.500h3v3H5z|!M10.5 10.500h3v3h-3z|!M16 10.500h3v3h-3z|!M5 16h3v3H5z|!M10.5 16h3v3h-3z|!M16 16h3v3h-3z",
  eye: "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z|M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  hidden: "M4 4l16 16|M9.5 5.800A9 9 0 0 1 12 5.500c6 0 9.5 6.5 9.5 6.500a16 16 0 0 1-3 3.6|M6 7.500A15.5 15.5 0 0 0 2.5 12S6 18.5 12 18.500a9 9 0 0 0 4-.9|M9.9 9.900a3 3 0 0 0 4.2 4.2",
  trash: "M4.5 7h15|M9 7V4.500h6V7|M6.5 7l1 12.500h9l1-12.5|M10 11v5|M14 11v5",
  download: "M12 4v11|m7.5 10.8 4.5 4.5 4.5-4.5|M4.5 19.500h15",
  upload: "M12 16V5|M7.5 9.2 12 4.700l4.5 4.5|M4.5 19.500h15",
  help: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z|M9.5 9.500a2.5 2.5 0 1 1 3.7 2.200c-.8.5-1.2 1-1.2 1.8|M12 16.800v.1",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8z|M12 2.500v2|M12 19.500v2|M2.5 12h2|M19.5 12h2|m5.3 5.3 1.4 1.4|m17.3 17.3 1.4 1.4|m18.7 5.3-1.4 1.4|m6.7 17.3-1.4 1.4",
  moon: "M19.5 14.500A8 8 0 0 1 9.5 4.500a8 8 0 1 0 10 10z",
  close: "m6 6 12 12|M18 6 6 18",
  check: "m5 12.5 4.5 4.500L19 7.5",
  waiting: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z|M12 7v5l3.5 2",
  offline: "M7 18.500a4.5 4.5 0 0 1-.5-9 6 6 0 0 1 11.3 1.300A4 4 0 0 1 17.5 18.500z|M12 10v3|M12 15.700v.1",
  people: "M9 5a3.2 3.2 0 1 0 0 6.400A3.2 3.2 0 0 0 9 5z|M3 19c0-3.3 2.7-5.5 6-5.500s6 2.2 6 5.5|M15.5 5.300a3.2 3.2 0 0 1 0 5.9|M17.5 14c2.2.7 3.5 2.6 3.5 5",
  tasks: "M10 6h10|M10 12h10|M10 18h10|m3.5 6 1.2 1.200L7 4.9|m3.5 12 1.2 1.200L7 10.9|m3.5 18 1.2 1.200L7 16.9",
  history: "M4 12a8 8 0 1 0 2.5-5.800L4 8.5|M4 4v4.500h4.5|M12 8v4.300l3 1.8",
  zoomIn: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z|m15.5 15.5 4.5 4.5|M10.5 7.800v5.4|M7.8 10.500h5.4",
  zoomOut: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z|m15.5 15.5 4.5 4.5|M7.8 10.500h5.4",
  magnifier: "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13z|m15.5 15.5 4.5 4.5|!M10.5 9.300a1.2 1.2 0 1 0 0 2.4 1.2 1.2 0 0 0 0-2.400z",
  target: "M12 6.500a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11z|M12 2.500v5|M12 16.500v5|M2.5 12h5|M16.5 12h5",
  trail: "M4 19c3.5-.5 4.5-8.5 8.5-9.5|!M16.5 5.500a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  flag: "M6 21V4|M6 4.800c4-2 7 2 12 0v8c-5 2-8-2-12 0",
  film: "M4 5h16v14H4z|M8 5v14|M16 5v14|M4 9.700h4|M4 14.300h4|M16 9.700h4|M16 14.300h4",
  back: "M14.5 5.5 8 12l6.5 6.5",
  menu: "M5 12h.1|M12 12h.1|M19 12h.1",
  warning: "M12 4 2.8 19.500h18.400z|M12 10v4.5|M12 17v.1",
  leave: "M10 4.500H5v15h5|M10 12h10|m16.5 8 4 4-4 4",
  compare: "M12 3v18|M4 6.500h5v11H4|M20 6.500h-5v11h5",
  cursor: "M5.5 4.5 19 11l-6 2-2.2 6z",
  spark: "M12 3.500l1.9 5.6 5.6 1.9-5.6 1.900L12 18.500l-1.9-5.600L4.5 11l5.6-1.900z|M19 16.500v4|M17 18.500h4",
  key: "M8 10.500a4 4 0 1 0 0 8 4 4 0 0 0 0-8z|m11 11.7 8-7.7|m16 7.5 2.5 2.5",
};

/** @typedef {keyof typeof PATHS} Icon */

/**
 * An icon, hidden from screen readers: the button around it has the words.
 * @param {Icon} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  for (const part of PATHS[name].split("|")) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("d", part.replace("!", ""));
    if (part.startsWith("!")) path.setAttribute("class", "solid");
    svg.append(path);
  }
  return svg;
}
