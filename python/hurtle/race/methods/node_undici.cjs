// Node.js today: undici, an agent with a pool, and as many requests in flight as are allowed.

"use strict";

const { Agent, interceptors, request } = require("undici");

exports.fetch = async function fetch(job, got) {
  const agent = new Agent({ connections: job.connections, connect: { ca: job.ca } });
  const dispatcher = agent.compose(interceptors.redirect({ maxRedirections: 10 }));
  const waiting = job.urls.entries();
  const work = async () => {
    // All workers draw from one list, so the limit covers all hosts; the agent's own limit is per host.
    for (const [index, url] of waiting) {
      const { statusCode, body } = await request(url, { dispatcher });
      if (statusCode >= 400) throw new Error(`status ${statusCode}`);
      got(index, (await body.arrayBuffer()).byteLength);
    }
  };
  await Promise.all(Array.from({ length: job.connections }, work));
  await agent.close();
};
