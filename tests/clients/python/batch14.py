"""azure-batch 14.x, api-version 2024-02-01.19.0."""

import datetime

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials
from check import ACCOUNT, ENDPOINT, KEY, check, expect, until

client = BatchServiceClient(SharedKeyCredentials(ACCOUNT, KEY), ENDPOINT)
machine = models.VirtualMachineConfiguration(
    image_reference=models.ImageReference(publisher="canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts"),
    node_agent_sku_id="batch.node.ubuntu 22.04",
)
pool = models.PoolAddParameter(
    id="c14", vm_size="standard_d2s_v3", target_dedicated_nodes=1, virtual_machine_configuration=machine
)
check("create pool", lambda: client.pool.add(pool))
check("get pool", lambda: expect(client.pool.get("c14").vm_size == "standard_d2s_v3"))
check("pool exists", lambda: expect(client.pool.exists("c14")))
check("list pools", lambda: expect("c14" in [each.id for each in client.pool.list()]))
check("nodes become idle", lambda: until(lambda: [n.state for n in client.compute_node.list("c14")] == ["idle"]))
check(
    "patch pool",
    lambda: client.pool.patch("c14", models.PoolPatchParameter(metadata=[models.MetadataItem(name="a", value="b")])),
)
update = models.PoolUpdatePropertiesParameter(certificate_references=[], application_package_references=[], metadata=[])
check("replace pool properties", lambda: client.pool.update_properties("c14", update))
check("node counts", lambda: expect(list(client.account.list_pool_node_counts())))
check("supported images", lambda: expect(list(client.account.list_supported_images())))
job = models.JobAddParameter(id="c14", pool_info=models.PoolInformation(pool_id="c14"))
check("create job", lambda: client.job.add(job))
check("patch job", lambda: client.job.patch("c14", models.JobPatchParameter(priority=5)))
check("replace job", lambda: client.job.update("c14", models.JobUpdateParameter(pool_info=job.pool_info, priority=6)))
check("create task", lambda: client.task.add("c14", models.TaskAddParameter(id="one", command_line="/bin/echo hello")))
many = [models.TaskAddParameter(id=f"t{n:03}", command_line="/bin/true") for n in range(150)]
check("create task collection", lambda: expect(len(client.task.add_collection("c14", many).value) == 150))
check("tasks complete", lambda: until(lambda: client.task.get("c14", "one").state == "completed"))
check("list tasks", lambda: expect(len(list(client.task.list("c14", models.TaskListOptions(max_results=50)))) == 151))
check(
    "filter tasks",
    lambda: expect(list(client.task.list("c14", models.TaskListOptions(filter="state eq 'completed'", select="id")))),
)
check("read file", lambda: expect(b"".join(client.file.get_from_task("c14", "one", "stdout.txt")) == b"hello\n"))
check("list files", lambda: expect(list(client.file.list_from_task("c14", "one", recursive=True))))
check("task counts", lambda: client.job.get_task_counts("c14"))
check("disable job", lambda: client.job.disable("c14", "requeue"))
check("enable job", lambda: until(lambda: client.job.get("c14").state == "disabled") and client.job.enable("c14"))
schedule = models.JobScheduleAddParameter(
    id="s14",
    schedule=models.Schedule(recurrence_interval=datetime.timedelta(hours=1)),
    job_specification=models.JobSpecification(pool_info=job.pool_info),
)
check("create job schedule", lambda: client.job_schedule.add(schedule))
check("list job schedules", lambda: expect([each.id for each in client.job_schedule.list()] == ["s14"]))
check("delete job schedule", lambda: client.job_schedule.delete("s14"))
node = next(iter(client.compute_node.list("c14"))).id
check(
    "create node user",
    lambda: client.compute_node.add_user("c14", node, models.ComputeNodeUser(name="u", password="p")),
)
check("remote login settings", lambda: client.compute_node.get_remote_login_settings("c14", node))
check("reboot node", lambda: client.compute_node.reboot("c14", node))
check("resize pool", lambda: client.pool.resize("c14", models.PoolResizeParameter(target_dedicated_nodes=0)))


def missing():
    try:
        client.job.get("nothing")
    except models.BatchErrorException as error:
        return expect(error.error.code == "JobNotFound")


check("an error is read", missing)
check("delete job", lambda: client.job.delete("c14"))
check("delete pool", lambda: client.pool.delete("c14"))
