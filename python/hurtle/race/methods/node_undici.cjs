// Node.js today: undici, an agent whose pool holds as many connections per host as are allowed.

"use strict";

const { Agent, request } = require("undici");

exports.fetch = async function fetch(job, got) {
  const dispatcher = new Agent({ connections: job.connections, connect: { ca: job.ca } });
  const load = async (url, index) => {
    const { body } = await request(url, { dispatcher });
    got(index, (await body.arrayBuffer()).byteLength);
  };
  await Promise.all(job.urls.map(load));
  await dispatcher.close();
};
