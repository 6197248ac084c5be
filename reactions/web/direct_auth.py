"""Calls an authenticator without FastAPI, if its parameters are simple enough.

FastAPI reads the parameters of a dependency anew for each request, which takes longer than the
request itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from fastapi import Request
from fastapi.params import Depends, Security
from fastapi.security.base import SecurityBase
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

Solver = Callable[[Request], Awaitable[Any]]


def direct(dependency: Any) -> Solver | None:  # noqa: ANN401 - any dependency of FastAPI
    """Return a function that calls a dependency for a request, as FastAPI does.

    None if FastAPI has to call it: it has parameters other than the request and such dependencies,
    or it is a generator.
    """
    call: Any = dependency
    if isinstance(dependency, SecurityBase):
        call = call.__call__  # the scheme itself is no function
    if not (inspect.isfunction(call) or inspect.ismethod(call)):
        return None
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        return None
    try:
        hints = get_type_hints(call, include_extras=True)
    except (NameError, TypeError):
        return None
    solvers: dict[str, Solver | None] = {}
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            return None
        found = _solver(hints.get(name), parameter)
        if found is _UNKNOWN:
            return None
        solvers[name] = found
    return _calling(call, solvers)


_UNKNOWN: Any = object()


def _solver(hint: Any, parameter: inspect.Parameter) -> Solver | None:  # noqa: ANN401 - a type
    """Return what solves a parameter; None stands for the request itself."""
    if hint in (Request, HTTPConnection) and parameter.default is parameter.empty:
        return None
    marks = [parameter.default] if isinstance(parameter.default, Depends) else []
    if get_origin(hint) is Annotated:
        marks += [mark for mark in get_args(hint)[1:] if isinstance(mark, Depends)]
    if len(marks) != 1 or marks[0].dependency is None:
        return _UNKNOWN  # type: ignore[no-any-return] # stands for none
    if getattr(marks[0], "max_concurrency", None) is not None:
        return _UNKNOWN  # type: ignore[no-any-return]
    if isinstance(marks[0], Security) and marks[0].scopes:
        return _UNKNOWN  # type: ignore[no-any-return]
    return direct(marks[0].dependency) or _UNKNOWN


def _calling(call: Callable[..., Any], solvers: dict[str, Solver | None]) -> Solver:
    if inspect.iscoroutinefunction(call):

        async def solve(request: Request) -> Any:  # noqa: ANN401 - what it returns
            return await call(**await _values(solvers, request))
    else:

        async def solve(request: Request) -> Any:  # noqa: ANN401 - what it returns
            return await run_in_threadpool(call, **await _values(solvers, request))

    return solve


async def _values(solvers: dict[str, Solver | None], request: Request) -> dict[str, Any]:
    return {
        name: request if solver is None else await solver(request)
        for name, solver in solvers.items()
    }
