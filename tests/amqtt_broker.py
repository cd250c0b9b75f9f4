"""amqtt as a process of its own: `python amqtt_broker.py PORT HTTP_PORT SECRET`. It asks a server whom to let in."""

import asyncio
import sys

from amqtt.broker import Broker
from amqtt.contrib.http import ParamsMode, RequestMethod, ResponseMode


async def main(port: str, http_port: str, secret: str) -> None:
    asked = {
        "host": "127.0.0.1",
        "port": int(http_port),
        "request_method": RequestMethod.POST,
        "params_mode": ParamsMode.FORM,
        "response_mode": ResponseMode.JSON,
    }
    plugins = {
        "amqtt.contrib.http.UserAuthHttpPlugin": {**asked, "user_uri": f"/broker/http/user?secret={secret}"},
        "amqtt.contrib.http.TopicAuthHttpPlugin": {**asked, "topic_uri": f"/broker/http/acl?secret={secret}"},
    }
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": plugins})
    await broker.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
