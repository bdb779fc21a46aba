const panel = document.getElementById("panel");
const live = document.getElementById("live");
const source = new EventSource("/events");
source.onopen = () => { live.textContent = "live"; };
source.onerror = () => { live.textContent = "not connected; reload the page for what is new"; };
source.addEventListener("panel", (event) => {
  const open = [...panel.querySelectorAll("details[open]")].map((each) => each.id);
  const focused = panel.contains(document.activeElement) && document.activeElement.closest("details")?.id;
  if (!getSelection().isCollapsed) return;
  panel.innerHTML = event.data;
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused) document.getElementById(focused)?.querySelector("summary").focus();
});
