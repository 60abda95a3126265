// What people do with ioredis, against a port: prints one JSON object, which tests/system/test_clients_real.py reads.
// Arguments: port, "plain" or "cluster".
const { Cluster, Redis } = require("ioredis");

const [port, mode] = [Number(process.argv[2]), process.argv[3]];
const range = (n) => [...Array(n).keys()];

async function collect(stream) {
  const found = new Set();
  for await (const keys of stream) keys.forEach((key) => found.add(key));
  return found.size;
}

async function plain() {
  const redis = new Redis({ port, db: 2, connectionName: "io", maxRetriesPerRequest: 2 });
  const seen = { errors: [] };
  redis.on("error", (error) => seen.errors.push(error.message));
  seen.set = await redis.set("k", "v", "EX", 100);
  seen.get = await redis.get("k");
  seen.missing = await redis.get("missing");
  await redis.mset(Object.fromEntries(range(100).map((n) => [`n:${n}`, n])));
  seen.mget = (await redis.mget(range(100).map((n) => `n:${n}`))).map(Number).every((value, n) => value === n);
  const pipeline = redis.pipeline();
  range(100).forEach((n) => pipeline.incr(`n:${n}`));
  seen.pipeline = (await pipeline.exec()).every(([error, value], n) => error === null && value === n + 1);
  seen.scanned = await collect(redis.scanStream({ match: "n:*", count: 20 }));
  seen.wrong = await redis.incr("k").catch((error) => error.message);
  seen.unknown = await redis.call("NOSUCH", "x").catch((error) => error.message);
  seen.buffer = (await redis.getBuffer("k")).equals(Buffer.from("v"));
  seen.name = await redis.client("GETNAME");
  seen.info = /redis_mode:cluster/.test(await redis.info());
  const subscriber = redis.duplicate({ enableAutoPipelining: true });
  seen.automatic = (await Promise.all(range(50).map((n) => subscriber.get(`n:${n}`)))).map(Number)
    .every((value, n) => value === n + 1);
  seen.dbsize = await redis.dbsize();
  await Promise.all([redis.quit(), subscriber.quit()]);
  return seen;
}

async function cluster() {
  const redis = new Cluster([{ host: "127.0.0.1", port }], { redisOptions: { maxRetriesPerRequest: 2 } });
  const seen = { errors: [] };
  redis.on("error", (error) => seen.errors.push(error.message));
  await Promise.all(range(100).map((n) => redis.set(`c:${n}`, n)));
  const values = await Promise.all(range(100).map((n) => redis.get(`c:${n}`)));
  seen.values = values.map(Number).every((value, n) => value === n);
  const nodes = redis.nodes("master");
  seen.ports = nodes.map((node) => node.options.port).sort();
  seen.sizes = await Promise.all(nodes.map((node) => node.dbsize()));
  const pipeline = redis.pipeline();
  range(20).forEach((n) => pipeline.set(`{tag}${n}`, n));
  seen.pipeline = (await pipeline.exec()).every(([error, value]) => error === null && value === "OK");
  seen.slot = await redis.cluster("KEYSLOT", "foo");
  await redis.quit();
  return seen;
}

(mode === "cluster" ? cluster() : plain())
  .then((seen) => console.log(JSON.stringify(seen)))
  .catch((error) => { console.error(error); process.exit(1); });
