// Run one contestant in this process: its job as JSON on stdin, its figures as JSON lines on stdout.
//
// Usage: `node launch.cjs methods/NAME.cjs <job.json`. The contestant's file exports
// `async function fetch(job, got)`, which fetches every URL and calls `got(index, size)` for every body.
// See launch.py, its counterpart in Python.

"use strict";

const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

/** The user and system time of this process, in seconds. */
function cpuSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** The most memory that this process has held, in bytes. */
function peakRssBytes() {
  try {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
  } catch {
    return process.resourceUsage().maxRSS * 1024;
  }
}

async function main(path) {
  const job = JSON.parse(readFileSync(0, "utf8"));
  job.ca = job.ca_path === null ? undefined : readFileSync(job.ca_path);
  const { fetch } = require(resolve(path));
  const sizes = new Array(job.urls.length).fill(null);
  const got = (index, size) => {
    sizes[index] = size;
    if (job.verbose) console.log(JSON.stringify({ index, bytes: size }));
  };
  const cpuBefore = cpuSeconds();
  const clock = process.hrtime.bigint();
  await fetch(job, got);
  const seconds = Number(process.hrtime.bigint() - clock) / 1e9;
  const figures = { seconds, cpu_seconds: cpuSeconds() - cpuBefore, peak_rss_bytes: peakRssBytes(), sizes };
  // Anything that a library still holds open must not delay the race.
  process.stdout.write(`${JSON.stringify({ ...figures, counted: null })}\n`, () => process.exit(0));
}

main(process.argv[2]).catch((error) => {
  process.stderr.write(`${error?.name ?? "Error"}: ${error?.message ?? error}\n`, () => process.exit(1));
});
