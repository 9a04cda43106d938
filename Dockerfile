# One image for all roles: `docker run errand web auth`, `docker run errand worker catalog`, …
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/errand
# The dependencies change less often than the code, so they have a layer of their own.
COPY requirements.lock /src/
RUN pip --python /opt/errand/bin/python install --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY bus /src/bus
COPY auth /src/auth
COPY catalog /src/catalog
# The lock file has the build backend too.
RUN pip --python /opt/errand/bin/python install --no-deps --no-build-isolation /src

FROM python:3.13-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin errand \
    && install --directory --owner errand --group errand /data
COPY --from=build /opt/errand /opt/errand
ENV PATH=/opt/errand/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A front end on the container's loopback address could not be reached from outside. SQLite files go to /data.
ENV BIND=0.0.0.0 DATA_DIR=/data
# A number, because Kubernetes cannot check whether a user name is root.
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["bus"]
CMD ["run"]
