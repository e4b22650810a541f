"""Apache Airflow provider for Airgate, the identity-aware gateway in front of Microsoft IIS."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"


def get_provider_info() -> dict[str, Any]:
    """What Airflow's provider manager reads. Imports nothing: it runs in every Airflow process."""
    return {
        "package-name": "airflow-provider-airgate",
        "name": "Airgate",
        "description": "Calls apps on Microsoft IIS as the task instance itself, through the Airgate gateway.",
        "integrations": [{"integration-name": "Airgate", "tags": ["protocol"]}],
        "hooks": [{"integration-name": "Airgate", "python-modules": ["airgate_provider.hook"]}],
        "operators": [{"integration-name": "Airgate", "python-modules": ["airgate_provider.operator"]}],
        "secrets-backends": ["airgate_provider.issuer.backend.AirgateSecretsBackend"],
        "connection-types": [
            {
                "hook-class-name": "airgate_provider.hook.AirgateHook",
                "hook-name": "Airgate",
                "connection-type": "airgate",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "password"],
                    "relabeling": {"host": "Gateway host", "port": "Gateway port"},
                    "placeholders": {"schema": "https", "host": "orders.gw.example", "port": "8443"},
                },
                "conn-fields": {
                    "ca_file": {
                        "label": "CA file",
                        "description": "PEM file with the CA of the gateway's certificate. Empty: the system's CAs.",
                        "schema": {"type": ["string", "null"]},
                    },
                    "connect_timeout_s": {
                        "label": "Connect timeout (seconds)",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "read_timeout_s": {
                        "label": "Read timeout (seconds)",
                        "description": "The longest silence of the gateway that is waited for.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                    "total_timeout_s": {
                        "label": "Total timeout (seconds)",
                        "description": "The longest time that one whole call may take.",
                        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
                    },
                },
            }
        ],
    }
