// Runs one workload on one peer and prints one line of JSON: node measure.js PEER WORKLOAD [--name number]…
import { workloads } from "./workloads.js";

const [name, workload, ...rest] = process.argv.slice(2);
const sizes = {};
for (let i = 0; i < rest.length; i += 2) sizes[rest[i].replace(/^--/, "")] = Number(rest[i + 1]);

const { open } = await import(`./${name}.js`);
const peer = await open(process.env);
const figures = await workloads[workload](peer, sizes);
console.log(JSON.stringify(figures));
// Peers keep connections and timers; nothing of them is of interest any more.
process.exit(0);
