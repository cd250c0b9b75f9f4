-- The first schema. Times are milliseconds since the epoch, JSON is text. `n` is the server's order of creation.
-- A tenant is one project in one mode; every row that a caller can reach belongs to one.

CREATE TABLE meta (
    key                 TEXT PRIMARY KEY,
    value               TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    id                  TEXT PRIMARY KEY,
    name                TEXT NOT NULL,
    created_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE tenants (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id          TEXT NOT NULL REFERENCES projects (id),
    mode                TEXT NOT NULL CONSTRAINT tenants_mode CHECK (mode IN ('test', 'live')),
    UNIQUE (project_id, mode)
) STRICT;

CREATE TABLE api_keys (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    hash                BLOB NOT NULL UNIQUE,           -- SHA-256 of the key; the key itself is nowhere
    name                TEXT,
    scopes              TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    last_used_at        INTEGER,
    revoked_at          INTEGER
) STRICT;
CREATE INDEX api_keys_list ON api_keys (tenant_n, n) WHERE revoked_at IS NULL;

CREATE TABLE signing_keys (
    kid                 TEXT PRIMARY KEY,
    public              BLOB NOT NULL,
    private_sealed      BLOB NOT NULL,                  -- under the master key
    created_at          INTEGER NOT NULL
) STRICT;

CREATE TABLE end_users (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    external_id         TEXT NOT NULL,
    name                TEXT,
    email               TEXT,
    metadata            TEXT NOT NULL,
    created_at          INTEGER NOT NULL,
    UNIQUE (tenant_n, external_id)
) STRICT;
CREATE INDEX end_users_list ON end_users (tenant_n, n);

CREATE TABLE devices (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    serial_number       TEXT NOT NULL,
    model               TEXT,
    name                TEXT,
    firmware_version    TEXT,
    connection          TEXT NOT NULL,
    grant_alg           TEXT NOT NULL CONSTRAINT devices_grant_alg CHECK (grant_alg IN ('EdDSA', 'HS256')),
    public_key          TEXT,
    pk_d                TEXT,
    metadata            TEXT NOT NULL,
    settings            TEXT NOT NULL,
    heartbeat_sec       INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    deleted_at          INTEGER
) STRICT;
CREATE UNIQUE INDEX devices_serial ON devices (tenant_n, serial_number) WHERE deleted_at IS NULL;
CREATE INDEX devices_list ON devices (tenant_n, n) WHERE deleted_at IS NULL;

-- What changes with a binding or a command: kept apart from `devices`, so that a hot write rewrites a small row.
CREATE TABLE device_bindings (
    device_id           TEXT PRIMARY KEY REFERENCES devices (id),
    tenant_n            INTEGER NOT NULL,
    generation          INTEGER NOT NULL,               -- grows with every new binding; 0 before the first
    generation_floor    INTEGER NOT NULL DEFAULT 0,     -- the next binding's is above this: set in a backup
    end_user_id         TEXT,                           -- NULL: unbound
    held_kids           TEXT NOT NULL,                  -- JSON: the grant keys that the device is known to hold
    last_seq            INTEGER NOT NULL,               -- the greatest seq minted; never reset
    last_stop_seq       INTEGER NOT NULL,               -- of the newest stop that was created
    last_ended_stop_seq INTEGER NOT NULL                -- of the newest stop that the device carried out
) STRICT, WITHOUT ROWID;
CREATE INDEX device_bindings_by_end_user ON device_bindings (tenant_n, end_user_id) WHERE end_user_id IS NOT NULL;

-- Every binding that ever was: whose the recordings are, and the HS256 secret of each.
CREATE TABLE binding_history (
    device_id           TEXT NOT NULL,
    generation          INTEGER NOT NULL,
    end_user_id         TEXT NOT NULL,
    secret_sealed       BLOB,
    bound_at            INTEGER NOT NULL,
    ended_at            INTEGER,
    PRIMARY KEY (device_id, generation)
) STRICT, WITHOUT ROWID;

-- What a device said of itself, written in batches.
CREATE TABLE device_states (
    device_id           TEXT PRIMARY KEY REFERENCES devices (id),
    tenant_n            INTEGER NOT NULL,
    battery_percent     INTEGER,
    storage_used_mb     ANY,
    storage_total_mb    ANY,
    signal_strength_dbm INTEGER,
    device_name         TEXT,
    device_state        TEXT,
    pending_recordings  INTEGER,
    flags               INTEGER,
    connection_type     TEXT,
    last_heartbeat_at   INTEGER,
    online_until        INTEGER NOT NULL DEFAULT 0,
    online              INTEGER NOT NULL DEFAULT 0,     -- what the last online or offline event said
    next_contact_at     INTEGER,
    last_seen_by        TEXT,
    rec_active          INTEGER,                        -- NULL: the device never said
    rec_id              TEXT,
    rec_started_at      INTEGER,
    rec_initiated_by    TEXT,
    rec_until           INTEGER,                        -- the latest end of a remotely started recording
    rec_as_of           INTEGER,
    rec_evidence        TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX device_states_online ON device_states (online_until) WHERE online = 1;
CREATE INDEX device_states_by_tenant ON device_states (tenant_n);

CREATE TABLE device_tokens (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id           TEXT NOT NULL REFERENCES devices (id),
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    generation          INTEGER NOT NULL,
    hash                BLOB NOT NULL UNIQUE,
    created_at          INTEGER NOT NULL,
    first_used_at       INTEGER,
    replaced_at         INTEGER,                        -- a newer token of the same binding has been used
    reused_at           INTEGER,                        -- and yet this one came again
    ended_at            INTEGER                         -- the binding is over
) STRICT;
CREATE INDEX device_tokens_by_device ON device_tokens (device_id, generation, n);

CREATE TABLE commands (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL UNIQUE,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    device_id           TEXT NOT NULL REFERENCES devices (id),
    generation          INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    type                TEXT NOT NULL,
    status              TEXT NOT NULL CONSTRAINT commands_status
                             CHECK (status IN ('pending', 'delivered', 'executed', 'failed', 'expired', 'cancelled')),
    params              TEXT NOT NULL,
    result              TEXT,
    error_code          TEXT,
    error_message       TEXT,
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL CONSTRAINT commands_whole_second CHECK (expires_at % 1000 = 0),
    delivered_at        INTEGER,
    executed_at         INTEGER,
    reported_at         INTEGER,
    route               TEXT,
    offers              INTEGER NOT NULL DEFAULT 0,
    offered_routes      INTEGER NOT NULL DEFAULT 0,
    last_offered_at     INTEGER,
    last_polled_at      INTEGER,                        -- the last offer by a poll of the device itself,
    last_relayed_at     INTEGER,                        -- and by a relay: each keeps quiet for a while on its own
    evidence            TEXT,
    idempotency_key     TEXT,
    request_hash        BLOB
) STRICT;
CREATE INDEX commands_list ON commands (device_id, n);
CREATE INDEX commands_list_by_status ON commands (device_id, status, n);
CREATE INDEX commands_list_by_type ON commands (device_id, type, n);
CREATE INDEX commands_open_until ON commands (expires_at) WHERE status IN ('pending', 'delivered');
CREATE UNIQUE INDEX commands_idempotency ON commands (device_id, generation, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE events (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL,
    tenant_n            INTEGER NOT NULL,
    device_id           TEXT,
    command_id          TEXT,
    type                TEXT NOT NULL,
    previous_status     TEXT,
    created_at          INTEGER NOT NULL,
    data                TEXT NOT NULL
) STRICT;
CREATE INDEX events_of_command ON events (command_id, n) WHERE command_id IS NOT NULL;
CREATE INDEX events_of_tenant ON events (tenant_n, n);

-- Recordings and their one media file.
CREATE TABLE recordings (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    id                  TEXT NOT NULL,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    project_id          TEXT NOT NULL,                  -- an id is unique in the project, over both modes
    device_id           TEXT,                           -- NULL: made by a key, without a device
    generation          INTEGER,                        -- the binding under which it began; NULL without a device
    end_user_id         TEXT,
    command_id          TEXT,
    name                TEXT,
    source              TEXT NOT NULL CONSTRAINT recordings_source
                             CHECK (source IN ('device', 'api_upload', 'app_import')),
    upload_method       TEXT,
    made_by             TEXT NOT NULL CONSTRAINT recordings_made_by CHECK (made_by IN ('key', 'device')),
    status              TEXT NOT NULL CONSTRAINT recordings_status
                             CHECK (status IN ('pending', 'uploaded', 'failed', 'integrity_failure')),
    started_at          INTEGER NOT NULL,
    ended_at            INTEGER,
    duration_ms         INTEGER,
    own_metadata        TEXT NOT NULL,                  -- JSON: what the recording itself was given
    command_metadata    TEXT NOT NULL,                  -- JSON: the command's params.metadata; never shown to a device
    file_size_bytes     INTEGER,                        -- of the stored bytes, set at completion
    content_sha256      TEXT,                           -- lower-case hex, of the stored bytes, set at completion
    verified_at         INTEGER,                        -- when that hash was computed
    created_at          INTEGER NOT NULL,
    UNIQUE (project_id, id)
) STRICT;
CREATE INDEX recordings_list ON recordings (tenant_n, n);
CREATE INDEX recordings_by_device ON recordings (tenant_n, device_id, n);
CREATE INDEX recordings_by_end_user ON recordings (tenant_n, end_user_id, n);
CREATE INDEX recordings_by_command ON recordings (tenant_n, command_id, n) WHERE command_id IS NOT NULL;
CREATE INDEX recordings_by_status ON recordings (tenant_n, status, n) WHERE status <> 'uploaded';

CREATE TABLE media (
    id                  TEXT PRIMARY KEY,
    recording_n         INTEGER NOT NULL UNIQUE REFERENCES recordings (n) ON DELETE CASCADE,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    content_type        TEXT NOT NULL,
    declared_size       INTEGER,                        -- from upload-url, or Upload-Length of tus; NULL until known
    file_size_bytes     INTEGER,                        -- set at completion
    content_sha256      TEXT,
    status              TEXT NOT NULL CONSTRAINT media_status
                             CHECK (status IN ('pending', 'uploaded', 'integrity_failure')),
    created_at          INTEGER NOT NULL
) STRICT;

-- Bytes to be deleted: written with the deletion of the row, so that a crash in between leaves no orphan.
CREATE TABLE media_to_delete (
    media_id            TEXT PRIMARY KEY,
    since               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The ids of deleted recordings: a device that tries again after a deletion must not bring the audio back.
CREATE TABLE recordings_deleted (
    project_id          TEXT NOT NULL,
    id                  TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
) STRICT, WITHOUT ROWID;
