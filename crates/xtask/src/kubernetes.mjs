// Validates custom resources against the schemas of their published models.
// Usage: node kubernetes.mjs FILE.json, in the folder in whose node_modules the models lie. Prints the kind of
// each object it has validated, and ends with what is wrong at the first that breaks its schema.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const MODELS = {
  "keda.sh": "@kubernetes-models/keda",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};
const installed = pathToFileURL(`${process.cwd()}/node_modules/`);

for (const object of JSON.parse(readFileSync(process.argv[2], "utf8"))) {
  const [group, version] = object.apiVersion.split("/");
  if (!(group in MODELS)) continue;
  const models = await import(new URL(`${MODELS[group]}/${group}/${version}/index.js`, installed));
  const Model = models[object.kind];
  if (!Model) continue;
  try {
    new Model(object).validate();
  } catch (why) {
    console.error(`${object.kind} ${object.metadata.name}: ${why.message}`);
    process.exit(1);
  }
  console.log(object.kind);
}
