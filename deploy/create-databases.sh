#!/bin/bash
# A database and a role for each service, once, when the server's volume is new. The passwords are those in the
# URLs that the services are given.
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
