# One image for Home Assistant's Supervisor, Docker and Podman. Everything is installed from wheels: no compiler, on any architecture.
ARG BUILD_FROM=docker.io/library/python:3.13-slim-trixie

# What CheapRouter stands on. A layer of its own: it changes rarely, so that an update of the app downloads little.
# uvloop stays out: it would be 2 of 13 MB and 2 MB of memory, and no gain was measurable beside the router's own work.
FROM ${BUILD_FROM} AS dependencies
WORKDIR /build
COPY locks/run.txt locks/build.txt addon/requirements.py addon/sbom.py ./
# Every file is the one that was locked, or nothing is installed.
RUN python -m venv --without-pip /opt/venv \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --only-binary=:all: --no-deps \
      --require-hashes --requirement run.txt \
 && python requirements.py --finish /opt/venv

# CheapRouter itself.
FROM dependencies AS package
ARG BUILD_VERSION=dev
COPY pyproject.toml LICENSE README*.md ./
COPY cheaprouter cheaprouter
COPY translations translations
# setuptools goes into this stage's environment, which is not the one that is shipped.
RUN touch README.md \
 && python sbom.py /opt/venv run.txt "${BUILD_VERSION}" > /opt/sbom.cdx.json \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --only-binary=:all: --no-deps \
      --require-hashes --requirement build.txt \
 && python -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --no-build-isolation \
      --target /opt/cheaprouter . \
 && python requirements.py --finish /opt/cheaprouter

FROM ${BUILD_FROM}
ARG BUILD_VERSION=dev
ARG BUILD_ARCH=amd64

# The account that serves. Its number is fixed: volumes outlive images.
RUN groupadd --gid 1000 cheaprouter \
 && useradd --uid 1000 --gid 1000 --no-create-home --home-dir /data --shell /usr/sbin/nologin cheaprouter \
 && install -d -o cheaprouter -g cheaprouter /data

COPY --from=dependencies /opt/venv /opt/venv
COPY --from=package /opt/cheaprouter /opt/cheaprouter
COPY --from=package /opt/sbom.cdx.json /opt/sbom.cdx.json
COPY addon/start.sh addon/healthcheck.py /opt/addon/

# PYTHONDONTWRITEBYTECODE: everything is compiled already, and the file system may be read-only.
# MALLOC_ARENA_MAX: the few threads share one heap; one of its own for each would be half a megabyte.
ENV PATH=/opt/venv/bin:/opt/cheaprouter/bin:$PATH \
    MALLOC_ARENA_MAX=1 \
    PYTHONPATH=/opt/cheaprouter \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1

LABEL io.hass.type="app" \
      io.hass.name="CheapRouter" \
      io.hass.version="${BUILD_VERSION}" \
      io.hass.arch="${BUILD_ARCH}" \
      org.opencontainers.image.title="CheapRouter" \
      org.opencontainers.image.description="One OpenAI-compatible endpoint for a home" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${BUILD_VERSION}"

WORKDIR /data
VOLUME ["/data"]
EXPOSE 4000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=10s --start-period=30s --retries=3 CMD ["python", "-I", "-S", "/opt/addon/healthcheck.py"]

ENTRYPOINT ["/bin/sh", "/opt/addon/start.sh"]
CMD ["python", "-m", "cheaprouter", "serve", "--data", "/data"]
