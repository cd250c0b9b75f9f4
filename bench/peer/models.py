"""The peer's tables. The indexes are those that its queries need."""

from typing import ClassVar

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, LargeBinary, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables. Integers have 64 bits on both databases: times are in milliseconds."""

    type_annotation_map: ClassVar = {int: BigInteger().with_variant(Integer(), "sqlite")}


class ApiKey(Base):
    """An API key, by its hash."""

    __tablename__ = "api_keys"
    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    project_id: Mapped[str]
    scopes: Mapped[str]
    revoked_at: Mapped[int | None]


class Device(Base):
    """A device, its binding, and what it last said of itself."""

    __tablename__ = "devices"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str]
    generation: Mapped[int]
    end_user_id: Mapped[str | None]
    last_seq: Mapped[int] = mapped_column(default=0)
    battery_percent: Mapped[int | None]
    storage_used_mb: Mapped[int | None]
    storage_total_mb: Mapped[int | None]
    device_state: Mapped[str | None]
    last_heartbeat_at: Mapped[int | None]
    online_until: Mapped[int | None]


class DeviceToken(Base):
    """A device token, by its hash."""

    __tablename__ = "device_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    generation: Mapped[int]
    ended_at: Mapped[int | None]


class Command(Base):
    """A command."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("commands_open", "device_id", "status"),
        Index("commands_idempotency", "device_id", "generation", "idempotency_key", unique=True),
    )
    n: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(String(64), unique=True)
    device_id: Mapped[str] = mapped_column(ForeignKey("devices.id"))
    generation: Mapped[int]
    seq: Mapped[int]
    type: Mapped[str]
    status: Mapped[str]
    params: Mapped[str]
    created_at: Mapped[int]
    expires_at: Mapped[int]
    idempotency_key: Mapped[str | None]
    request_hash: Mapped[bytes]


class Event(Base):
    """An event, written with the change that it tells."""

    __tablename__ = "events"
    __table_args__ = (Index("events_of_command", "command_id", "n"),)
    n: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str]
    project_id: Mapped[str]
    device_id: Mapped[str]
    command_id: Mapped[str]
    type: Mapped[str]
    created_at: Mapped[int]
    data: Mapped[str]
