# One image for every stage; the command says which: leadstream produce | process | sink | migrate.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY leadstream leadstream
COPY producer producer
COPY processors processors
COPY schemas schemas
COPY sink sink
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 leadstream
COPY --from=build /venv /venv
COPY --chown=root:root sources /app/sources
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
USER leadstream
ENTRYPOINT []
CMD ["leadstream", "--help"]
