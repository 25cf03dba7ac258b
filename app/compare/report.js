"use strict";
// The pictures of a comparison: any two under a slider, all of them beside each other, zoomed and moved in step.

const MOST_ZOOM = 32;
const ERROR_GAIN = 4; // an error of a quarter of the range is white

for (const section of document.querySelectorAll(".pictures")) {
  const images = new Map([...section.querySelectorAll(".all img")].map((image) => [image.alt, image]));
  const split = section.querySelector(".split");
  const view = { zoom: 1, x: 0, y: 0 };

  function draw() {
    // The picture covers its frame at every zoom.
    view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom));
    view.x = Math.min(0, Math.max(1 - view.zoom, view.x));
    view.y = Math.min(0, Math.max(1 - view.zoom, view.y));
    for (const [name, value] of Object.entries(view)) section.style.setProperty(`--${name}`, value);
  }

  function show() {
    const errors = section.querySelector(".errors").checked;
    for (const side of ["left", "right"]) {
      const name = section.querySelector(`select.of-${side}`).value;
      const shown = errors ? errorMap(images.get(name), images.get("reference")) : images.get(name).cloneNode();
      split.querySelector(`.${side}`).replaceChildren(shown);
    }
    section.querySelector(".split").style.setProperty("--cut", `${section.querySelector(".cut").value}%`);
  }

  for (const frame of section.querySelectorAll(".frame")) {
    frame.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = frame.getBoundingClientRect();
      const [u, v] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      const zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * Math.exp(-event.deltaY / 400)));
      // What is under the mouse stays there.
      view.x = u - ((u - view.x) * zoom) / view.zoom;
      view.y = v - ((v - view.y) * zoom) / view.zoom;
      view.zoom = zoom;
      draw();
    });
    frame.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
    frame.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const box = frame.getBoundingClientRect();
      view.x += event.movementX / box.width;
      view.y += event.movementY / box.height;
      draw();
    });
    frame.addEventListener("dragstart", (event) => event.preventDefault());
    frame.addEventListener("dblclick", () => { Object.assign(view, { zoom: 1, x: 0, y: 0 }); draw(); });
  }
  for (const kind of ["input", "change"]) section.addEventListener(kind, show);
  section.querySelector(".interactive").hidden = false;
  Promise.all([...images.values()].map((image) => image.decode())).then(() => { draw(); show(); });
}

function pixels(image) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  return { canvas, context, data: context.getImageData(0, 0, canvas.width, canvas.height) };
}

// The greatest difference of the three channels, from black over red and yellow to white.
function errorMap(image, reference) {
  const { canvas, context, data } = pixels(image);
  const truth = pixels(reference).data.data;
  for (let i = 0; i < truth.length; i += 4) {
    let error = 0;
    for (let c = 0; c < 3; c++) error = Math.max(error, Math.abs(data.data[i + c] - truth[i + c]));
    const heat = Math.min(3, (3 * ERROR_GAIN * error) / 255);
    for (let c = 0; c < 3; c++) data.data[i + c] = 255 * Math.min(1, Math.max(0, heat - c));
  }
  context.putImageData(data, 0, 0);
  return canvas;
}
