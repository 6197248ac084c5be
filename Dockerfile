# One image for worker, beat, Flower, web service and the command line; compose.yaml says which is which.
FROM python:3.13-slim-trixie AS build
WORKDIR /source
COPY . .
# A venv is one folder to copy. What goes in is the wheel that pip builds: no sources, no dev tools.
RUN python -m venv /opt/reactions && /opt/reactions/bin/pip install --no-cache-dir ".[flower,web]"

FROM python:3.13-slim-trixie
# A number, so that an orchestrator can see that it is not root without looking a name up.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin reactions
COPY --from=build /opt/reactions /opt/reactions
ENV PATH=/opt/reactions/bin:$PATH \
    PYTHONUNBUFFERED=1
USER 10001
# Not writable, as nothing is written: beat's schedule is in the broker, logs go to standard output.
WORKDIR /opt/reactions
CMD ["reactions", "--help"]
