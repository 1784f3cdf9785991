// What a browser must have, told in words where it lacks it. Not a module: modules do not load from a file, and an old
// browser does not know them; this still runs there.
(function () {
  "use strict";
  function lacking() {
    if (location.protocol === "file:")
      return "Browsers load no instruments from a file on disk. Serve this folder: type “zoo web” with the model's name, or “python -m http.server” in this folder, and open the address that it prints.";
    if (window.isSecureContext === false)
      return "Browsers give microphone and audio processing only to https pages and to this machine's own. This page came from " + location.origin + ": open it by https, or on the machine itself as http://127.0.0.1.";
    if (!window.WebAssembly || !window.AudioWorkletNode || !("noModule" in document.createElement("script")))
      return "This browser is too old: it has no AudioWorklet. Chrome or Edge from 92, Firefox from 90 and Safari from 16.4 can play this page.";
    // a function of one SIMD instruction
    var simd = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]);
    if (!WebAssembly.validate(simd))
      return "This browser is too old: its WebAssembly has no vector instructions. Chrome or Edge from 92, Firefox from 90 and Safari from 16.4 have them.";
    return "";
  }
  window.zooLacks = lacking();
  document.addEventListener("DOMContentLoaded", function () {
    if (!window.zooLacks) return;
    var box = document.getElementById("trouble");
    box.textContent = window.zooLacks;
    box.hidden = false;
    document.documentElement.className = "unable";
  });
})();
