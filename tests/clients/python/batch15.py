"""azure-batch 15.1, api-version 2025-06-01."""

import datetime

from azure.batch import BatchClient, models
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceNotFoundError
from check import ACCOUNT, ENDPOINT, KEY, check, expect, until

client = BatchClient(ENDPOINT, AzureNamedKeyCredential(ACCOUNT, KEY))
machine = models.VirtualMachineConfiguration(
    image_reference=models.BatchVmImageReference(
        publisher="canonical", offer="0001-com-ubuntu-server-jammy", sku="22_04-lts"
    ),
    node_agent_sku_id="batch.node.ubuntu 22.04",
)
policy = models.BatchTaskSchedulingPolicy(node_fill_type="pack", job_default_order="creationtime")
pool = models.BatchPoolCreateOptions(
    id="c15",
    vm_size="standard_d2s_v3",
    target_dedicated_nodes=1,
    virtual_machine_configuration=machine,
    task_scheduling_policy=policy,
)
check("create pool", lambda: client.create_pool(pool))
check("get pool", lambda: expect(client.get_pool("c15").task_scheduling_policy.job_default_order == "creationtime"))
check("pool exists", lambda: expect(client.pool_exists("c15")))
check("list pools", lambda: expect("c15" in [each.id for each in client.list_pools()]))
check("nodes become idle", lambda: until(lambda: [n.state for n in client.list_nodes("c15")] == ["idle"]))
check(
    "patch pool",
    lambda: client.update_pool(
        "c15", models.BatchPoolUpdateOptions(metadata=[models.BatchMetadataItem(name="a", value="b")])
    ),
)
update = models.BatchPoolReplaceOptions(application_package_references=[], metadata=[])
check("replace pool properties", lambda: client.replace_pool_properties("c15", update))
check("node counts", lambda: expect(list(client.list_pool_node_counts())))
check("supported images", lambda: expect(list(client.list_supported_images())))
info = models.BatchPoolInfo(pool_id="c15")
check("create job", lambda: client.create_job(models.BatchJobCreateOptions(id="c15", pool_info=info)))
check("patch job", lambda: client.update_job("c15", models.BatchJobUpdateOptions(priority=5)))
check("replace job", lambda: client.replace_job("c15", client.get_job("c15")))
check(
    "create task",
    lambda: client.create_task("c15", models.BatchTaskCreateOptions(id="one", command_line="/bin/echo hello")),
)
many = [models.BatchTaskCreateOptions(id=f"t{n:03}", command_line="/bin/true") for n in range(150)]
check("create task collection", lambda: client.create_tasks("c15", task_collection=many))
check("tasks complete", lambda: until(lambda: client.get_task("c15", "one").state == "completed"))
check("list tasks", lambda: expect(len(list(client.list_tasks("c15", max_results=50))) == 151))
check("filter tasks", lambda: expect(list(client.list_tasks("c15", filter="state eq 'completed'", select=["id"]))))
check("read file", lambda: expect(b"".join(client.download_task_file("c15", "one", "stdout.txt")) == b"hello\n"))
check("list files", lambda: expect(list(client.list_task_files("c15", "one", recursive=True))))
check("task counts", lambda: client.get_job_task_counts("c15"))

disabling = models.BatchJobDisableOptions(disable_tasks="requeue")
check("disable job", lambda: client.begin_disable_job("c15", disabling, polling_interval=0.1).wait())
check("enable job", lambda: client.begin_enable_job("c15", polling_interval=0.1).wait())
schedule = models.BatchJobScheduleCreateOptions(
    id="s15",
    schedule=models.BatchJobScheduleConfiguration(recurrence_interval=datetime.timedelta(hours=1)),
    job_specification=models.BatchJobSpecification(pool_info=info),
)
check("create job schedule", lambda: client.create_job_schedule(schedule))
check("list job schedules", lambda: expect([each.id for each in client.list_job_schedules()] == ["s15"]))
check("delete job schedule", lambda: client.begin_delete_job_schedule("s15").result())
node = next(iter(client.list_nodes("c15"))).id
check(
    "create node user",
    lambda: client.create_node_user("c15", node, models.BatchNodeUserCreateOptions(name="u", password="p")),
)
check("remote login settings", lambda: client.get_node_remote_login_settings("c15", node))
# Without options the client itself fails (no content type for no body), and its model for them is not exported.
reboot = {"nodeRebootOption": "requeue"}
check("reboot node", lambda: client.begin_reboot_node("c15", node, reboot, polling_interval=0.1).wait())
smaller = models.BatchPoolResizeOptions(target_dedicated_nodes=0)
check("resize pool", lambda: client.begin_resize_pool("c15", smaller, polling_interval=0.1).wait())


def missing():
    try:
        client.get_job("nothing")
    except ResourceNotFoundError as error:
        return expect(error.error.code == "JobNotFound")


check("an error is read", missing)
check("delete job", lambda: client.begin_delete_job("c15", polling_interval=0.1).wait())
check("delete pool", lambda: client.begin_delete_pool("c15", polling_interval=0.1).wait())
