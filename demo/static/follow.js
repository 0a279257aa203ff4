/* Shows the finished page once its job is seen to end; a page that shows an end has no bar. */

document
  .querySelector("job-progress")
  .addEventListener("job-done", () => location.replace(location.href));
