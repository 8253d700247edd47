// Shows the form that fits the link, and sends it. What follows the # of the link is the token; it goes nowhere but into the body.
"use strict";

const token = location.hash.slice(1);
const said = document.getElementById("said");

function say(words, wrong) {
  said.textContent = words;
  said.className = wrong ? "wrong" : "";
  said.focus();
}

function show(selector) {
  for (const element of document.querySelectorAll(selector)) element.hidden = false;
}

async function send(form) {
  const fields = {};
  for (const [name, value] of new FormData(form)) if (value !== "") fields[name] = value;
  if (form.hasAttribute("data-token")) fields.token = token;
  const answer = await fetch(form.dataset.to, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(fields),
  });
  if (answer.ok) {
    // The token is used: neither the history nor a shared screen needs it.
    history.replaceState(null, "", location.pathname);
    form.remove();
    say(form.dataset.done, false);
    return;
  }
  const { error } = await answer.json();
  if (error.code === "second_factor_required") {
    show("[data-second-factor]");
    form.querySelector("[data-second-factor] input").focus();
  }
  if (["token_used", "token_expired", "token_unknown"].includes(error.code)) {
    form.remove();
    show("[data-again]");
  }
  say(error.message, true);
}

for (const form of document.querySelectorAll("form")) {
  form.hidden = form.hasAttribute("data-token") !== (token !== "");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    button.disabled = true;
    say("", false);
    try {
      await send(form);
    } catch {
      say("The server did not answer. Check your connection and try again.", true);
    }
    button.disabled = false;
  });
}
if (token === "") show("[data-without-token]");
addEventListener("hashchange", () => location.reload());
