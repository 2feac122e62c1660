# One image for every stage; the command says which: leadstream produce | process | sink | migrate.
# The base is named by version: pin it to the digest that your registry serves, `python:3.11.14-slim-bookworm@sha256:…`.
ARG BASE=python:3.11.14-slim-bookworm
FROM ${BASE} AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY leadstream leadstream
COPY producer producer
COPY processors processors
COPY schemas schemas
COPY sink sink
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM ${BASE}
RUN useradd --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --uid 10001 leadstream
COPY --from=build /venv /venv
COPY --chown=root:root sources /app/sources
# Nothing is written but to /tmp: the root file system may be read-only.
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp LEADSTREAM_HOME=/tmp/leadstream LEADSTREAM_LOG_FORMAT=json LEADSTREAM_HTTP_HOST=0.0.0.0
WORKDIR /app
USER 10001:10001
ENTRYPOINT []
CMD ["leadstream", "--help"]
