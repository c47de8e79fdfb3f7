// This stands in for htmx (https://htmx.org), so that the example needs no download. It knows
// hx-post on a form, hx-target, and the swap "outerHTML".
for (const form of document.querySelectorAll("form[hx-post]")) {
  form.addEventListener("submit", async event => {
    event.preventDefault()
    const answer = await fetch(form.getAttribute("hx-post"), {
      method: "POST", headers: {"HX-Request": "true"}, body: new URLSearchParams(new FormData(form)),
    })
    const redirect = answer.headers.get("HX-Redirect")
    if (redirect) location.href = redirect
    else document.querySelector(form.getAttribute("hx-target")).outerHTML = await answer.text()
  })
}
