// CaaS by Node's `net` and its own stream buffering, one line at a time.
"use strict";
const net = require("node:net");

const endpoint = process.argv[2];
const tcp = /^tcp:\/\/(.+):(\d+)$/.exec(endpoint);
const where = tcp ? { host: tcp[1], port: Number(tcp[2]) } : { path: endpoint.replace(/^unix:/, "") };

function upper(line) {
  for (let i = 0; i < line.length; i++) if (line[i] >= 97 && line[i] <= 122) line[i] -= 32;
  return line;
}

const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
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
});

server.listen({ ...where, backlog: 4096 }, () => {
  const at = server.address();
  console.log(`listening on ${tcp ? `tcp://${at.address}:${at.port}` : endpoint}`);
});
