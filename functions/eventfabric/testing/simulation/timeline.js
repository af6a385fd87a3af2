"use strict";
// Fades every mark that does not speak of what is typed.
const wanted = document.getElementById("wanted");
const marks = [...document.querySelectorAll(".body .mark, .body .bar")];
const texts = marks.map((mark) => mark.querySelector("title").textContent.toLowerCase());
wanted.addEventListener("input", () => {
  const words = wanted.value.toLowerCase().split(" ").filter(Boolean);
  marks.forEach((mark, number) => {
    mark.classList.toggle("off", !words.every((word) => texts[number].includes(word)));
  });
});
// Begins where the first anomaly shows.
const first = document.querySelector(".anomalies circle");
const scroller = document.querySelector(".scroll");
if (first && !location.hash) {
  scroller.scrollLeft = first.cx.baseVal.value - scroller.clientWidth / 2;
}
