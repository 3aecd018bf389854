"""botocore reads its models of the services, a megabyte of JSON, for each session anew."""

import json
from collections.abc import Callable
from typing import Any

import botocore.loaders

METHODS = ("load_data_with_path", "load_service_model", "determine_latest_version")


def read_once() -> None:
    """From now on it reads each file once in this process."""
    loader: Any = botocore.loaders.Loader
    for name in METHODS:
        setattr(loader, name, asked_once(getattr(loader, name)))


def asked_once(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, whose answer is the same whatever instance is asked."""
    known: dict[str, Any] = {}

    def answer(instance: object, *arguments: Any, **options: Any) -> Any:
        key = json.dumps([arguments, options])
        if key not in known:
            known[key] = method(instance, *arguments, **options)
        return known[key]

    return answer
