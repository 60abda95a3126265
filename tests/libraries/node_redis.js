// What people do with node-redis, against a port: prints one JSON object, which tests/system/test_clients_real.py reads.
// Arguments: port, "plain" or "cluster", version of the protocol.
const { createClient, createCluster } = require("redis");

const [port, mode, RESP] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const range = (n) => [...Array(n).keys()];

async function plain() {
  const seen = { errors: [] };
  const client = createClient({ RESP, socket: { port, host: "127.0.0.1" }, name: "nr", database: 3 });
  client.on("error", (error) => seen.errors.push(error.message));
  await client.connect();
  seen.set = await client.set("k", "v");
  seen.get = await client.get("k");
  seen.missing = await client.get("missing");
  await client.mSet(Object.fromEntries(range(100).map((n) => [`n:${n}`, String(n)])));
  seen.mget = (await client.mGet(range(100).map((n) => `n:${n}`))).map(Number).every((value, n) => value === n);
  seen.pipeline = (await Promise.all(range(100).map((n) => client.incr(`n:${n}`)))).every((value, n) => value === n + 1);
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "n:*", COUNT: 20 })) [keys].flat().forEach((key) => found.add(key));
  seen.scanned = found.size;
  seen.wrong = await client.incr("k").catch((error) => error.message);
  seen.name = await client.clientGetName();
  seen.tracking = (await client.clientTrackingInfo()).redirect;
  seen.config = await client.configGet("maxclients");
  seen.dbsize = await client.dbSize();
  await client.close();
  return seen;
}

async function cluster() {
  const seen = { errors: [] };
  const client = createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }], defaults: { RESP } });
  client.on("error", (error) => seen.errors.push(error.message));
  await client.connect();
  await Promise.all(range(100).map((n) => client.set(`c:${n}`, String(n))));
  const values = await Promise.all(range(100).map((n) => client.get(`c:${n}`)));
  seen.values = values.map(Number).every((value, n) => value === n);
  seen.ports = client.masters.map((node) => Number(node.address.split(":").pop())).sort();
  await client.close();
  return seen;
}

(mode === "cluster" ? cluster() : plain())
  .then((seen) => console.log(JSON.stringify(seen)))
  .catch((error) => { console.error(error); process.exit(1); });
