// @azure/batch 10.2.0. Its own api-version, 2022-10-01.16.0, is not spoken; it is told the next that is, which it lets one set.

const { BatchServiceClient, BatchSharedKeyCredentials } = require("@azure/batch");

const [endpoint, account, key] = process.argv.slice(2);
const client = new BatchServiceClient(new BatchSharedKeyCredentials(account, key), endpoint);
client.apiVersion = "2024-02-01.19.0";
const id = "cjs";

async function check(name, call) {
  let verdict = "ok";
  try {
    if ((await call()) === false) {
      verdict = "not as expected";
    }
  } catch (error) {
    verdict = `${error.name}: ${error.message}`.replace(/\s+/g, " ").slice(0, 120);
  }
  console.log(`${name}\t${verdict}`);
}

async function until(condition) {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (await condition()) {
      return true;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return false;
}

async function everything(list, next) {
  const found = [...list];
  while (list.odatanextLink) {
    list = await next(list.odatanextLink);
    found.push(...list);
  }
  return found;
}

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) {
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

async function main() {
  const machine = {
    imageReference: { publisher: "canonical", offer: "0001-com-ubuntu-server-jammy", sku: "22_04-lts" },
    nodeAgentSKUId: "batch.node.ubuntu 22.04",
  };
  const poolInfo = { poolId: id };
  await check("create pool", () =>
    client.pool.add({ id, vmSize: "standard_d2s_v3", targetDedicatedNodes: 1, virtualMachineConfiguration: machine }),
  );
  await check("get pool", async () => (await client.pool.get(id)).vmSize === "standard_d2s_v3");
  await check("pool exists", async () => (await client.pool.exists(id)).body === true);
  await check("list pools", async () => (await client.pool.list()).some((each) => each.id === id));
  await check("nodes become idle", () =>
    until(async () => {
      const nodes = await client.computeNode.list(id);
      return nodes.length === 1 && nodes[0].state === "idle";
    }),
  );
  await check("patch pool", () => client.pool.patch(id, { metadata: [{ name: "a", value: "b" }] }));
  await check("replace pool properties", () =>
    client.pool.updateProperties(id, { certificateReferences: [], applicationPackageReferences: [], metadata: [] }),
  );
  await check("node counts", async () => (await client.account.listPoolNodeCounts()).length > 0);
  await check("supported images", async () => (await client.account.listSupportedImages()).length > 0);
  await check("create job", () => client.job.add({ id, poolInfo }));
  await check("patch job", () => client.job.patch(id, { priority: 5 }));
  await check("replace job", () => client.job.update(id, { poolInfo, priority: 6 }));
  await check("create task", () => client.task.add(id, { id: "one", commandLine: "/bin/echo hello" }));
  const many = Array.from({ length: 100 }, (_, number) => ({ id: `t${number}`, commandLine: "/bin/true" }));
  await check("create task collection", async () => {
    const added = await client.task.addCollection(id, many);
    return added.value.filter((each) => each.status === "Success").length === 100;
  });
  await check("tasks complete", () => until(async () => (await client.task.get(id, "one")).state === "completed"));
  await check("list tasks", async () => {
    const first = await client.task.list(id, { taskListOptions: { maxResults: 40 } });
    return (await everything(first, (link) => client.task.listNext(link))).length === 101;
  });
  await check("filter tasks", async () => {
    const options = { taskListOptions: { filter: "state eq 'completed'", select: "id" } };
    return (await client.task.list(id, options)).length > 0;
  });
  await check("read file", async () => {
    const file = await client.file.getFromTask(id, "one", "stdout.txt");
    return (await text(file.readableStreamBody)) === "hello\n";
  });
  await check("list files", async () => (await client.file.listFromTask(id, "one")).length > 0);
  await check("task counts", async () => (await client.job.getTaskCounts(id)).taskCounts !== undefined);
  await check("disable job", () => client.job.disable(id, "requeue"));
  await check("enable job", async () => {
    const disabled = await until(async () => (await client.job.get(id)).state === "disabled");
    await client.job.enable(id);
    return disabled;
  });
  const schedule = { id: "sjs", schedule: { recurrenceInterval: "PT1H" }, jobSpecification: { poolInfo } };
  await check("create job schedule", () => client.jobSchedule.add(schedule));
  await check("list job schedules", async () => (await client.jobSchedule.list()).some((each) => each.id === "sjs"));
  await check("delete job schedule", () => client.jobSchedule.deleteMethod("sjs"));
  const [node] = await client.computeNode.list(id);
  await check("create node user", () => client.computeNode.addUser(id, node.id, { name: "u", password: "p" }));
  await check("remote login settings", () => client.computeNode.getRemoteLoginSettings(id, node.id));
  await check("reboot node", () => client.computeNode.reboot(id, node.id));
  await check("resize pool", () => client.pool.resize(id, { targetDedicatedNodes: 0 }));
  await check("an error is read", async () => {
    try {
      await client.job.get("nothing");
    } catch (error) {
      return error.code === "JobNotFound" && error.statusCode === 404;
    }
    return false;
  });
  await check("delete job", () => client.job.deleteMethod(id));
  await check("delete pool", () => client.pool.deleteMethod(id));
}

main();
