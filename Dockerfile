# One image for worker, beat, Flower, web service and command line; compose.yaml has the commands.
FROM python:3.13-slim-trixie AS build
WORKDIR /source
COPY . .
# A venv is one folder to copy. It gets the wheel that pip builds: no sources, no dev tools.
RUN python -m venv /opt/reactions && /opt/reactions/bin/pip install --no-cache-dir ".[flower,metrics,web]"

FROM python:3.13-slim-trixie
# USER is a number, so that an orchestrator sees that it is not root.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reactions
COPY --from=build /opt/reactions /opt/reactions
ENV PATH=/opt/reactions/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
# The folder is not writable: beat's schedule is in the broker, and logs go to standard output.
WORKDIR /opt/reactions
CMD ["reactions", "--help"]
