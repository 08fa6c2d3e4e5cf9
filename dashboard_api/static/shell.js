// What every page has: the notice, the panel with the sign-in form, the theme.
import { keepToken } from "./api.js";

export const at = (id) => document.getElementById(id);
export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export function notice(kind, title, text, action = null, run = null) {
  const box = at("notice");
  box.dataset.kind = kind;
  at("notice-title").textContent = title;
  at("notice-text").textContent = text;
  at("notice-action").hidden = !action;
  at("notice-action").textContent = action ?? "";
  at("notice-action").onclick = run;
  box.hidden = false;
}

export function clearNotice() {
  at("notice").hidden = true;
}

export function panel(view, title, text, { asksForToken = false } = {}) {
  document.body.dataset.view = view;
  at("panel-title").textContent = title;
  at("panel-text").textContent = text;
  at("sign-in").hidden = !asksForToken;
  at("panel").hidden = false;
}

/** Set up the theme and the ways to sign in; `start` is called when there is a new token, `repaint` with a new theme. */
export function setUp({ start, repaint = () => {} }) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const setTheme = (theme) => {
    document.documentElement.dataset.theme = theme;
    repaint();
  };
  setTheme(localStorage.getItem("salespulse.theme") ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => localStorage.getItem("salespulse.theme") ?? setTheme(dark.matches ? "dark" : "light"));
  at("theme").addEventListener("click", () => {
    const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("salespulse.theme", theme);
    setTheme(theme);
  });
  at("sign-in").addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(at("token").value.trim());
    at("token").value = "";
    start();
  });
  addEventListener("hashchange", () => location.hash.includes("token=") && start());
}
