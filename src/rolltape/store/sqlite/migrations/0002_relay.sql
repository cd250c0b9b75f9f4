-- The relay plane: tokens of relays, what they claim, what devices have signed, and until when their grants last.

CREATE TABLE relay_tokens (
    n                   INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_n            INTEGER NOT NULL REFERENCES tenants (n),
    end_user_id         TEXT NOT NULL,
    device_ids          TEXT,                           -- JSON; NULL: all devices of that end user
    hash                BLOB NOT NULL UNIQUE,           -- SHA-256 of the token; the token itself is nowhere
    created_at          INTEGER NOT NULL,
    expires_at          INTEGER NOT NULL,
    last_used_at        INTEGER
) STRICT;
CREATE INDEX relay_tokens_by_end_user ON relay_tokens (tenant_n, end_user_id);
CREATE INDEX relay_tokens_by_end ON relay_tokens (expires_at);

-- What relays said without a receipt for a device that has a key: each thing is told once, and not without end.
CREATE TABLE claims (
    command_id          TEXT NOT NULL REFERENCES commands (id),
    digest              BLOB NOT NULL,
    PRIMARY KEY (command_id, digest)
) STRICT, WITHOUT ROWID;

-- The greatest counter in a receipt of a binding: an older word on a device's state is stale.
CREATE TABLE receipt_counters (
    device_id           TEXT NOT NULL REFERENCES devices (id),
    generation          INTEGER NOT NULL,
    counter             INTEGER NOT NULL,
    PRIMARY KEY (device_id, generation)
) STRICT, WITHOUT ROWID;

-- The greatest `exp` (ms) of the grants that relays were handed; NULL: none since this is kept.
ALTER TABLE commands ADD COLUMN relay_grants_until INTEGER;

CREATE INDEX events_of_device ON events (device_id, n) WHERE device_id IS NOT NULL;
CREATE INDEX binding_history_by_end_user ON binding_history (end_user_id, ended_at);
