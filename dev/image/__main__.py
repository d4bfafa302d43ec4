"""`make image`: build the operator's and the emulator's image, and run each once."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import click

from image.builders import Builder, ImageError, find
from image.check import check, check_emulator
from localcluster.errors import LocalClusterError
from stage import REPOSITORY

_REGISTRY = "registry.example"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(REPOSITORY), *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _arguments(base: str | None) -> dict[str, str]:
    """Build arguments; the time is that of the commit, so that the same commit makes the same labels."""
    seconds = _git("show", "-s", "--format=%ct", "HEAD")
    created = datetime.fromtimestamp(int(seconds or 0), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = metadata.version("azure-batch-operator")
    made = {"VERSION": version, "REVISION": _git("rev-parse", "HEAD") or "unknown", "CREATED": created}
    return made | ({"BASE": base} if base else {})


def is_pinned(base: str) -> bool:
    """Whether a reference names an image by its digest, so that it is the same one tomorrow."""
    return re.fullmatch(r"[^@\s]+@sha256:[0-9a-f]{64}", base) is not None


def _build(builder: Builder, base: str | None, prefix: str) -> tuple[str, str]:
    """Build both; their tags, the emulator's first."""
    if base is None:
        base = builder.base()
    if base is None or not is_pinned(base):
        what = "BASE is not given: the Dockerfile's own is used" if base is None else f"The base is {base}"
        print(f"{what}, not pinned by a digest: good for trying out, not for a release", flush=True)
    arguments = _arguments(base)
    emulator, operator = (f"{prefix}azure-batch-{target}:{arguments['VERSION']}" for target in ("emulator", "operator"))
    for target, tag in (("emulator", emulator), ("operator", operator)):
        print(f"Building {tag} …", flush=True)
        builder.build(REPOSITORY, tag, target, arguments)
    return emulator, operator


def push_hint(builder: Builder, tags: Sequence[str]) -> str:
    """With what the images were built, and how they get into a registry: each tool has a storage of its own."""
    lines = [f"Built with {Path(builder.program).name}. To push the images, with your registry instead of {_REGISTRY}:"]
    for tag in tags:
        target = f"{_REGISTRY}/{tag.rpartition('/')[2]}"
        lines += [f"  {shlex.join(command)}" for command in builder.pushing(tag, target)]
    return "\n".join(lines)


@click.command(help=__doc__)
@click.option("--base", help="Base image with its digest.")
@click.option("--prefix", default="localhost/", show_default=True, help="What stands before the images' names.")
@click.option("--release", is_flag=True, help="Refuse a base that is not given with its digest.")
@click.option("--only-if-possible", is_flag=True, help="Without a builder say so, and succeed.")
def main(base: str | None, prefix: str, release: bool, only_if_possible: bool) -> None:
    """Build and check."""
    if release and not is_pinned(base or ""):
        sys.exit(
            "image: a release is built on a base with its digest: BASE=python:3.13-slim-trixie@sha256:…; see docs/release.md"
        )
    builder = find()
    if builder is None:
        words = "no docker or podman that works, and no buildah that may use chroot: no image is built"
        sys.exit(words if not only_if_possible else print(words))
    try:
        emulator, tag = _build(builder, base or None, prefix)
        check_emulator(builder, emulator)
        check(builder, tag)
    except (ImageError, LocalClusterError, TimeoutError) as error:
        sys.exit(f"image: {error}")
    finally:
        builder.close()
    print(f"{emulator} and {tag} work")
    print(push_hint(builder, (tag, emulator)))


if __name__ == "__main__":
    main()
