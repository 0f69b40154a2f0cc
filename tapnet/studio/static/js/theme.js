/** The theme, before the first picture of the page. */
import { applyTheme } from "./prefs.js";

applyTheme();
matchMedia("(prefers-color-scheme: light)").addEventListener("change", applyTheme);
