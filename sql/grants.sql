-- Run as an administrator, once. Three roles: one reads the source, one loads, and the loader's schema for the ledger.
-- Change the names of databases, schemas and tables to yours.

-- In the source database:
CREATE ROLE daymill_reader LOGIN;
ALTER ROLE daymill_reader SET default_transaction_read_only = on;
GRANT USAGE ON SCHEMA public TO daymill_reader;
GRANT SELECT ON flights, weather, planes TO daymill_reader;

-- In the warehouse:
CREATE ROLE daymill_writer LOGIN;
CREATE SCHEMA IF NOT EXISTS daymill AUTHORIZATION daymill_writer;
GRANT USAGE, CREATE ON SCHEMA public TO daymill_writer;
-- A table that the writer did not make itself:
-- GRANT SELECT, INSERT, DELETE ON flight_delay_scores TO daymill_writer;

-- A role that only looks at the ledger (status, runs, show), after the first run and after each new version:
-- GRANT USAGE ON SCHEMA daymill TO daymill_viewer;
-- GRANT SELECT ON ALL TABLES IN SCHEMA daymill TO daymill_viewer;
-- GRANT SELECT ON flight_delay_scores TO daymill_viewer;
