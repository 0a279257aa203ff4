/* Shows each picture as soon as the job has it. */

const gallery = document.querySelector(".gallery");

addEventListener("job-progress", ({ detail }) => {
  const pictures = detail.files.filter(({ type }) => type.startsWith("image/"));
  for (const { url } of pictures.slice(gallery.childElementCount)) {
    const picture = document.createElement("img");
    picture.src = url;
    picture.alt = `Picture ${gallery.childElementCount + 1}`;
    gallery.appendChild(document.createElement("li")).append(picture);
  }
});
