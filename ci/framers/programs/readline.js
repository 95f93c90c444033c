// Node's `readline`, over bytes as latin1, since it knows no other way to keep them.
"use strict";

const readline = require("node:readline");

const tell = (kind, value) => process.stdout.write(JSON.stringify({ [kind]: value }) + "\n");

process.stdin.setEncoding("latin1");
const lines = readline.createInterface({ input: process.stdin, crlfDelay: Infinity, terminal: false });
lines.on("line", (line) => tell("line", Buffer.from(line, "latin1").toString("hex")));
lines.on("close", () => tell("end", ""));
