// Reads a resource of R4 per line and answers each with a line: its errors, a list of texts.
const { createInterface } = require("node:readline");
const { Fhir } = require("fhir");

const referee = new Fhir();
createInterface({ input: process.stdin }).on("line", (line) => {
  let errors;
  try {
    const { messages } = referee.validate(JSON.parse(line), { errorOnUnexpected: true });
    errors = messages
      .filter(({ severity }) => severity === "error" || severity === "fatal")
      .map(({ location, message }) => `${location}: ${message}`);
  } catch (error) {
    errors = [`refused: ${error.message}`];
  }
  process.stdout.write(`${JSON.stringify(errors)}\n`);
});
