// Questions to a person: log in, invite, confirm, rename.

import { h, setText, show } from "./dom.js";
import { span } from "./format.js";
import { post } from "./live.js";

/** Open a dialog; it is removed when it closes. */
export function open(title, ...content) {
  const close = h("button", {
    type: "button",
    class: "quiet close",
    "aria-label": "Close",
    text: "×",
    on: { click: () => dialog.close() },
  });
  const heading = h("h2", { text: title });
  const dialog = h(
    "dialog",
    {
      on: {
        close: () => dialog.remove(),
        click: (event) => {
          if (event.target === dialog) dialog.close();
        },
      },
    },
    h("div", { class: "sheet" }, h("header", {}, heading, close), ...content),
  );
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** A form whose errors stand in it; `submit(values)` may throw. */
function form({ fields = [], button, kind = "primary", submit }) {
  const error = h("p", { class: "error", role: "alert", hidden: true });
  const send = h("button", { class: kind, text: button });
  const element = h(
    "form",
    {
      method: "dialog",
      on: {
        submit: async (event) => {
          event.preventDefault();
          send.disabled = true;
          show(error, false);
          try {
            await submit(Object.fromEntries(new FormData(element)));
          } catch (fault) {
            setText(error, sentence(fault.message));
            show(error, true);
          } finally {
            send.disabled = false;
          }
        },
      },
    },
    ...fields,
    error,
    h("div", { class: "row" }, send),
  );
  return element;
}

function field(name, text, props = {}) {
  const input = h("input", { name, autocomplete: "off", ...props });
  return h("label", {}, h("span", { text }), input);
}

function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

/** Ask before something that cannot be undone or that interrupts. */
export function confirm({ title, text, button, kind = "danger", act }) {
  const dialog = open(
    title,
    h("p", { text }),
    form({
      button,
      kind,
      submit: async () => {
        await act();
        dialog.close();
      },
    }),
  );
}

/** Ask for a new name. */
export function rename(device, act) {
  const dialog = open(
    `Rename ${device.name}`,
    form({
      fields: [
        field("new_name", "New name", {
          value: device.name,
          maxlength: 64,
          required: true,
          autofocus: true,
        }),
      ],
      button: "Rename",
      submit: async ({ new_name }) => {
        await act(new_name);
        dialog.close();
      },
    }),
  );
  dialog.querySelector("input").select();
}

/** Ask for tags. */
export function tags(device, act) {
  const before = device.tags.join(" ");
  const dialog = open(
    `Tags of ${device.name}`,
    form({
      fields: [
        field("tags", "Words, with spaces between them", {
          value: before,
          autofocus: true,
          placeholder: "greenhouse south",
        }),
      ],
      button: "Set them",
      submit: async (values) => {
        const wanted = values.tags.toLowerCase().split(/[\s,]+/).filter(Boolean);
        await act(
          wanted.filter((tag) => !device.tags.includes(tag)),
          device.tags.filter((tag) => !wanted.includes(tag)),
        );
        dialog.close();
      },
    }),
  );
}

const LIMITS = [
  ["streams", "Streams open at once", "4"],
  ["frames_per_s", "Frames a second", "20"],
  ["bytes_per_s", "Bytes a second", "100kB"],
  ["storage_bytes", "Readings, and recordings; the oldest go", "2GB"],
];

/** Ask for limits. */
export function limits(device, act) {
  const dialog = open(
    `Limits of ${device.name}`,
    h("p", {
      class: "fine",
      text: "An empty field is no limit. What a device sends beyond its limits is given to no output, and an alarm says so.",
    }),
    form({
      fields: LIMITS.map(([name, text, placeholder]) =>
        field(name, text, { value: device.limits[name] ?? "", placeholder }),
      ),
      button: "Set them",
      submit: async (values) => {
        const wanted = Object.entries(values).map(([name, text]) => [name, text.trim() || null]);
        await act(Object.fromEntries(wanted));
        dialog.close();
      },
    }),
  );
}

/** Log in by password, in place of the page. */
export function door(container, onIn) {
  const password = field("password", "Password", {
    type: "password",
    autocomplete: "current-password",
    required: true,
    autofocus: true,
  });
  container.replaceChildren(
    h(
      "div",
      { class: "sheet" },
      h("h2", { text: "Log in" }),
      form({
        fields: [password],
        button: "Log in",
        submit: async (values) => {
          await post("login", values);
          await onIn();
        },
      }),
    ),
  );
  password.querySelector("input").focus();
}

/** Make or change the password. */
export function setPassword(session, onDone) {
  const fields = [];
  if (session.has_password)
    fields.push(
      field("current", "Password so far", {
        type: "password",
        autocomplete: "current-password",
        required: true,
      }),
    );
  fields.push(
    field("password", "New password", {
      type: "password",
      autocomplete: "new-password",
      minlength: session.password_shortest,
      required: true,
    }),
  );
  fields.push(
    field("again", "The same again", {
      type: "password",
      autocomplete: "new-password",
      required: true,
    }),
  );
  const dialog = open(
    session.has_password ? "Change the password" : "Make a password",
    h("p", {
      text: session.has_password
        ? "Every other browser has to log in again."
        : "From then on nobody sees this page without it, and it can be reached from other machines if the configuration says so.",
    }),
    form({
      fields,
      button: session.has_password ? "Change it" : "Make it",
      submit: async ({ current = "", password, again }) => {
        if (password !== again) throw new Error("the two are not the same");
        await post("password", { current, password });
        dialog.close();
        await onDone();
      },
    }),
  );
}

/** Invite a device: a form, then the code, then the device as it appears. */
export function invite({ latest, approve }) {
  const before = new Set(
    (latest()?.devices ?? []).map((device) => `${device.name}\n${device.enrolled_ns}`),
  );
  const body = h("div");
  const dialog = open("Invite a device", body);
  const lifetime = h(
    "select",
    { name: "minutes" },
    ...[
      [10, "10 minutes"],
      [60, "1 hour"],
      [1440, "1 day"],
      [10080, "1 week"],
    ].map(([value, text]) => h("option", { value, text, selected: value === 60 })),
  );
  body.append(
    form({
      fields: [
        field("name", "Name (may stay empty)", {
          maxlength: 64,
          autofocus: true,
          placeholder: "greenhouse",
        }),
        h("label", {}, h("span", { text: "Good for" }), lifetime),
        h(
          "label",
          { class: "check" },
          h("input", { type: "checkbox", name: "small" }),
          h("span", { text: "A microcontroller, without ML-KEM-768" }),
        ),
      ],
      button: "Make the invite",
      submit: async ({ name, minutes, small }) => {
        const made = await post("invite", {
          name: name.trim(),
          minutes: Number(minutes),
          hybrid: !small,
        });
        showInvite({ dialog, body, made, before, latest, approve });
      },
    }),
  );
}

function showInvite({ dialog, body, made, before, latest, approve }) {
  const image = URL.createObjectURL(new Blob([made.qr], { type: "image/svg+xml" }));
  const command = `tickseal edge enrol ${made.token}`;
  const copied = h("span", { role: "status" });
  const state = h("p", { class: "waiting", role: "status" });
  const act = h("button", { class: "primary", type: "button", text: "Approve", hidden: true });
  const copy = h("button", {
    type: "button",
    text: "Copy the command",
    on: {
      click: async () => {
        try {
          await navigator.clipboard.writeText(command);
          setText(copied, "copied");
        } catch {
          getSelection().selectAllChildren(code);
          setText(copied, "select it and copy by hand");
        }
      },
    },
  });
  const code = h("code", { text: command, tabindex: "0" });
  body.replaceChildren(
    h("img", { class: "qr", src: image, alt: "The invite as a QR code" }),
    h("p", {}, "On the device, run this, or let it read the code:"),
    code,
    h("div", { class: "row" }, copy, copied),
    h("p", {
      class: "fine",
      text: `For one device, once. Whoever has it can enrol: show it to nobody else. This gateway's fingerprint is ${made.fingerprint}.`,
    }),
    h("div", { class: "row" }, state, act),
  );
  const look = () => {
    const snapshot = latest();
    if (!snapshot) return;
    const found = snapshot.devices.find(
      (device) =>
        !before.has(`${device.name}\n${device.enrolled_ns}`) &&
        (!made.name || device.name === made.name),
    );
    const left = (made.expires_ns - snapshot.gateway.now_ns) / 1e9;
    if (!found) {
      setText(
        state,
        left > 0 ? `Waiting for the device. Good for ${span(left)}.` : "The invite has expired.",
      );
      state.dataset.state = left > 0 ? "waiting" : "over";
      return;
    }
    const words = {
      enrolling: "is enrolling",
      pending: "is enrolled and waits for your approval",
      approved: "is enrolled",
    };
    setText(state, `${found.name} ${words[found.state] ?? found.state}.`);
    state.dataset.state = found.state === "approved" ? "done" : "waiting";
    show(act, found.state === "pending");
    act.onclick = () => approve(found);
  };
  look();
  const timer = setInterval(look, 300);
  dialog.addEventListener("close", () => {
    clearInterval(timer);
    URL.revokeObjectURL(image);
  });
}
