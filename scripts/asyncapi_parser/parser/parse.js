// Reads the AsyncAPI documents that are named, and prints for each what the parser says of it, a JSON object a line.
// Draft 2020-12 is a format that the parser leaves to others: schemas of it are held to its own meta-schema.
const { readFileSync } = require("fs");
const { Parser } = require("@asyncapi/parser");
const Ajv2020 = require("ajv/dist/2020").default;

const DRAFT = "application/schema+json;version=draft-2020-12";
const metaSchema = new Ajv2020({ strict: false, validateFormats: false });

const draft2020 = {
  getMimeTypes: () => [DRAFT],
  parse: (input) => input.data,
  validate(input) {
    if (metaSchema.validateSchema(input.data)) return [];
    return metaSchema.errors.map((error) => ({
      message: error.message,
      path: [...input.path, ...error.instancePath.split("/").slice(1)],
    }));
  },
};

async function main() {
  const parser = new Parser();
  parser.registerSchemaParser(draft2020);
  for (const file of process.argv.slice(2)) {
    const { document, diagnostics } = await parser.parse(readFileSync(file, "utf8"));
    const said = diagnostics.map((own) => ({
      severity: own.severity,
      code: own.code,
      path: own.path.join("/"),
      message: own.message,
    }));
    const counts = document && {
      channels: document.channels().all().length,
      operations: document.operations().all().length,
      messages: document.components().messages().all().length,
      schemas: document.components().schemas().all().length,
    };
    console.log(JSON.stringify({ file, counts: counts || null, said }));
  }
}

main();
