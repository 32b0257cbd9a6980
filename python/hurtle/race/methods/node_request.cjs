// The (deprecated) `request` package, in batches, as people wrote it in 2021.

"use strict";

const request = require("request");

function load(url, agentOptions) {
  return new Promise((done, failed) => {
    // encoding: null gives bytes instead of text.
    request({ url, encoding: null, forever: true, agentOptions }, (error, response, body) => {
      if (error) failed(error);
      else if (response.statusCode >= 400) failed(new Error(`status ${response.statusCode}`));
      else done(body);
    });
  });
}

exports.fetch = async function fetch(job, got) {
  const agentOptions = { ca: job.ca };
  for (let first = 0; first < job.urls.length; first += job.connections) {
    const batch = job.urls.slice(first, first + job.connections);
    const bodies = await Promise.all(batch.map((url) => load(url, agentOptions)));
    bodies.forEach((body, index) => got(first + index, body.length));
  }
};
