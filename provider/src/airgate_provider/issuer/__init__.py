"""The issuer inside Airflow's API server: a secrets backend, a middleware and the page with the public keys."""
