# syntax=docker/dockerfile:1
# Two stages: the first has what builds the environment, the second only what runs it.

FROM python:3.13.9-slim-bookworm AS build
WORKDIR /build
COPY requirements.lock ./
# Without pip inside: what runs has no need to install anything.
RUN python -m venv --without-pip /opt/manicule \
    && pip --python /opt/manicule/bin/python install --no-cache-dir --require-hashes \
        -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY protocol protocol
COPY prompts prompts
COPY server server
COPY manicule manicule
RUN pip --python /opt/manicule/bin/python install --no-cache-dir --no-deps .

FROM python:3.13.9-slim-bookworm
RUN groupadd --gid 10001 manicule \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data manicule \
    && install -d -o manicule -g manicule -m 0700 /data
COPY --from=build /opt/manicule /opt/manicule
ENV PATH=/opt/manicule/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    MANICULE_HOST=0.0.0.0 \
    MANICULE_PORT=8080 \
    MANICULE_DATA_DIR=/data \
    MANICULE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(f\"http://127.0.0.1:{os.environ['MANICULE_PORT']}/health\", timeout=2)"]
ENTRYPOINT ["manicule"]
CMD ["serve"]
