"""azure-cli, ``az batch``: each call is a command of its own, as people and scripts use it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from check import ACCOUNT, ENDPOINT, KEY, check, expect, until

AZ = [sys.executable, "-m", "azure.cli", "batch"]
folder = Path(tempfile.mkdtemp())
environment = os.environ | {
    "AZURE_BATCH_ACCOUNT": ACCOUNT,
    "AZURE_BATCH_ACCESS_KEY": KEY,
    "AZURE_BATCH_ENDPOINT": ENDPOINT,
    "AZURE_CONFIG_DIR": str(folder),
    "AZURE_CORE_COLLECT_TELEMETRY": "no",
    "AZURE_CORE_NO_COLOR": "yes",
}


def az(*words, body=None):
    if body is not None:
        file = folder / "body.json"
        file.write_text(json.dumps(body))
        words += ("--json-file", str(file))
    done = subprocess.run([*AZ, *words, "--output", "json"], env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
        raise RuntimeError(" ".join(lines)[-160:])
    return json.loads(done.stdout) if done.stdout.strip() else True


machine = {
    "imageReference": {"publisher": "canonical", "offer": "0001-com-ubuntu-server-jammy", "sku": "22_04-lts"},
    "nodeAgentSKUId": "batch.node.ubuntu 22.04",
}
pool = {"id": "caz", "vmSize": "standard_d2s_v3", "targetDedicatedNodes": 1, "virtualMachineConfiguration": machine}
check("create pool", lambda: az("pool", "create", body=pool))
check("get pool", lambda: expect(az("pool", "show", "--pool-id", "caz")["vmSize"] == "standard_d2s_v3"))
check("list pools", lambda: expect([each["id"] for each in az("pool", "list")].count("caz") == 1))
check(
    "nodes become idle", lambda: until(lambda: [n["state"] for n in az("node", "list", "--pool-id", "caz")] == ["idle"])
)
check("patch pool", lambda: az("pool", "set", "--pool-id", "caz", "--metadata", "a=b"))
check("replace pool properties", lambda: az("pool", "reset", "--pool-id", "caz", "--metadata", "c=d"))
check("node counts", lambda: expect(az("pool", "node-counts", "list")))
check("supported images", lambda: expect(az("pool", "supported-images", "list")))
check("create job", lambda: az("job", "create", "--id", "caz", "--pool-id", "caz"))
check("patch job", lambda: az("job", "set", "--job-id", "caz", "--priority", "5"))
check("replace job", lambda: az("job", "reset", "--job-id", "caz", "--pool-id", "caz", "--priority", "6"))
check(
    "create task",
    lambda: az("task", "create", "--job-id", "caz", "--task-id", "one", "--command-line", "/bin/echo hello"),
)
many = [{"id": f"t{n:03}", "commandLine": "/bin/true"} for n in range(150)]
check("create task collection", lambda: expect(len(az("task", "create", "--job-id", "caz", body=many)) == 150))
check(
    "tasks complete",
    lambda: until(lambda: az("task", "show", "--job-id", "caz", "--task-id", "one")["state"] == "completed"),
)
check("list tasks", lambda: expect(len(az("task", "list", "--job-id", "caz")) == 151))
check(
    "filter tasks",
    lambda: expect(az("task", "list", "--job-id", "caz", "--filter", "state eq 'completed'", "--select", "id")),
)
target = folder / "out.txt"
words = ("--job-id", "caz", "--task-id", "one", "--file-path", "stdout.txt", "--destination", str(target))
check("read file", lambda: az("task", "file", "download", *words) and expect(target.read_text() == "hello\n"))
check("list files", lambda: expect(az("task", "file", "list", "--job-id", "caz", "--task-id", "one", "--recursive")))
check("task counts", lambda: az("job", "task-counts", "show", "--job-id", "caz"))
check("disable job", lambda: az("job", "disable", "--job-id", "caz", "--disable-tasks", "requeue"))
check(
    "enable job",
    lambda: (
        until(lambda: az("job", "show", "--job-id", "caz")["state"] == "disabled")
        and az("job", "enable", "--job-id", "caz")
    ),
)
schedule = ("--id", "saz", "--pool-id", "caz", "--recurrence-interval", "PT1H")
check("create job schedule", lambda: az("job-schedule", "create", *schedule))
check("list job schedules", lambda: expect([each["id"] for each in az("job-schedule", "list")].count("saz") == 1))
check("delete job schedule", lambda: az("job-schedule", "delete", "--job-schedule-id", "saz", "--yes"))
node = az("node", "list", "--pool-id", "caz")[0]["id"]
check(
    "create node user",
    lambda: az("node", "user", "create", "--pool-id", "caz", "--node-id", node, "--name", "u", "--password", "p"),
)
check(
    "remote login settings", lambda: az("node", "remote-login-settings", "show", "--pool-id", "caz", "--node-id", node)
)
check("reboot node", lambda: az("node", "reboot", "--pool-id", "caz", "--node-id", node))
check("resize pool", lambda: az("pool", "resize", "--pool-id", "caz", "--target-dedicated-nodes", "0"))


def missing():
    try:
        az("job", "show", "--job-id", "nothing")
    except RuntimeError as error:
        return expect("does not exist" in str(error))


check("an error is read", missing)
check("delete job", lambda: az("job", "delete", "--job-id", "caz", "--yes"))
check("delete pool", lambda: az("pool", "delete", "--pool-id", "caz", "--yes"))
