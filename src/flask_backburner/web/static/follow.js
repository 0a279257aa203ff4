// On the page of a background view's job: at its end go on to the view's own answer.

document.addEventListener("job-done", ({ detail: { state, links } }) => {
  if (state == "succeeded") location.replace(links.result);
});
