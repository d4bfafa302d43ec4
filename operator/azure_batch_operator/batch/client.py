"""The client for one Batch account."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import Self, Unpack

from azure_batch_operator.batch.auth import Credential
from azure_batch_operator.batch.caller import Caller, JsonBody
from azure_batch_operator.batch.endpoints import HostPolicy
from azure_batch_operator.batch.groups.account import Account, Applications, Certificates
from azure_batch_operator.batch.groups.files import NodeFiles, TaskFiles
from azure_batch_operator.batch.groups.jobs import Jobs
from azure_batch_operator.batch.groups.nodes import Nodes, NodeUsers
from azure_batch_operator.batch.groups.pools import Pools
from azure_batch_operator.batch.groups.schedules import JobSchedules
from azure_batch_operator.batch.groups.tasks import Tasks
from azure_batch_operator.batch.limiter import Limiter
from azure_batch_operator.batch.requests import CallOptions, Priority
from azure_batch_operator.batch.responses import TaskAddResult
from azure_batch_operator.batch.retry import RetryPolicy
from azure_batch_operator.batch.submission import Compare, Submission
from azure_batch_operator.batch.transport import Call, Transport

MAX_RESPONSE_BYTES = 32 << 20


class BatchClient:
    """All 77 operations of one Batch account, in groups: `client.pools.create(…)`.

    Use it in one event loop; any number of tasks can share it. It owns its connections and its credential, but not its
    limiter: clients of the same account should share one.
    """

    def __init__(
        self,
        endpoint: str,
        credential: Credential,
        *,
        limiter: Limiter | None = None,
        retry: RetryPolicy = RetryPolicy(),  # noqa: B008 (frozen)
        hosts: HostPolicy = HostPolicy(),  # noqa: B008 (frozen)
        observe: Callable[[Call], None] | None = None,
        tls: ssl.SSLContext | None = None,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
        permit: Callable[[], None] | None = None,
    ) -> None:
        """Create a client; it sends nothing before the first call.

        Args:
            endpoint: such as `https://myaccount.westeurope.batch.azure.com`.
            credential: closed together with the client.
            limiter: shared by all clients of the account; by default, the client has its own.
            retry: how often and how long failed calls are repeated.
            hosts: hosts that credentials may be sent to.
            observe: called with each attempt after its end; must not raise.
            tls: settings of TLS, such as the certificate authorities to trust; by default, those of the system.
            max_response_bytes: maximum size of a response, except for files.
            permit: called immediately before each attempt is sent.

        Raises:
            EndpointRefusedError: credentials may not be sent to the endpoint.
        """
        self.limiter = limiter if limiter is not None else Limiter()
        self._transport = Transport(
            hosts.check(endpoint),
            credential,
            limiter=self.limiter,
            retry=retry,
            observe=observe,
            tls=tls,
            max_response_bytes=max_response_bytes,
            permit=permit,
        )
        self._caller = caller = Caller(self._transport)
        self._retry = retry
        self.account = Account(caller)
        self.applications = Applications(caller)
        self.certificates = Certificates(caller)
        self.pools = Pools(caller)
        self.nodes = Nodes(caller)
        self.node_users = NodeUsers(caller)
        self.node_files = NodeFiles(caller)
        self.jobs = Jobs(caller)
        self.tasks = Tasks(caller)
        self.task_files = TaskFiles(caller)
        self.job_schedules = JobSchedules(caller)

    def add_tasks(
        self,
        job_id: str,
        tasks: Iterable[JsonBody] | AsyncIterable[JsonBody],
        *,
        concurrency: int = 8,
        compare: Compare | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncGenerator[TaskAddResult, None]:
        """Add any number of tasks to a job, in constant memory; yields one result per task, in any order.

        Args:
            job_id: the job.
            tasks: tasks to add; read as needed.
            concurrency: maximum number of concurrent calls.
            compare: called with a task that exists already; returns whether the existing one is the same.
                Without it, the results of such tasks contain an AlreadyExistsError.
            options: of each call; the default priority is `SUBMIT`.

        Raises:
            BatchError: a call failed as a whole, or a task cannot be sent (UsageError). Calls in progress are cancelled;
                added tasks stay.
        """
        merged: CallOptions = {"priority": Priority.SUBMIT, **options}
        submission = Submission(
            self._caller,
            job_id,
            tasks,
            retry=self._retry,
            concurrency=concurrency,
            compare=compare,
            options=merged,
        )
        return submission.results()

    @property
    def endpoint(self) -> str:
        """Scheme, host and port of the account."""
        return str(self._transport.origin)

    def __repr__(self) -> str:
        return f"BatchClient({self.endpoint!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def use(self, credential: Credential) -> None:
        """Replace the credential, for example after a rotation. Calls in progress continue."""
        await self._transport.use(credential).aclose()

    async def aclose(self) -> None:
        """Close the connections and the credential."""
        await self._transport.aclose()
