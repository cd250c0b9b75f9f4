"""Builds everything, once: the only place that picks a database, reads keys and starts a server."""

from rolltape.wiring.admin import (
    admin_create_key,
    admin_create_project,
    admin_list_keys,
    admin_list_projects,
    admin_revoke_key,
    admin_rotate_grant_key,
)
from rolltape.wiring.backup import admin_backup, admin_restore
from rolltape.wiring.build import open_services
from rolltape.wiring.doctor import admin_doctor
from rolltape.wiring.findings import Finding
from rolltape.wiring.migrate_store import admin_migrate_store, admin_undo_migration
from rolltape.wiring.move_recordings import admin_move_recordings
from rolltape.wiring.serving import serve

__all__ = [
    "Finding",
    "admin_backup",
    "admin_create_key",
    "admin_create_project",
    "admin_doctor",
    "admin_list_keys",
    "admin_list_projects",
    "admin_migrate_store",
    "admin_move_recordings",
    "admin_restore",
    "admin_revoke_key",
    "admin_rotate_grant_key",
    "admin_undo_migration",
    "open_services",
    "serve",
]
