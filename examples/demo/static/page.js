// Shows times by the visitor's clock, and scrolls the navigation to the current page. Every page works without it.

for (const time of document.querySelectorAll("time")) {
  time.textContent = new Date(time.dateTime).toLocaleString([], { dateStyle: "long", timeStyle: "short" });
}

function scrollToCurrent() {
  const list = document.querySelector("nav ul"), current = list.querySelector("[aria-current]");
  list.scrollLeft = current ? current.offsetLeft - (list.clientWidth - current.offsetWidth) / 2 : 0;
}
scrollToCurrent();
addEventListener("resize", scrollToCurrent);
