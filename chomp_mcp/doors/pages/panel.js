// The panel inside a host: JSON-RPC with its window, as MCP Apps 2026-01-26 has it.
const panel = document.getElementById("panel");
const live = document.getElementById("live");
const waiting = new Map();
let last = 0;

const send = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const ask = (method, params) => new Promise((resolve, reject) => {
  waiting.set(++last, { resolve, reject });
  send({ id: last, method, params });
});

function show(result) {
  const html = result?._meta?.["chomp/panel"];
  const open = [...panel.querySelectorAll("details[open]")].map((each) => each.id);
  if (html) {
    panel.innerHTML = html;
  } else {
    const text = document.createElement("pre");
    text.textContent = (result?.content ?? []).map((block) => block.text ?? "").join("\n");
    panel.replaceChildren(text);
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  live.textContent = `as of ${new Date().toLocaleTimeString()}`;
}

function fit(context) {
  if (context?.theme) document.documentElement.style.colorScheme = context.theme;
}

function answer({ id, method, params }) {
  if (method === "ui/notifications/tool-result") show(params);
  if (method === "ui/notifications/host-context-changed") fit(params);
  if (id === undefined) return;
  if (method === "ping" || method === "ui/resource-teardown") send({ id, result: {} });
  else send({ id, error: { code: -32601, message: `no ${method} here` } });
}

addEventListener("message", ({ source, data }) => {
  if (source !== parent || data?.jsonrpc !== "2.0") return;
  if (data.method) return answer(data);
  const asked = waiting.get(data.id);
  waiting.delete(data.id);
  if (data.error) asked?.reject(new Error(data.error.message));
  else asked?.resolve(data.result);
});

document.getElementById("again").addEventListener("click", async () => {
  try {
    show(await ask("tools/call", { name: "status", arguments: {} }));
  } catch (error) {
    live.textContent = `not refreshed: ${error.message}`;
  }
});

const appInfo = { name: "chomp", version: document.documentElement.dataset.version };
ask("ui/initialize", { protocolVersion: "2026-01-26", appInfo, appCapabilities: {} }).then((host) => {
  fit(host.hostContext);
  document.getElementById("again").hidden = !host.hostCapabilities?.serverTools;
  send({ method: "ui/notifications/initialized", params: {} });
  const size = () => send({
    method: "ui/notifications/size-changed",
    params: { width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight },
  });
  new ResizeObserver(size).observe(document.body);
});
