"""One request to a WSGI application, with wsgiref's validator in between; and examples to ask."""

from __future__ import annotations

import importlib.util
import io
import sys
import types
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults
from wsgiref.validate import validator

EXAMPLES = Path(__file__).parent.parent / "examples"


def get(app: Any, path: str = "/", *, method: str = "GET", **environ: Any) -> tuple[str, str]:
    """Status and body; the body is closed. Raises what the application raises."""
    environment: dict[str, Any] = {
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "REQUEST_METHOD": method,
        "wsgi.input": io.BytesIO(),
        "wsgi.file_wrapper": FileWrapper,
        **environ,
    }
    setup_testing_defaults(environment)
    seen: list[str] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        seen.append(status)
        return lambda data: None

    body = validator(app)(environment, start_response)
    try:
        return (seen[-1] if seen else ""), b"".join(body).decode()
    finally:
        body.close()  # type: ignore[attr-defined]


def load_example(name: str) -> types.ModuleType:
    """A module of examples/, made anew."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
