"""The backend plane: API keys and end users. Each handler is one call of a service."""

from rolltape.codes import Code
from rolltape.service import end_users, keys
from rolltape.web.call import Call
from rolltape.web.operation import Operation
from rolltape.web.params import EndUsersQuery, PageQuery
from rolltape.wire.account import CreateEndUser, CreateKey, EndUser, Key, NewKey
from rolltape.wire.common import Page


async def create_key(call: Call[CreateKey, None]) -> NewKey:
    return await keys.create_key(call.app, call.key, call.body, now=call.now)


async def list_keys(call: Call[None, PageQuery]) -> Page[Key]:
    return await keys.list_keys(call.app, call.key, limit=call.query.limit, cursor=call.query.cursor, now=call.now)


async def revoke_key(call: Call[None, None]) -> None:
    await keys.revoke_key(call.app, call.key, call.path["key_id"], now=call.now)


async def create_end_user(call: Call[CreateEndUser, None]) -> EndUser:
    return await end_users.create_end_user(call.app, call.key, call.body, now=call.now)


async def list_end_users(call: Call[None, EndUsersQuery]) -> Page[EndUser]:
    query = call.query
    return await end_users.list_end_users(
        call.app, call.key, external_id=query.external_id, limit=query.limit, cursor=query.cursor, now=call.now
    )


async def get_end_user(call: Call[None, None]) -> EndUser:
    return await end_users.get_end_user(call.app, call.key, call.path["end_user_id"], now=call.now)


async def delete_end_user(call: Call[None, None]) -> None:
    await end_users.delete_end_user(call.app, call.key, call.path["end_user_id"], now=call.now)


END_USERS = (
    Operation(
        method="POST",
        path="/v1/end-users",
        name="createEndUser",
        summary="Create an end user",
        group="End users",
        scope="end_users:write",
        body=CreateEndUser,
        body_example={"external_id": "user-42", "name": "Ada"},
        answers={201: EndUser},
        errors=(Code.EXTERNAL_ID_TAKEN,),
        handler=create_end_user,
    ),
    Operation(
        method="GET",
        path="/v1/end-users",
        name="listEndUsers",
        summary="List end users, newest first, or find one by its `external_id`",
        group="End users",
        scope="end_users:read",
        query=EndUsersQuery,
        answers={200: Page[EndUser]},
        handler=list_end_users,
    ),
    Operation(
        method="GET",
        path="/v1/end-users/{end_user_id}",
        name="getEndUser",
        summary="Read an end user",
        group="End users",
        scope="end_users:read",
        answers={200: EndUser},
        handler=get_end_user,
    ),
    Operation(
        method="DELETE",
        path="/v1/end-users/{end_user_id}",
        name="deleteEndUser",
        summary="Delete an end user",
        description="Its devices are unbound by force, and its recordings are deleted.",
        group="End users",
        scope="end_users:write",
        answers={204: None},
        handler=delete_end_user,
    ),
)

KEYS = (
    Operation(
        method="POST",
        path="/v1/keys",
        name="createKey",
        summary="Make an API key",
        description="The key is shown this once. It can't have a scope that the calling key lacks.",
        group="API keys",
        scope="keys:write",
        body=CreateKey,
        body_optional=True,
        body_example={"name": "reader", "scopes": ["devices:read"]},
        answers={201: NewKey},
        handler=create_key,
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        name="listKeys",
        summary="List the project's API keys, newest first",
        group="API keys",
        scope="keys:write",
        query=PageQuery,
        answers={200: Page[Key]},
        handler=list_keys,
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{key_id}",
        name="revokeKey",
        summary="Revoke an API key at once",
        group="API keys",
        scope="keys:write",
        answers={204: None},
        handler=revoke_key,
    ),
)
