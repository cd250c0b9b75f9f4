"""The peer's web application: FastAPI, SQLAlchemy 2 with asyncio, PyJWT; one transaction and one commit a request."""

import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from bench.peer.models import ApiKey, Command, Device, DeviceToken, Event

MAX_OPEN = 100
OPEN = ("pending", "delivered")


class StartParams(BaseModel):
    """Params of `start_recording`."""

    model_config = ConfigDict(extra="forbid")
    max_duration_sec: int = Field(3600, ge=1, le=86_400)
    upload_immediately: bool = True
    metadata: dict[str, Any] | None = None


class CreateCommand(BaseModel):
    """Body of a create."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["start_recording", "trigger_upload"]
    params: StartParams = Field(default_factory=lambda: StartParams.model_validate({}))
    idempotency_key: str | None = Field(None, min_length=1, max_length=255)
    ttl_seconds: int = Field(300, ge=1, le=604_800)


class CommandOut(BaseModel):
    """A command as it is answered."""

    id: str
    device_id: str
    type: str
    status: str
    params: dict[str, Any]
    grant_token: str
    created_at: str
    expires_at: str


class Heartbeat(BaseModel):
    """Body of a heartbeat."""

    battery_percent: int | None = Field(None, ge=0, le=100)
    storage_used_mb: int | None = Field(None, ge=0)
    storage_total_mb: int | None = Field(None, ge=0)
    device_state: Literal["idle", "recording", "syncing", "uploading", "charging", "error"] | None = None


class HeartbeatOut(BaseModel):
    """Answer to a heartbeat."""

    status: Literal["ok"]
    server_time: str
    next_heartbeat_sec: int
    binding_generation: int
    commands: list[CommandOut]


def iso(ms: int) -> str:
    """A time on the wire."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def bearer_hash(authorization: str | None) -> bytes:
    """The hash of the credential. HTTPException: 401."""
    if authorization is None or not authorization.startswith("Bearer "):
        raise HTTPException(401, "unauthorized")
    return hashlib.sha256(authorization[7:].encode()).digest()


async def session(request: Request) -> AsyncIterator[AsyncSession]:
    """One session a request."""
    async with request.app.state.sessions() as opened:
        yield opened


Session = Annotated[AsyncSession, Depends(session)]
Authorization = Annotated[str | None, Header()]
router = APIRouter()


def grant(command: Command, key: Ed25519PrivateKey) -> str:
    """The signed grant of a command."""
    claims = {
        "iss": "00112233445566aa",
        "aud": command.device_id,
        "jti": command.id,
        "seq": command.seq,
        "gen": command.generation,
        "iat": command.created_at // 1000,
        "nbf": command.created_at // 1000,
        "exp": command.expires_at // 1000,
        "type": command.type,
        "params": {k: v for k, v in json.loads(command.params).items() if k != "metadata"},
    }
    return jwt.encode(claims, key, algorithm="EdDSA", headers={"kid": "peer"})


def out(command: Command, key: Ed25519PrivateKey) -> CommandOut:
    """A command as it is answered."""
    return CommandOut(
        id=command.id,
        device_id=command.device_id,
        type=command.type,
        status=command.status,
        params=json.loads(command.params),
        grant_token=grant(command, key),
        created_at=iso(command.created_at),
        expires_at=iso(command.expires_at),
    )


async def project_of(db: AsyncSession, authorization: str | None) -> str:
    """Whose key it is. HTTPException: 401, 403."""
    key = await db.scalar(select(ApiKey).where(ApiKey.hash == bearer_hash(authorization)))
    if key is None or key.revoked_at is not None:
        raise HTTPException(401, "unauthorized")
    if "devices:write" not in json.loads(key.scopes):
        raise HTTPException(403, "forbidden")
    return key.project_id


async def made_before(
    db: AsyncSession, device: Device, idempotency_key: str | None, request_hash: bytes
) -> Command | None:
    """The command that the key made. HTTPException: 409 when it was another request."""
    if idempotency_key is None:
        return None
    before = await db.scalar(
        select(Command).where(
            Command.device_id == device.id,
            Command.generation == device.generation,
            Command.idempotency_key == idempotency_key,
        )
    )
    if before is not None and before.request_hash != request_hash:
        raise HTTPException(409, "idempotency_key_reused")
    return before


async def check_room(db: AsyncSession, device: Device, now: int) -> None:
    """HTTPException: 409 when the device is unbound or its queue full."""
    if device.end_user_id is None:
        raise HTTPException(409, "device_not_bound")
    open_commands = await db.scalar(
        select(func.count()).where(Command.device_id == device.id, Command.status.in_(OPEN), Command.expires_at > now)
    )
    if (open_commands or 0) >= MAX_OPEN:
        raise HTTPException(409, "command_queue_full")


@router.post("/v1/devices/{device_id}/commands", status_code=201)
async def create(
    device_id: str,
    body: CreateCommand,
    request: Request,
    response: Response,
    db: Session,
    authorization: Authorization = None,
) -> CommandOut:
    """A durable command with its event and its grant."""
    now = now_ms()
    signing_key = request.app.state.signing_key
    project_id = await project_of(db, authorization)
    device = await db.get(Device, device_id, with_for_update=True)  # SQLite's transaction is alone as it is
    if device is None or device.project_id != project_id:
        raise HTTPException(404, "not_found")
    params = json.dumps(body.params.model_dump(exclude_none=True), sort_keys=True)
    request_hash = hashlib.sha256(f"{body.type}\n{body.ttl_seconds}\n{params}".encode()).digest()
    if before := await made_before(db, device, body.idempotency_key, request_hash):
        response.status_code = 200
        return out(before, signing_key)
    await check_room(db, device, now)
    device.last_seq += 1
    command = Command(
        id=f"cmd_{secrets.token_hex(16)}",
        device_id=device_id,
        generation=device.generation,
        seq=device.last_seq,
        type=body.type,
        status="pending",
        params=params,
        created_at=now,
        expires_at=-(-(now + body.ttl_seconds * 1000) // 1000) * 1000,
        idempotency_key=body.idempotency_key,
        request_hash=request_hash,
    )
    answer = out(command, signing_key)
    db.add_all([command, created_event(command, project_id, answer)])
    await db.commit()
    return answer


def created_event(command: Command, project_id: str, answer: CommandOut) -> Event:
    """The event of a creation, without the grant."""
    return Event(
        id=f"evt_{secrets.token_hex(16)}",
        project_id=project_id,
        device_id=command.device_id,
        command_id=command.id,
        type="command.created",
        created_at=command.created_at,
        data=answer.model_dump_json(exclude={"grant_token"}),
    )


@router.post("/v1/devices/me/heartbeat")
async def heartbeat(
    body: Heartbeat, request: Request, db: Session, authorization: Authorization = None
) -> HeartbeatOut:
    """A device's state, and what waits for it."""
    now = now_ms()
    token = await db.scalar(select(DeviceToken).where(DeviceToken.hash == bearer_hash(authorization)))
    if token is None or token.ended_at is not None:
        raise HTTPException(401, "unauthorized")
    await db.execute(
        update(Device)
        .where(Device.id == token.device_id)
        .values(last_heartbeat_at=now, online_until=now + 180_000, **body.model_dump(exclude_none=True))
        .execution_options(synchronize_session=False)
    )
    waiting = await db.scalars(
        select(Command)
        .where(Command.device_id == token.device_id, Command.status == "pending", Command.expires_at > now)
        .order_by(Command.seq)
        .limit(4)
    )
    offers = [out(command, request.app.state.signing_key) for command in waiting]
    await db.commit()
    return HeartbeatOut(
        status="ok",
        server_time=iso(now),
        next_heartbeat_sec=60,
        binding_generation=token.generation,
        commands=offers,
    )


def build(engine: AsyncEngine, signing_key: Ed25519PrivateKey) -> FastAPI:
    """The application on a database that has its tables."""
    app = FastAPI()
    app.state.signing_key = signing_key
    app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
    app.include_router(router)
    return app
