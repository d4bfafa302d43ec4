// com.microsoft.azure:azure-batch 11.2.0, api-version 2024-07-01.20.0.

import com.microsoft.azure.batch.BatchClient;
import com.microsoft.azure.batch.DetailLevel;
import com.microsoft.azure.batch.auth.BatchSharedKeyCredentials;
import com.microsoft.azure.batch.interceptor.BatchClientParallelOptions;
import com.microsoft.azure.batch.protocol.models.*;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import org.joda.time.Period;

public class Clients {
    static void check(String name, Callable<Object> call) {
        String verdict = "ok";
        try {
            if (Boolean.FALSE.equals(call.call())) {
                verdict = "not as expected";
            }
        } catch (Throwable error) {
            verdict = (error.getClass().getSimpleName() + ": " + error.getMessage()).replaceAll("\\s+", " ");
            verdict = verdict.substring(0, Math.min(120, verdict.length()));
        }
        System.out.println(name + "\t" + verdict);
    }

    static boolean until(Callable<Boolean> condition) throws Exception {
        for (int attempt = 0; attempt < 600; attempt++) {
            if (condition.call()) {
                return true;
            }
            Thread.sleep(100);
        }
        return false;
    }

    static Object done() {
        return true;
    }

    public static void main(String[] arguments) throws Exception {
        BatchClient client = BatchClient.open(new BatchSharedKeyCredentials(arguments[0], arguments[1], arguments[2]));
        String id = "cjava";
        VirtualMachineConfiguration machine = new VirtualMachineConfiguration()
            .withImageReference(new ImageReference().withPublisher("canonical").withOffer("0001-com-ubuntu-server-jammy").withSku("22_04-lts"))
            .withNodeAgentSKUId("batch.node.ubuntu 22.04");
        PoolInformation info = new PoolInformation().withPoolId(id);
        check("create pool", () -> { client.poolOperations().createPool(id, "standard_d2s_v3", machine, 1); return done(); });
        check("get pool", () -> client.poolOperations().getPool(id).vmSize().equals("standard_d2s_v3"));
        check("pool exists", () -> client.poolOperations().existsPool(id));
        check("list pools", () -> client.poolOperations().listPools().stream().anyMatch(each -> each.id().equals(id)));
        check("nodes become idle", () -> until(() -> {
            List<ComputeNode> nodes = client.computeNodeOperations().listComputeNodes(id);
            return nodes.size() == 1 && nodes.get(0).state() == ComputeNodeState.IDLE;
        }));
        check("patch pool", () -> {
            client.poolOperations().patchPool(id, new PoolPatchParameter().withMetadata(List.of(new MetadataItem().withName("a").withValue("b"))));
            return done();
        });
        check("node counts", () -> !client.accountOperations().listPoolNodeCounts().isEmpty());
        check("supported images", () -> !client.accountOperations().listSupportedImages().isEmpty());
        check("create job", () -> { client.jobOperations().createJob(id, info); return done(); });
        check("patch job", () -> { client.jobOperations().patchJob(id, new JobPatchParameter().withPriority(5)); return done(); });
        check("create task", () -> { client.taskOperations().createTask(id, new TaskAddParameter().withId("one").withCommandLine("/bin/echo hello")); return done(); });
        List<TaskAddParameter> many = new ArrayList<>();
        for (int number = 0; number < 150; number++) {
            many.add(new TaskAddParameter().withId(String.format("t%03d", number)).withCommandLine("/bin/true"));
        }
        // As many threads as chunks of 100. With fewer, createTasks may wait forever, whatever the service does: a worker notifies the
        // caller just before it ends, a caller that is faster does not find it TERMINATED, waits again, and nobody is left to notify it.
        check("create task collection", () -> {
            client.taskOperations().createTasks(id, many, List.of(new BatchClientParallelOptions(2)));
            return done();
        });
        check("tasks complete", () -> until(() -> client.taskOperations().getTask(id, "one").state() == TaskState.COMPLETED));
        check("list tasks", () -> client.taskOperations().listTasks(id).size() == 151);
        check("filter tasks", () -> !client.taskOperations()
            .listTasks(id, new DetailLevel.Builder().withFilterClause("state eq 'completed'").withSelectClause("id").build()).isEmpty());
        check("read file", () -> {
            ByteArrayOutputStream content = new ByteArrayOutputStream();
            client.fileOperations().getFileFromTask(id, "one", "stdout.txt", content);
            return content.toString().equals("hello\n");
        });
        check("list files", () -> !client.fileOperations().listFilesFromTask(id, "one").isEmpty());
        check("task counts", () -> client.jobOperations().getTaskCounts(id) != null);
        check("disable job", () -> { client.jobOperations().disableJob(id, DisableJobOption.REQUEUE); return done(); });
        check("enable job", () -> {
            until(() -> client.jobOperations().getJob(id).state() == JobState.DISABLED);
            client.jobOperations().enableJob(id);
            return done();
        });
        check("create job schedule", () -> {
            client.jobScheduleOperations().createJobSchedule("sjava", new Schedule().withRecurrenceInterval(Period.hours(1)), new JobSpecification().withPoolInfo(info));
            return done();
        });
        check("list job schedules", () -> client.jobScheduleOperations().listJobSchedules().stream().anyMatch(each -> each.id().equals("sjava")));
        check("delete job schedule", () -> { client.jobScheduleOperations().deleteJobSchedule("sjava"); return done(); });
        String node = client.computeNodeOperations().listComputeNodes(id).get(0).id();
        check("create node user", () -> {
            client.computeNodeOperations().addComputeNodeUser(id, node, new ComputeNodeUser().withName("u").withPassword("p"));
            return done();
        });
        check("remote login settings", () -> client.computeNodeOperations().getComputeNodeRemoteLoginSettings(id, node) != null);
        check("reboot node", () -> { client.computeNodeOperations().rebootComputeNode(id, node, ComputeNodeRebootOption.REQUEUE); return done(); });
        check("resize pool", () -> { client.poolOperations().resizePool(id, 0, 0); return done(); });
        check("an error is read", () -> {
            try {
                client.jobOperations().getJob("nothing");
                return false;
            } catch (BatchErrorException error) {
                return error.body().code().equals("JobNotFound");
            }
        });
        check("delete job", () -> { client.jobOperations().deleteJob(id); return done(); });
        check("delete pool", () -> { client.poolOperations().deletePool(id); return done(); });
        System.exit(0);
    }
}
