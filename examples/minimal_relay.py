"""A whole relay, once around: minimal_relay.py https://rolltape.example.com rtok_… (docs/phone.md tells each step)"""

import asyncio
import json
import sys
from typing import Any

import httpx2
from bleak import BleakClient, BleakScanner

from rolltape.wire.ble import service, to_device, to_relay
from rolltape.wire.ble.frames import cut
from rolltape.wire.ble.inbox import frame, relay_inbox
from rolltape.wire.keys import b64url, un_b64url


async def relay(http: httpx2.AsyncClient, scanner: Any = None, client: Any = None) -> None:
    ids = [device["id"] for device in (await http.get("/v1/relay/devices")).json()["data"]]
    for device, seen in (await BleakScanner.discover(return_adv=True, **(scanner or {}))).values():
        if id_ := service.recognise(service.advertised_tag(seen.service_data) or b"", ids):
            await visit(http, f"/v1/relay/devices/{id_}", device, client or {})


async def visit(http: httpx2.AsyncClient, path: str, device: Any, client: dict[str, Any]) -> None:
    heard, inbox, tapes = asyncio.Queue[Any](), relay_inbox(), dict[str, tuple[Any, bytearray]]()

    async def say(message: Any) -> None:
        for fragment in cut(frame(message), 23):
            await ble.write_gatt_char(service.RX, fragment, response=True)

    async def post(to: str, body: bytes = b"{}", sig: bytes | None = None, **more: Any) -> Any:
        return (await http.post(path + to, json=json.loads(body) | more | {"receipt": sig and b64url(sig)})).json()

    async def fetch_or_upload(id_: str, tape: Any, sound: bytearray) -> None:
        if length := min(4096, tape.size - len(sound)):
            return await say(to_device.Fetch(recording_id=id_, offset=len(sound), length=length))
        to = await post(f"/recordings/{id_}/upload-url", content_type=tape.content_type, file_size_bytes=tape.size)
        if "upload_url" in to:  # else the server has it already
            httpx2.put(to["upload_url"], content=bytes(sound), headers=to["headers"])
        await post(f"/recordings/{id_}/upload-complete", tape.complete, tape.complete_receipt)
        await say(to_device.Taken(what=0x85, id=id_))

    async with BleakClient(device, lambda _: heard.put_nowait([]), pair=True, **client) as ble:
        await ble.start_notify(service.TX, lambda _, data: heard.put_nowait(inbox.feed(bytes(data))))
        await say(to_device.Hello(online=True))
        while ble.is_connected:
            for it in await heard.get():
                if isinstance(it, to_relay.Challenge):
                    if it.command_id:
                        await post(f"/commands/{it.command_id}/ack", sig=it.ack_receipt)
                    asked = {"jti": it.command_id, "recording_id": it.recording_id, "nonce": b64url(it.nonce)}
                    answer = await post("/challenge", json.dumps(asked).encode(), seq_floor=it.floor)
                    await say(to_device.SignedAnswer(un_b64url(answer["answer_cwt"])))
                elif isinstance(it, to_relay.Report):
                    await post(f"/commands/{it.command_id}/report", it.json, it.receipt)
                    await say(to_device.Taken(what=0x83, id=it.command_id))
                elif isinstance(it, to_relay.Recording) and it.complete and it.recording_id not in tapes:
                    await post("/recordings", it.create, it.create_receipt)
                    tapes[it.recording_id] = it, bytearray()
                    await fetch_or_upload(it.recording_id, *tapes[it.recording_id])
                elif isinstance(it, to_relay.Piece):
                    tapes[it.recording_id][1].extend(it.data)
                    await fetch_or_upload(it.recording_id, *tapes[it.recording_id])
                elif isinstance(it, to_relay.Welcome) or getattr(it, "about", 0) == to_device.Next.type:
                    for offer in (await http.get("/v1/relay/commands?wait=2")).json()["commands"]:
                        if path.endswith(offer["device_id"]):
                            await say(to_device.Grant(un_b64url(offer["grant_cwt"])))
                    await say(to_device.Next())


if __name__ == "__main__":
    url, token = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(f"usage: {__doc__}")
    asyncio.run(relay(httpx2.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"})))
