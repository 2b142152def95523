# One image for every role; the command says which. GPU libraries come with --build-arg EXTRA=[cuda].
FROM python:3.12-slim-bookworm AS build
ARG EXTRA=""
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY scp scp
COPY db db
COPY dimse dimse
COPY audit audit
COPY inference inference
COPY sr sr
COPY delivery delivery
COPY training training
COPY wetread wetread
RUN python -m venv /opt/wetread && /opt/wetread/bin/pip install --no-cache-dir ".${EXTRA}"

FROM python:3.12-slim-bookworm
RUN useradd --system --create-home --uid 10001 wetread && install -d -o wetread /data
COPY --from=build /opt/wetread /opt/wetread
ENV PATH=/opt/wetread/bin:$PATH PYTHONUNBUFFERED=1 WETREAD_NODE__DATA_DIR=/data
USER wetread
VOLUME /data
EXPOSE 11112 2762
ENTRYPOINT ["wetread"]
CMD ["up"]
