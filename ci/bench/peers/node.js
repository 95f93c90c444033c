// CaaS by Node's `net`, over TLS by its `tls`, and by its own stream buffering, one line at a time.
"use strict";
const fs = require("node:fs");
const net = require("node:net");
const tls = require("node:tls");

const endpoint = process.argv[2];
const tcp = /^(tcp|tls):\/\/(.+):(\d+)$/.exec(endpoint);
const where = tcp ? { host: tcp[2], port: Number(tcp[3]) } : { path: endpoint.replace(/^unix:/, "") };

function upper(line) {
  for (let i = 0; i < line.length; i++) if (line[i] >= 97 && line[i] <= 122) line[i] -= 32;
  return line;
}

function serve(socket) {
  let pieces = []; // of the line that is not complete yet
  socket.on("data", (chunk) => {
    let begin = 0;
    for (let end; (end = chunk.indexOf(10, begin) + 1) > 0; begin = end) {
      const line = chunk.subarray(begin, end);
      const whole = pieces.length ? Buffer.concat([...pieces, line]) : line;
      pieces = [];
      if (!socket.write(upper(whole))) socket.pause();
    }
    if (begin < chunk.length) pieces.push(chunk.subarray(begin));
  });
  socket.on("drain", () => socket.resume());
  socket.on("end", () => socket.end());
  socket.on("error", () => socket.destroy());
}

const options = { allowHalfOpen: true, noDelay: true };

function secured() {
  const pem = fs.readFileSync(process.env.CAAS_TRIO_TLS_CERT); // with the key
  return tls.createServer({ ...options, cert: pem, key: pem }, serve);
}

const server = tcp?.[1] === "tls" ? secured() : net.createServer(options, serve);
server.listen({ ...where, backlog: 4096 }, () => {
  const at = server.address();
  console.log(`listening on ${tcp ? `${tcp[1]}://${at.address}:${at.port}` : endpoint}`);
});
