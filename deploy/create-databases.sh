#!/bin/bash
# Creates a database and a role for each service. It runs once, when the server's volume is new. The passwords come
# from the database URLs of the services.
set -euo pipefail

for service in auth catalog; do
    url=$(<"/run/secrets/${service}_database_url")
    password=${url#*://*:}
    psql --username "$POSTGRES_USER" --quiet --set ON_ERROR_STOP=1 \
        --set service="$service" --set password="${password%%@*}" <<'SQL'
CREATE ROLE :"service" LOGIN PASSWORD :'password';
CREATE DATABASE :"service" OWNER :"service";
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
