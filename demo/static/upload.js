/* Drag and drop, the chosen file's name, and a word in time when it is too large. */

const form = document.querySelector(".upload");
const drop = form.querySelector(".drop");
const input = form.querySelector("input[type=file]");
const text = form.querySelector(".drop-text");
const problem = form.querySelector(".problem");
const button = form.querySelector("button");
const buttonText = button.textContent;
const dropText = text.textContent;

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (bytes >= 1000 && unit < 3) {
    bytes /= 1000;
    unit += 1;
  }
  return `${bytes.toLocaleString("en", { maximumFractionDigits: 1 })} ${units[unit]}`;
}

function showFile() {
  const file = input.files[0];
  const tooLarge = file !== undefined && file.size > Number(form.dataset.limit);
  text.textContent = file ? `${file.name} (${size(file.size)})` : dropText;
  problem.hidden = !tooLarge;
  problem.textContent = tooLarge
    ? `This file is larger than ${form.dataset.limitText}, the most that can be uploaded here.`
    : "";
  button.disabled = tooLarge;
}

function highlight(event) {
  event.preventDefault();
  drop.classList.toggle("over", event.type === "dragover");
}

drop.addEventListener("dragover", highlight);
drop.addEventListener("dragleave", highlight);
drop.addEventListener("drop", (event) => {
  highlight(event);
  if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  showFile();
});
input.addEventListener("change", showFile);
form.addEventListener("submit", () => {
  button.disabled = true;
  button.textContent = "Uploading…";
});
addEventListener("pageshow", () => {
  button.textContent = buttonText;
  showFile();
});
