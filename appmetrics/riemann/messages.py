"""Riemann's protobuf messages, as classes; the only module that imports protobuf.

They are built when this is imported, from a description of the fields: generated
code works with the one or two major versions of protobuf that it was generated for,
this works with all from 3.20 on. They live in a pool of their own, so that other
descriptions of the same messages in the process (bernhard's own, riemann-client's)
are not in conflict with them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto

#: (name, number, type) of each message's fields; ``*`` is repeated, ``!`` required.
#: ``states`` of Msg is deprecated and left out; an unknown field is skipped.
_MESSAGES = {
    "Attribute": (("key", 1, "!string"), ("value", 2, "string")),
    "Event": (
        ("time", 1, "int64"),
        ("state", 2, "string"),
        ("service", 3, "string"),
        ("host", 4, "string"),
        ("description", 5, "string"),
        ("tags", 7, "*string"),
        ("ttl", 8, "float"),
        ("attributes", 9, "*Attribute"),
        ("time_micros", 10, "int64"),
        ("metric_sint64", 13, "sint64"),
        ("metric_d", 14, "double"),
        ("metric_f", 15, "float"),
    ),
    "Query": (("string", 1, "string"),),
    "Msg": (
        ("ok", 2, "bool"),
        ("error", 3, "string"),
        ("query", 5, "Query"),
        ("events", 6, "*Event"),
    ),
}


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="riemann.proto", syntax="proto2")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = described.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
            if kind[0] in "*!":
                field.label = _Field.LABEL_REPEATED if kind[0] == "*" else _Field.LABEL_REQUIRED
                kind = kind[1:]
            if kind in _MESSAGES:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".{kind}"
            else:
                field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    return file


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(_described().SerializeToString())
    if hasattr(message_factory, "GetMessageClass"):
        make = message_factory.GetMessageClass
    else:  # protobuf before 4.22
        make = message_factory.MessageFactory(pool).GetPrototype
    return {name: make(pool.FindMessageTypeByName(name)) for name in _MESSAGES}


_built = _classes()
Attribute: Any = _built["Attribute"]
Event: Any = _built["Event"]
Query: Any = _built["Query"]
Msg: Any = _built["Msg"]
