// The validator of the npm package fhir (R4): resources as NDJSON in, faults as JSON lines out.
const { Fhir } = require("fhir");
const readline = require("readline");

const referee = new Fhir();
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { messages } = referee.validate(JSON.parse(line), { errorOnUnexpected: true });
  const found = messages.filter((one) => one.severity === "error" || one.severity === "fatal");
  process.stdout.write(JSON.stringify(found.map((one) => `${one.location}: ${one.message}`)) + "\n");
});
