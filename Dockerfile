# Two images: the operator (the last target, so the default) and the emulator (--target emulator).
#
# BASE is what both are built and run on: a Debian with Python 3.11 or newer, its venv module and certificate authorities. The tag is
# for trying out: it is another image next month. Give BASE with its digest, as `make image RELEASE=1` insists on:
# --build-arg BASE=python:3.13-slim-trixie@sha256:…   The image's label org.opencontainers.image.base.name says what it was.
ARG BASE=python:3.13-slim-trixie

# Libraries are installed by their hashes; nothing of this stage but /opt/* gets into an image.
FROM ${BASE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY requirements ./requirements
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --quiet --require-hashes -r requirements/build.txt
RUN python3 -m venv --without-pip /opt/operator \
 && /opt/tools/bin/pip --python /opt/operator/bin/python install --quiet --require-hashes -r requirements/operator.txt
# The emulator gets libraries of its own choice, not the operator's: see the group emulator-image in pyproject.toml.
RUN python3 -m venv --without-pip /opt/emulator \
 && /opt/tools/bin/pip --python /opt/emulator/bin/python install --quiet --require-hashes -r requirements/emulator.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator ./operator
COPY emulator ./emulator
COPY kubectl ./kubectl
# One wheel holds all programs; each image keeps its own. Byte code is made here, because the root of the images is read-only.
RUN /opt/tools/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
 && for each in operator emulator; do \
      /opt/tools/bin/pip --python /opt/$each/bin/python install --quiet --no-deps --no-index /wheels/*.whl; \
    done \
 && rm -r /opt/operator/lib/python3*/site-packages/azure_batch_emulator /opt/operator/bin/azure-batch-emulator \
          /opt/emulator/lib/python3*/site-packages/azure_batch_operator /opt/emulator/bin/azure-batch-operator \
          /opt/*/lib/python3*/site-packages/azure_batch_kubectl /opt/*/bin/kubectl*-azure_batch \
 && for each in operator emulator; do /opt/$each/bin/python -m compileall -q -j 0 /opt/$each/lib; done

# The base without what installs software, flattened, so that no layer holds it.
FROM ${BASE} AS pruned
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
           /usr/local/lib/python3*/site-packages/setuptools* /usr/lib/python3*/ensurepip /usr/share/python-wheels \
           /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/setuptools* \
           /usr/bin/apt* /usr/lib/apt /var/lib/apt /var/cache/apt /usr/share/doc /usr/share/man /usr/share/locale \
           /var/log/* /root/.cache

FROM scratch AS base
COPY --from=pruned / /
ARG BASE
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      org.opencontainers.image.created=${CREATED} \
      org.opencontainers.image.base.name=${BASE} \
      org.opencontainers.image.licenses=MIT \
      org.opencontainers.image.vendor="azure-batch-operator authors"
# The user has no entry in /etc/passwd, and not every runtime gives such a one a home.
ENV HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
WORKDIR /
USER 65532:65532

FROM base AS emulator
LABEL org.opencontainers.image.title=azure-batch-emulator \
      org.opencontainers.image.description="Emulator of the Azure Batch data plane"
COPY --from=build /opt/emulator /opt/emulator
EXPOSE 10100
ENTRYPOINT ["/opt/emulator/bin/azure-batch-emulator"]

FROM base AS operator
LABEL org.opencontainers.image.title=azure-batch-operator \
      org.opencontainers.image.description="Kubernetes operator for the Azure Batch data plane"
COPY --from=build /opt/operator /opt/operator
EXPOSE 8080
ENTRYPOINT ["/opt/operator/bin/azure-batch-operator"]
CMD ["run"]
