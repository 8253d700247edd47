// A real server in a folder, for browsers.
import { spawn } from "node:child_process";
import { createServer } from "node:net";

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

// Starts `MISORA serve`; the process, the link that makes the administrator, and its address.
export async function start(misora, home, more = {}) {
  const port = await freePort();
  // A name, because passkeys are bound to one.
  const base = `http://localhost:${port}`;
  const environment = { ...process.env, MISORA_LISTEN: `127.0.0.1:${port}`, MISORA_PUBLIC_URL: base, MISORA_SIGN_UP: "open", MISORA_FIRST_CLIPS: "false", RUST_LOG: "warn", ...more };
  const server = spawn(misora, ["serve", "--home", home], { env: environment, stdio: ["ignore", "pipe", "inherit"] });
  const link = await new Promise((resolve, reject) => {
    let text = "";
    server.stdout.on("data", (data) => {
      text += data;
      const found = text.match(/http\S+\/set-up#\S+/);
      if (found) resolve(found[0]);
    });
    server.on("exit", () => reject(new Error(`the server did not start: ${text}`)));
  });
  return { server, link, base };
}
