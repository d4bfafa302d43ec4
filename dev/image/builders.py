"""The tools that build and run images, each by its own commands: docker, podman, or buildah alone.

With docker and podman the base is pulled. Buildah is also used where no registry can be reached: a base is then made from Debian's
packages by debootstrap, and containers run in a chroot, which needs root but neither user namespaces nor a container engine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from localcluster.goprogram import cache_folder

USER = "65532:65532"
_LOCAL_BASE = "localhost/azure-batch-base:bookworm"
_SUITE = "bookworm"
_WRITABLE = "/tmp"  # noqa: S108 - where the chart mounts an emptyDir
_PACKAGES = "python3,python3-venv,ca-certificates"


class ImageError(Exception):
    """What is missing or went wrong, for people."""


def _run(command: Sequence[str], **environment: str) -> str:
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    if done.returncode:
        raise ImageError(f"`{' '.join(command[:3])} …` failed with exit code {done.returncode}")
    return done.stdout.strip()


@dataclass(frozen=True)
class Engine:
    """Docker or podman: pulls, builds and runs by itself."""

    program: str

    def base(self) -> str | None:
        """The base to build on; None for the Dockerfile's own."""
        return None

    def build(self, source: Path, tag: str, target: str, arguments: Mapping[str, str]) -> None:
        """Build a target of the Dockerfile."""
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        _run([self.program, "build", "--target", target, "--tag", tag, *options, str(source)])

    def command(self, tag: str, folder: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
        """Run the image as a pod would: its user, a root that is read-only but for /tmp, no rights; `folder` at /mnt."""
        variables = [f"--env={name}={value}" for name, value in environment.items()]
        return [
            self.program, "run", "--rm", "--read-only", f"--tmpfs={_WRITABLE}", f"--user={USER}", "--cap-drop=ALL",
            "--network=host", "--security-opt=no-new-privileges", f"--volume={folder}:/mnt:ro", *variables, tag, *arguments,
        ]  # fmt: skip

    def pushing(self, tag: str, target: str) -> list[list[str]]:
        """The commands that push an image under another name."""
        return [[self.program, "tag", tag, target], [self.program, "push", target]]

    def close(self) -> None:
        """Nothing is left open."""


class Buildah:
    """Buildah with the vfs driver and chroot isolation."""

    def __init__(self) -> None:
        self._storage = cache_folder(os.environ).with_name("images")
        self._environment = {"STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}
        self._opened: list[str] = []

    @property
    def program(self) -> str:
        """What people call it."""
        return "buildah"

    def _roots(self) -> list[str]:
        return ["--root", str(self._storage / "root"), "--runroot", str(self._storage / "run")]

    def _buildah(self, *arguments: str) -> str:
        return _run(["buildah", *self._roots(), *arguments], **self._environment)

    def base(self) -> str | None:
        """A base made by debootstrap, once; None for the Dockerfile's own if debootstrap is not there."""
        if not shutil.which("debootstrap"):
            return None
        if not self._buildah("images", "--quiet", "--filter", f"reference={_LOCAL_BASE}"):
            self._make_base()
        return _LOCAL_BASE

    def _make_base(self) -> None:
        print(f"Making a base from Debian's packages ({_SUITE}): once, about a minute", flush=True)
        with tempfile.TemporaryDirectory(dir=self._ensured()) as folder:
            root, archive = Path(folder) / "root", Path(folder) / "root.tar"
            log = _run(["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root)])
            (self._storage / "debootstrap.log").write_text(log)
            left_out = [f"--exclude=./{name}/*" for name in ("dev", "proc", "sys")]
            _run(["tar", "--create", f"--file={archive}", f"--directory={root}", *left_out, "."])
            container = self._buildah("from", "scratch")
            self._buildah("add", "--quiet", container, str(archive), "/")
            self._buildah("commit", "--quiet", "--rm", container, _LOCAL_BASE)

    def _ensured(self) -> Path:
        self._storage.mkdir(parents=True, exist_ok=True)
        return self._storage

    def build(self, source: Path, tag: str, target: str, arguments: Mapping[str, str]) -> None:
        """Build a target of the Dockerfile, trusting the certificate authorities that this machine trusts."""
        options = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        certificates = "/etc/ssl/certs:/etc/ssl/certs:ro"
        self._buildah(
            "build", "--isolation=chroot", "--layers", f"--target={target}", f"--tag={tag}", f"--volume={certificates}",
            "--quiet", *options, str(source),
        )  # fmt: skip

    def command(self, tag: str, folder: Path, environment: Mapping[str, str], arguments: Sequence[str]) -> list[str]:
        """Run the image's file system, mounted read-only but for /tmp, as its user, without any right; `folder` is seen at /mnt."""
        container = self._buildah("from", "--pull-never", tag)
        self._opened.append(container)
        root = self._buildah("mount", container)
        template = "{{range .OCIv1.Config.Entrypoint}}{{.}}\n{{end}}"
        entrypoint = self._buildah("inspect", "--format", template, container).split()
        user = self._buildah("inspect", "--format", "{{.OCIv1.Config.User}}", container)
        script = (
            f"mount --bind {root} {root} && mount -o remount,bind,ro {root} && mount --bind -o ro {folder} {root}/mnt && "
            f"mount --bind /dev {root}/dev && mount -t proc proc {root}/proc && mount -t tmpfs tmpfs {root}{_WRITABLE} && "
            f"exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid "
            f'chroot --userspec={user} --groups= {root} "$@"'
        )
        variables = [f"{name}={value}" for name, value in environment.items()]
        own = self._buildah("inspect", "--format", "{{range .OCIv1.Config.Env}}{{.}}\n{{end}}", container).splitlines()
        inside = ["/usr/bin/env", "-i", "PATH=/usr/bin:/bin", *own, *variables]
        return [
            shutil.which("unshare") or "unshare",
            "--mount",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            *inside,
            *entrypoint,
            *arguments,
        ]

    def pushing(self, tag: str, target: str) -> list[list[str]]:
        """The commands that push an image under another name: from our own storage, which nothing else looks into."""
        driver = self._environment["STORAGE_DRIVER"]
        return [["buildah", *self._roots(), "--storage-driver", driver, "push", tag, f"docker://{target}"]]

    def close(self) -> None:
        """Remove the containers that `command` has made, and layers that no image has any more."""
        for container in self._opened:
            self._buildah("rm", container)
        self._opened.clear()
        self._buildah("rmi", "--prune", "--force")


Builder = Engine | Buildah


def find() -> Builder | None:
    """The first builder that works; None if there is none."""
    for program in ("docker", "podman"):
        path = shutil.which(program)
        if path and not subprocess.run([path, "info"], capture_output=True, check=False).returncode:
            return Engine(path)
    return Buildah() if shutil.which("buildah") and os.geteuid() == 0 else None
