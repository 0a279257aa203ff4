/* Shows the finished report once its job is done. */

const show = () => location.replace(location.href);

const bar = document.querySelector("job-progress");
bar.addEventListener("job-done", show);
bar.addEventListener("job-restored", show);
