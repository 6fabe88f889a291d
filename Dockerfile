# syntax=docker/dockerfile:1
# Two images: `broker`, and `sotto` for nodes and the coordinator.  docker-compose.yml builds both.
#
# Any user id may run them (compose takes that of whoever owns ./secrets), so a directory for data is
# writable for all: a new named volume takes over its mode, and in a container there is one user only.

FROM eclipse-mosquitto:2.0.22 AS broker
# Kept although the base image declares it a volume: that takes BuildKit, the default since Docker 23.
RUN install -d -m 1777 /mosquitto/data
USER mosquitto


FROM python:3.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/sotto
# First what changes rarely: the layer is built again only when a pin changes.
COPY requirements.txt /src/
RUN pip --python /opt/sotto/bin/python install --require-hashes --only-binary :all: -r /src/requirements.txt
COPY . /src
RUN pip --python /opt/sotto/bin/python install --no-deps /src


FROM python:3.13-slim-bookworm AS sotto
LABEL org.opencontainers.image.title="Sotto" \
      org.opencontainers.image.description="Compute an agreed answer over data that nobody shows to anybody" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN install -d -m 1777 /var/lib/sotto
COPY --from=build /opt/sotto /opt/sotto
ENV PATH=/opt/sotto/bin:$PATH
USER 1000:1000
STOPSIGNAL SIGTERM
CMD ["party-node", "--help"]
